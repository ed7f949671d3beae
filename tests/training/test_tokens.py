"""The tokenizer spells any text, and the packed rows hold the documents."""

from functools import cache
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from nanovllm_edu.models.folder import TINY_MODEL_FOLDER
from training.corpus import document
from training.tokens import corpus_rows, pack, render
from training.train_tokenizer import train_tokenizer


@cache
def bundled():
    return AutoTokenizer.from_pretrained(TINY_MODEL_FOLDER)


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_any_text_survives_the_round_trip(text):
    assert bundled().decode(bundled().encode(text)) == text


def test_render_writes_what_the_chat_template_writes():
    rng = Random(0)
    for doc in (document(rng) for _ in range(100)):
        if not isinstance(doc, str):
            assert render(doc) == bundled().apply_chat_template(doc, tokenize=False)


def test_special_tokens():
    tokenizer = bundled()
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert tokenizer.encode("<|im_end|>") == [tokenizer.eos_token_id]
    assert 2048 <= len(tokenizer) <= 4096


def test_every_row_starts_with_a_document_and_the_rest_is_cut():
    rows = pack([[1, 2, 3], [4, 5], [6, 7, 8, 9], [1]], row_length=4)
    assert rows.tolist() == [[1, 2, 3, 4], [6, 7, 8, 9]]


def test_rows_depend_on_the_seed_alone():
    tokenizer = train_tokenizer(vocab_size=400, num_documents=100)
    encoder = tokenizer.backend_tokenizer.to_str()
    one = corpus_rows(encoder, num_documents=200, row_length=64, seed=5, num_workers=1)
    again = corpus_rows(encoder, num_documents=200, row_length=64, seed=5, num_workers=1)
    other = corpus_rows(encoder, num_documents=200, row_length=64, seed=6, num_workers=1)
    assert one.dtype == np.int16
    assert one.shape[1] == 64
    np.testing.assert_array_equal(one, again)
    assert one.shape != other.shape or (one != other).any()


def test_tokenizer_training_is_deterministic():
    first, second = (train_tokenizer(vocab_size=400, num_documents=100) for _ in range(2))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()
