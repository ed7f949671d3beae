"""What a page runs in a browser's Python, where there is no torch.

Read next: `engine.py`.
"""
