"""The bricks a decoder is built of: matrices, norms, embeddings, rotary positions.

They know tensors and nothing else: no sequence, no block, no checkpoint file. The wall they are
built into is `models/qwen3.py`; the four operations a GPU kernel may replace are in `ops.py`.
"""
