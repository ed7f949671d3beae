"""What made the models in the box: from a table of facts to weights (`nanovllm_edu/tiny`).

Read `world.py` and `lesson_facts.py` (what the model knows), `questions.py`, `varied.py` and
`described.py` (how one may ask for it), `noise.py` (how people type), `stories.py`, `corpus.py`
(how documents are mixed), `held_out.py` (what is kept out of them), `train.py` and `said_loss.py`
(how they become weights), `evaluate.py` (how well that worked); then `train_draft.py`, the small
model that guesses what the other one will say.
The model folders are ordinary Hugging Face ones: but for `acceptance.py`, which counts guesses,
nothing here knows the engine.
It is part of the repository, not of the package that `pip install` brings.
"""
