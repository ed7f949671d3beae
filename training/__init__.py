"""What made the model in the box: from a table of facts to weights (`nanovllm_edu/tiny/model`).

Read `world.py` (what the model knows), `questions.py` (how one may ask for it), `stories.py`,
`corpus.py` (how documents are mixed), `train.py` (how they become weights), `evaluate.py` (how
well that worked). Nothing here knows the engine: the model folder is an ordinary Hugging Face one.
It is part of the repository, not of the package that `pip install` brings.
"""
