"""One judge of where text ends: what it shows is never taken back, and is the text of the whole."""

import copy
import random

import pytest

from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.detokenizer import Decoder
from nanovllm_edu.text_judge import TextEnd, TextJudge
from nanovllm_edu.tokenizer import Tokenizer
from tests.decoders import FAMILIES, SPECIAL, byte_level, llama2, tokenizer_of
from tests.timing import times_as_long


def size(tokenizer: Tokenizer) -> int:
    return max(tokenizer.special_token_ids) + 1


def random_tokens(rng: random.Random, tokenizer: Tokenizer, length: int) -> list[int]:
    """Any tokens, in stretches of one kind, with some that do not exist."""
    tokens: list[int] = []
    while len(tokens) < length:
        kind = rng.random()
        if kind < 0.15:
            tokens.append(rng.choice(sorted(tokenizer.special_token_ids)))
        elif kind < 0.2:
            tokens.append(size(tokenizer) + rng.randrange(5))
        else:
            ordinary = range(min(tokenizer.special_token_ids))
            start = rng.choice(ordinary)
            near = ordinary[max(0, start - 4) : start + 5]
            tokens += [rng.choice(near) for _ in range(rng.randrange(1, 6))]
    return tokens[:length]


def text_of(tokenizer: Tokenizer, tokens: list[int], params: SamplingParams) -> str:
    return tokenizer.decode(tokens, skip_special_tokens=params.skip_special_tokens)


def ids(tokenizer: Tokenizer, *tokens: str) -> list[int]:
    return tokenizer._tokenizer.convert_tokens_to_ids(list(tokens))


# ------------------------------------------------------------------------- incremental text


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("skip", [True, False])
def test_case_2_pieces_are_the_text_of_the_whole(family, skip: bool) -> None:
    """3,000 random sequences a family, with special tokens, cut into steps of any size."""
    tokenizer, rng = family(), random.Random(7)
    assert tokenizer.spelling != "unknown"
    params = SamplingParams(skip_special_tokens=skip)
    for _ in range(1500):
        tokens = random_tokens(rng, tokenizer, rng.randrange(1, 16))
        judge, pieces, begin = TextJudge(tokenizer, params), [], 0
        while begin < len(tokens):
            step = rng.randrange(1, 4)
            assert judge.add(tokens[begin : begin + step]) is None
            pieces.append(judge.take())
            begin += step
        judge.finish()
        pieces.append(judge.take())
        whole = text_of(tokenizer, tokens, params)
        assert "".join(pieces) == judge.text == whole, tokens
        assert judge.num_tokens == len(tokens)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_what_is_final_stays_whatever_comes_next(family) -> None:
    tokenizer, rng, params = family(), random.Random(3), SamplingParams()
    for _ in range(1000):
        tokens = random_tokens(rng, tokenizer, rng.randrange(1, 12))
        judge = TextJudge(tokenizer, params)
        judge.add(tokens)
        longer = tokens + random_tokens(rng, tokenizer, 6)
        assert text_of(tokenizer, longer, params).startswith(judge.text), (tokens, longer)


def test_case_2_a_skipped_token_does_not_make_the_next_one_the_first() -> None:
    tokenizer = llama2()
    judge = TextJudge(tokenizer, SamplingParams())
    judge.add(ids(tokenizer, "▁a", "</s>", "▁b"))
    assert judge.text == "a b"


def test_a_byte_that_is_wrong_takes_back_only_what_was_held() -> None:
    tokenizer = llama2()
    judge = TextJudge(tokenizer, SamplingParams())
    judge.add(ids(tokenizer, "▁a", "<0xC3>", "<0xA9>"))
    assert judge.take() == "a"  # one wrong byte behind it, and the é was none
    judge.add(ids(tokenizer, "<0xFF>"))
    assert judge.take() == "\ufffd" * 3
    judge.add(ids(tokenizer, "<0xA9>", "</s>", "<0xC3>"))
    assert judge.take() == "\ufffd" * 2
    judge.add(ids(tokenizer, "c", "<0xC3>", "</s>", "<0xA9>", "c"))
    assert judge.take() == "céc"


@pytest.mark.parametrize("family", [byte_level, llama2], ids=lambda family: family.__name__)
def test_a_tail_of_invalid_bytes_is_released_and_costs_linear_time(family) -> None:
    """4,000 tokens that are no text: at most 4 bytes are held back, and each costs as the first."""
    tokenizer = family()
    tokens = [
        i
        for i in range(size(tokenizer))
        if (spelt := tokenizer.token_bytes(i)) and spelt[:1] >= b"\xc0" and len(spelt) == 1
    ]
    tokens = (tokens * 4000)[:4000]

    def judged(tokens: list[int]) -> TextJudge:
        judge = TextJudge(tokenizer, SamplingParams())
        for token_id in tokens:
            judge.add((token_id,))
        return judge

    judge = judged(tokens)
    assert len(judge.text) >= 4000 - 4
    judge.finish()
    assert judge.text == text_of(tokenizer, tokens, SamplingParams())
    # Eight times as many tokens; if each looked at all before it, 64 times as long.
    assert times_as_long(lambda: judged(tokens), lambda: judged(tokens[:500])) < 24


