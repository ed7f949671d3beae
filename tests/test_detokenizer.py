"""Incremental text: final when released, whole when done, cut at a stop string."""

import random

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.detokenizer import Decoder
from nanovllm_edu.text_judge import TextJudge


class Bytes(Decoder):
    """A vocabulary of single bytes: any character beyond ASCII takes several tokens."""

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
        return bytes(token_ids).decode(errors="replace")


def feed(text: str, stop: tuple[str, ...] = ()) -> tuple[list[str], TextJudge]:
    judge = TextJudge(Bytes(), SamplingParams(stop=stop))
    token_ids = list(text.encode())
    pieces: list[str] = []
    for index, token_id in enumerate(token_ids):
        if not judge.is_over:
            judge.add([token_id])
        if index == len(token_ids) - 1:
            judge.finish()
        pieces.append(judge.take())
    return pieces, judge


@pytest.mark.parametrize("text", ["plain", "naïve café", "日本語の文", "🙂 ok 🙃", "ends with é"])
def test_pieces_add_up_and_hold_no_half_characters(text: str) -> None:
    pieces, incremental = feed(text)
    assert "".join(pieces) == incremental.text == text
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_a_possible_beginning_of_a_stop_string_is_held_back() -> None:
    pieces, incremental = feed("ab<en", ("<end>",))
    assert pieces == ["a", "b", "", "", "<en"]  # released when the request is over
    assert incremental.text == "ab<en"


def test_text_is_cut_before_the_first_stop_string() -> None:
    pieces, incremental = feed("hello<", ("<end>", "lo<"))
    assert incremental.text == "".join(pieces) == "hel"


@pytest.mark.parametrize("seed", range(50))
def test_any_stop_strings_cut_as_a_search_would(seed: int) -> None:
    rng = random.Random(seed)
    text = "".join(rng.choice("ab") for _ in range(30))
    stops = tuple("".join(rng.choice("ab") for _ in range(rng.randrange(2, 7))) for _ in range(2))
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    generated = text[: min(ends)] if ends else text  # the engine ends at the first stop
    starts = [generated.find(stop) for stop in stops if stop in generated]
    _, incremental = feed(generated, stops)
    assert incremental.text == (generated[: min(starts)] if starts else generated)
