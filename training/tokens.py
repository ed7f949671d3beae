"""From documents to rows of token ids, on all processor cores.

Documents are packed one after another into rows of equal length. Every row starts with the start
of a document, and what does not fit at its end is cut off. This module does not import torch, so
that its worker processes start quickly. Next: `train.py`.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from random import Random

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from training.corpus import Messages, document

PADDING = "<|endoftext|>"
START_OF_TURN = "<|im_start|>"
END_OF_TURN = "<|im_end|>"

_DOCUMENTS_PER_CHUNK = 5_000


def render(doc: Messages | str) -> str:
    """Writes a document as the model sees it; for chats, exactly what the chat template writes."""
    if isinstance(doc, str):
        return doc + END_OF_TURN
    turns = (f"{START_OF_TURN}{m['role']}\n{m['content']}{END_OF_TURN}\n" for m in doc)
    return "".join(turns)


def pack(documents: Iterable[list[int]], row_length: int) -> np.ndarray:
    """Packs documents into rows.

    Args:
        documents: Token ids of each document.
        row_length: Tokens per row.

    Returns:
        int16 array [rows, row_length]; the last, unfinished row is dropped.
    """
    rows, row = [], []
    for token_ids in documents:
        row += token_ids
        if len(row) >= row_length:
            rows.append(row[:row_length])
            row = []
    return np.array(rows, dtype=np.int16).reshape(-1, row_length)


def chunk_of_rows(
    chunk: int, tokenizer_json: str, row_length: int, num_documents: int, seed: int
) -> np.ndarray:
    """Draws, encodes and packs one chunk of the corpus; depends on (seed, row_length, chunk)."""
    rng = Random(f"corpus-{seed}-{row_length}-{chunk}")
    texts = [render(document(rng)) for _ in range(num_documents)]
    encodings = Tokenizer.from_str(tokenizer_json).encode_batch_fast(texts)
    return pack((encoding.ids for encoding in encodings), row_length)


def corpus_rows(
    tokenizer_json: str, num_documents: int, row_length: int, seed: int, num_workers: int
) -> np.ndarray:
    """Draws the whole corpus, int16 [rows, row_length]; the same for any number of workers."""
    size = min(num_documents, _DOCUMENTS_PER_CHUNK)
    job = partial(
        chunk_of_rows,
        tokenizer_json=tokenizer_json,
        row_length=row_length,
        num_documents=size,
        seed=seed,
    )
    chunks = range(num_documents // size)
    results = map(job, chunks) if num_workers == 1 else _in_parallel(job, chunks, num_workers)
    return np.concatenate(list(tqdm(results, "corpus", len(chunks), unit="chunk")))


def _in_parallel(job: partial, chunks: range, num_workers: int) -> Iterator[np.ndarray]:
    # One process per core already: threads of the tokenizer would only get in their way.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with ProcessPoolExecutor(num_workers) as pool:
        yield from pool.map(job, chunks)