class Unknown(Decoder):
    """A tokenizer of which nothing is known but `decode`."""

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
        return bytes(token_ids).decode(errors="replace")


def test_a_tokenizer_of_which_only_decode_is_known_holds_back_four_tokens() -> None:
    judge = TextJudge(Unknown(), SamplingParams())
    judge.add("é€🙂".encode())
    assert judge.take() == "é€🙂"
    judge.add(b"\xff" * 3)
    assert judge.take() == ""
    judge.add(b"\xff")
    assert judge.take() == "\ufffd" * 4


# ----------------------------------------------------------------------------- stop strings


def first_end(texts: list[str], stops: list[str]) -> tuple[int, str] | None:
    """With which token a stop string is complete, and the text so far cut before it."""
    for number, text in enumerate(texts):
        ends = [(text.find(s) + len(s), -len(s), s) for s in stops if s in text]
        if ends:
            end, _, stop = min(ends)
            return number, text[: end - len(stop)]
    return None


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("skip", [True, False])
def test_case_1_a_stop_string_ends_where_a_search_of_all_text_finds_it(family, skip) -> None:
    tokenizer, rng = family(), random.Random(11)
    num_found = 0
    for _ in range(1200):
        tokens = random_tokens(rng, tokenizer, rng.randrange(2, 12))
        whole = text_of(tokenizer, tokens, SamplingParams(skip_special_tokens=skip))
        stops = [rng.choice(["END", "</s>", "a b", "é", " "])]
        if whole.replace("\ufffd", ""):
            start = rng.randrange(len(whole))
            stops.append(whole[start : start + rng.randrange(1, 5)])
        stops = [stop for stop in stops if "\ufffd" not in stop]
        params = SamplingParams(stop=tuple(stops), skip_special_tokens=skip)
        judge = TextJudge(tokenizer, params)
        end = judge.add(tokens)
        judge.finish()
        # The text after each token, without the character that is not finished.
        texts = [text_of(tokenizer, tokens[: n + 1], params) for n in range(len(tokens))]
        expected = first_end(texts, stops)
        if expected is None:
            assert (end, judge.text) == (None, whole)
        else:
            num_found += 1
            assert end is not None and end.num_tokens == expected[0] + 1, (tokens, stops)
            assert judge.text == expected[1]
            assert end.stop == end.stop_reason in stops
    assert num_found > 300


def test_case_1_a_special_token_is_a_stop_string_where_it_is_shown() -> None:
    tokenizer = byte_level()
    tokens = ids(tokenizer, "a", "<|im_end|>", "a")
    shown = TextJudge(tokenizer, SamplingParams(stop="<|im_end|>", skip_special_tokens=False))
    assert shown.add(tokens) == TextEnd(2, "<|im_end|>", None, "<|im_end|>")
    assert shown.text == "a"
    skipped = TextJudge(tokenizer, SamplingParams(stop="<|im_end|>"))
    assert skipped.add(tokens) is None
    assert skipped.text == "aa"


def test_a_possible_beginning_of_a_stop_string_is_held_back() -> None:
    judge = TextJudge(Unknown(), SamplingParams(stop="<end>"))
    pieces = [judge.add([byte]) or judge.take() for byte in b"ab<en"]
    assert pieces == ["a", "b", "", "", ""]
    judge.finish()
    assert judge.take() == "<en"


def test_the_stop_string_stays_if_asked_for_and_nothing_is_held_back_for_it() -> None:
    judge = TextJudge(Unknown(), SamplingParams(stop="<end>", include_stop_str_in_output=True))
    assert judge.add(b"ab<en") is None
    assert judge.text == "ab<en"
    assert judge.add(b"d> and more") == TextEnd(2, "<end>", None, "<end>")
    assert judge.text == "ab<end>"


def test_of_several_stop_strings_the_first_to_end_counts_then_the_longest() -> None:
    judge = TextJudge(Unknown(), SamplingParams(stop=("lo", "hello", "hell")))
    assert judge.add(b"say hello") == TextEnd(8, "hell", None, "hell")
    judge = TextJudge(Unknown(), SamplingParams(stop=("lo", "hello")))
    assert judge.add(b"say hello") == TextEnd(9, "hello", None, "hello")
    assert judge.text == "say "


