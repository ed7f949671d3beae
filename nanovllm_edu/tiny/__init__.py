"""The model in the box: the weights in `model/`, and everything that made them.

Read `world.py` (what the model knows), `questions.py` (how one may ask for it), `stories.py`,
`corpus.py` (how documents are mixed), `train.py` (how they become weights), `evaluate.py` (how
well that worked). Nothing here knows the engine: the model folder is an ordinary Hugging Face one.
"""

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"
