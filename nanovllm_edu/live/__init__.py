"""What a page runs in a browser's Python, where there is no torch.

    engine.py      engines for a page, and the model's tokenizer
    halves.py      the weights, as they travel
    session.py     behind the page that one tries the engine on; with it `answers.py`, `feed.py`,
                   `guided.py`, `judging.py`, `options.py`, `scenario.py`, `scenes.py`
    cells.py       a lesson that is run in its page; with it `outputs.py`
    figure.py      its pictures without matplotlib; with it `axes.py`, `panel.py`

Read next: `engine.py`.
"""