def test_case_21_stop_strings_cost_linear_time() -> None:
    """Stops of equal characters, all but one of them held back; 50,000 characters in all.

    A character costs the same whether 49 or 999 are held back; it was as many times as much.
    """

    def judged(held_back: int) -> None:
        half = (held_back + 1) // 2
        stop = ("a" * (held_back + 1), "a" * half + "b" + "a" * (half - 1))
        judge = TextJudge(Unknown(), SamplingParams(stop=stop))
        for _ in range(50_000 // (held_back + 1)):
            assert judge.add(b"a" * held_back + b"c") is None
        assert len(judge.text) == 50_000

    assert times_as_long(lambda: judged(999), lambda: judged(49)) < 3


# ---------------------------------------------------------------------------- ending tokens


def test_case_3_an_ending_token_is_left_out_unless_asked_for() -> None:
    tokenizer = byte_level()
    a, end = ids(tokenizer, "a", "END")
    for include, text in ((False, "a"), (True, "aEND")):
        params = SamplingParams(stop_token_ids=[end], include_stop_str_in_output=include)
        judge = TextJudge(tokenizer, params)
        assert judge.add([a, end, a]) == TextEnd(2, None, end, end)
        assert judge.text == text


def test_the_models_own_end_is_no_stop_reason() -> None:
    tokenizer = byte_level()
    a, eos = ids(tokenizer, "a", "</s>")
    judge = TextJudge(tokenizer, SamplingParams(skip_special_tokens=False), frozenset([eos]))
    assert judge.add([a, eos]) == TextEnd(2, None, eos, None)
    assert judge.text == "a"


def test_an_ending_token_releases_what_was_held_back() -> None:
    tokenizer = byte_level()
    eos = ids(tokenizer, "</s>")[0]
    judge = TextJudge(tokenizer, SamplingParams(stop="<|x"), frozenset([eos]))
    judge.add(ids(tokenizer, "a", "<|"))
    assert judge.take() == "a"
    judge.add([eos])
    assert judge.take() == "<|"


def test_nothing_ends_before_min_tokens() -> None:
    tokenizer = byte_level()
    a, dot, eos = ids(tokenizer, "a", ".", "</s>")
    params = SamplingParams(stop=("a", ".a"), min_tokens=3)
    judge = TextJudge(tokenizer, params, frozenset([eos]))
    assert judge.add([a, eos, dot, a]) == TextEnd(4, ".a", None, ".a")
    assert judge.text == "a"


# ------------------------------------------------------------------------- back, and copies


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_going_back_is_as_if_nothing_had_come(family) -> None:
    tokenizer, rng = family(), random.Random(5)
    params = SamplingParams(stop=("END", "a b"), skip_special_tokens=False)
    for _ in range(300):
        first, wrong, right = (random_tokens(rng, tokenizer, rng.randrange(8)) for _ in "123")
        judge, alone = TextJudge(tokenizer, params), TextJudge(tokenizer, params)
        if judge.add(first):
            continue
        mark, twin = judge.mark(), copy.deepcopy(judge)
        judge.add(wrong)
        judge.take()
        judge.back_to(mark)
        alone.add(first)
        ends = [one.add(right) for one in (judge, alone, twin)]
        for one in (judge, alone, twin):
            one.finish()
        assert ends[0] == ends[1] == ends[2]
        assert judge.text == alone.text == twin.text
        assert judge.num_tokens == alone.num_tokens == twin.num_tokens


def test_a_decoder_that_raises_leaves_the_judge_as_it_was() -> None:
    class Breaks(Unknown):
        fails = False

        def decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
            if self.fails:
                raise KeyboardInterrupt
            return super().decode(token_ids)

    decoder = Breaks()
    judge = TextJudge(decoder, SamplingParams(stop="never"))
    judge.add(b"ne")
    decoder.fails = True
    with pytest.raises(KeyboardInterrupt):
        judge.add(b"xyz")
    decoder.fails = False
    judge.add(b"ver")
    assert (judge.num_tokens, judge.text) == (5, "")


def test_a_copy_shares_the_tokenizer() -> None:
    tokenizer = byte_level()
    twin = copy.deepcopy(TextJudge(tokenizer, SamplingParams()))
    assert twin._decoder.decoder is tokenizer


def test_an_added_token_in_plain_text_keeps_its_characters() -> None:
    tokenizer = tokenizer_of(
        ["unk", "日本", "a"], byte_level()._tokenizer.backend_tokenizer.decoder
    )
    judge = TextJudge(tokenizer, SamplingParams())
    judge.add([1, 2])
    assert judge.text == tokenizer.decode([1, 2]) == "日本a"
    assert SPECIAL[0] == tokenizer.decode([3], skip_special_tokens=False)
