"""Grammars: what they allow, at which position, through all that can happen to a sequence."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from nanovllm_edu import LLM, EngineConfig, LLMEngine, SamplingParams, StructuredOutputsParams
from nanovllm_edu import grammar as grammar_module
from nanovllm_edu.errors import MissingPackageError, RequestError
from nanovllm_edu.grammar import Grammars
from nanovllm_edu.live.engine import make_engine
from nanovllm_edu.runners.checksum import ChecksumRunner
from tests.core.steps import Guesses
from tests.engine.engines import Letters
from tests.schemas import random_schema

PHONE = StructuredOutputsParams(regex=r"[0-9]{3}-[0-9]{2}")
PERSON = StructuredOutputsParams(
    json={
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"enum": [1, 22, 333]}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
)
FORMS = {
    "regex": PHONE,
    "json": PERSON,
    "choice": StructuredOutputsParams(choice=["yes", "no", "née", "a\nb"]),
    "lark": StructuredOutputsParams(grammar='start: "a" | "b" "c" start'),
    "gbnf": StructuredOutputsParams(grammar='root ::= "up" | "down"'),
}
PROMPT = "Tell me about Tom: "


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(device="cpu", block_size=4, num_blocks=128, max_num_seqs=8) as llm:
        yield llm


@pytest.fixture(scope="module")
def grammars(llm: LLM) -> Grammars:
    runner = llm.engine.runner
    return Grammars(llm.tokenizer, runner.vocab_size, runner.eos_token_ids)


def allowed(mask: bytes, vocab_size: int = 2560) -> set[int]:
    return {i for i in range(vocab_size) if mask[i // 8] >> i % 8 & 1}


def ids(llm: LLM, text: str) -> list[int]:
    return llm.tokenizer.encode(text, add_special_tokens=False)


def checksum_engine(llm: LLM, **options: Any) -> LLMEngine:
    """Draws anything that its mask allows, with the vocabulary of the model in the box."""
    runner = ChecksumRunner(
        options.get("num_blocks", 400), 4, vocab_size=2560, max_model_len=1200,
        eos_token_ids=llm.engine.runner.eos_token_ids,
    )  # fmt: skip
    config = EngineConfig(block_size=4, **{"num_blocks": 400, "max_num_seqs": 64, **options})
    return LLMEngine(runner, config, llm.tokenizer)


def outputs(engine: LLMEngine, params: list[SamplingParams], depth: int = 0) -> list[str]:
    seqs = engine.add_requests([(PROMPT, one) for one in params])
    for _ in engine.run(depth):
        engine.scheduler.check_invariants()
    assert {seq.finish_reason for seq in seqs} <= {"stop"}, [s.finish_detail for s in seqs]
    tokenizer = engine.tokenizer
    assert tokenizer is not None
    return [tokenizer.decode(seq.output_token_ids) for seq in seqs]


# ------------------------------------------------------------------------------- one grammar


def test_a_mask_allows_what_may_come_next_and_nothing_else(llm: LLM, grammars: Grammars) -> None:
    grammar = grammars.of(PHONE)
    (mask,) = grammar.masks()
    texts = {llm.tokenizer.decode([i]) for i in allowed(mask)}
    assert {"0", "7"} <= texts
    assert all(text.isdigit() and len(text) <= 3 for text in texts)
    assert grammar.accept(ids(llm, "555")) == len(ids(llm, "555"))
    (mask,) = grammar.masks()
    assert {llm.tokenizer.decode([i]) for i in allowed(mask)} == {"-"}


def test_the_end_is_allowed_where_the_grammar_may_end_and_nowhere_else(
    llm: LLM, grammars: Grammars
) -> None:
    eos = llm.engine.runner.eos_token_ids
    grammar = grammars.of(StructuredOutputsParams(regex="ab?"))
    assert not allowed(*grammar.masks()) & eos
    grammar.accept(ids(llm, "a"))
    assert allowed(*grammar.masks()) > eos
    assert not grammar.is_complete
    grammar.accept(ids(llm, "b"))
    assert grammar.is_complete


def test_each_guess_has_a_mask_of_its_own_and_the_grammar_stands_still(
    llm: LLM, grammars: Grammars
) -> None:
    grammar, tokens = grammars.of(PHONE), ids(llm, "123-45")
    masks = grammar.masks(tokens[:-1])
    assert len(masks) == len(tokens)
    for mask, token in zip(masks, tokens, strict=True):
        assert grammar.masks() == (mask,), "the same as one position after the other"
        assert token in allowed(mask)
        grammar.accept([token])


def test_it_says_how_many_guesses_may_come(llm: LLM, grammars: Grammars) -> None:
    grammar, tokens = grammars.of(PHONE), ids(llm, "123-")
    assert grammar.num_allowed(tokens) == len(tokens)
    assert grammar.num_allowed([*tokens, tokens[-1]]) == len(tokens)
    assert grammar.num_allowed([tokens[-1]]) == 0


# ------------------------------------------------------------------------ what is asked for


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_answers_have_their_form(llm: LLM, form: StructuredOutputsParams) -> None:
    params = SamplingParams(structured_outputs=form, n=4, seed=2, temperature=1.5, max_tokens=90)
    (output,) = llm.generate(PROMPT, params, use_tqdm=False)
    right = Grammars(llm.tokenizer, 2560, llm.engine.runner.eos_token_ids)
    for one in output.outputs:
        assert one.finish_reason == "stop"
        grammar = right.of(form)
        assert grammar.accept(one.token_ids) == len(one.token_ids)
        assert grammar.is_complete
    if form is PERSON:
        assert all(json.loads(one.text)["age"] in (1, 22, 333) for one in output.outputs)


def test_any_json_object(llm: LLM) -> None:
    form = StructuredOutputsParams(json_object=True)
    engine = checksum_engine(llm)
    params = [SamplingParams(structured_outputs=form, seed=i, max_tokens=400) for i in range(20)]
    seqs = engine.add_requests([(PROMPT, one) for one in params])
    list(engine.run(0))
    texts = [llm.tokenizer.decode(s.output_token_ids) for s in seqs if s.finish_reason == "stop"]
    assert len(texts) > 3
    assert all(isinstance(json.loads(text), dict) for text in texts)


@pytest.mark.slow
def test_answers_under_500_random_schemas_parse_and_validate(llm: LLM) -> None:
    """Drawn at random among what is allowed: rougher than any model."""
    schemas = [random_schema(Random(seed)) for seed in range(500)]
    params = [
        SamplingParams(
            structured_outputs=StructuredOutputsParams(json=schema), seed=i, max_tokens=None
        )
        for i, schema in enumerate(schemas)
    ]
    engine = checksum_engine(llm, num_blocks=4000, draft_proposer=None)
    for schema, text in zip(schemas, outputs(engine, params), strict=True):
        check = Draft202012Validator(schema, format_checker=FormatChecker())
        check.validate(json.loads(text))


# ---------------------------------------------------------------- whatever happens to a sequence

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "chunked": {"max_num_batched_tokens": 4},
    "preempted": {"num_blocks": 30, "max_model_len": 100},
    "guesses that are forbidden": {"draft_proposer": Guesses(0, 1, 2)},
    "radix": {"prefix_cache": "radix"},
}


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_tokens_are_those_of_a_request_alone(llm: LLM, way: str, depth: int) -> None:
    params = [
        SamplingParams(structured_outputs=form, seed=i, max_tokens=80)
        for i, form in enumerate((*FORMS.values(), PERSON, PERSON, PERSON))
    ]
    alone = [outputs(checksum_engine(llm), [one])[0] for one in params]
    engine = checksum_engine(llm, **WAYS[way])
    assert outputs(engine, params, depth) == alone


@pytest.mark.parametrize("num_right", [1, 3, 9])
def test_guesses_come_true_under_a_grammar_and_change_nothing(llm: LLM, num_right: int) -> None:
    params = SamplingParams(structured_outputs=PERSON, seed=5, max_tokens=80)
    plain = checksum_engine(llm)
    (seq,) = plain.add_requests([(PROMPT, params)])
    num_steps = len(list(plain.run(0)))
    right, num_prompt = seq.output_token_ids, seq.num_prompt_tokens

    class Oracle:
        def propose(self, token_ids: Any, num_tokens: int) -> list[int]:
            at = len(token_ids) - num_prompt
            return [*right[at : at + num_right], 1, 4][:num_tokens]

    engine = checksum_engine(llm, draft_proposer=Oracle())
    (guessed,) = engine.add_requests([(PROMPT, params)])
    records = list(engine.run(0))
    assert guessed.output_token_ids == right
    assert len(records) < num_steps
    for record in records:
        for span, held in zip(record.spans, record.plan.masks, strict=True):
            assert len(held.masks) == len(held.nums_allowed) == span.num_claimed
            assert 1 not in span.drafted, "what the grammar forbids is not offered"


def test_a_mask_never_lags(llm: LLM) -> None:
    """With two steps in flight, whoever has no grammar runs ahead, and it waits for its token."""
    engine = checksum_engine(llm)
    held = SamplingParams(structured_outputs=PHONE, seed=1)
    free = SamplingParams(seed=2, max_tokens=9, ignore_eos=True)
    seqs = engine.add_requests([(PROMPT, held), (PROMPT, free)])
    records = list(engine.run(2))
    waits = [r.blocked for r in records if r.blocked and r.blocked.resource == "in_flight"]
    assert waits
    assert all(wait.seq_id == 0 and "what is allowed follows from it" in wait.why for wait in waits)
    assert seqs[0].finish_reason == "stop"
    assert seqs[0].finish_detail == "its grammar is complete"


def test_a_fork_goes_on_by_itself(llm: LLM) -> None:
    for changes in ({}, {"block_size": 8}):
        engine = checksum_engine(llm)
        params = SamplingParams(structured_outputs=PERSON, seed=3, max_tokens=80)
        (seq,) = engine.add_requests([(PROMPT, params)])
        for _ in range(4):
            engine.step()
        twin = engine.fork(**changes)
        other = twin.scheduler.sequence(0)
        list(twin.run(1))
        assert seq.finish_reason is None
        list(engine.run(1))
        assert other.output_token_ids == seq.output_token_ids
        assert other.finish_reason == "stop"


def test_the_runner_without_torch_draws_the_same(llm: LLM) -> None:
    params = [
        SamplingParams(structured_outputs=form, seed=4, temperature=0.9, max_tokens=60, top_p=0.95)
        for form in FORMS.values()
    ]
    right = llm.generate([PROMPT] * len(params), params, use_tqdm=False)
    engine = make_engine("model", num_blocks=128)
    engine._intake = llm.engine._intake  # a page has no llguidance; the runner gets masks alike
    seqs = engine.add_requests([(PROMPT, one) for one in params])
    list(engine.run(0))
    assert [seq.output_token_ids for seq in seqs] == [output.token_ids for output in right]


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"regex": "("}, "unclosed group"),
        ({"regex": r"[^\s\S]"}, "cannot be met"),
        ({"json": {"type": "odd"}}, "Invalid type: odd"),
        ({"json": {"type": "integer", "minimum": 3, "maximum": 2}}, "Unsatisfiable"),
        ({"json": {"not": {"type": "string"}}}, 'Unimplemented keys: ."not"'),
        ({"json": {"type": "string", "format": "odd"}}, "Unknown format"),
        ({"grammar": "start: missing"}, "unknown name"),
        ({"grammar": "root ::= ("}, "cannot be met"),
    ],
)
def test_an_impossible_grammar_is_refused_and_nothing_else_is_harmed(
    llm: LLM, form: dict[str, Any], message: str
) -> None:
    engine = llm.engine
    stranger = engine.add_request(PROMPT, SamplingParams(max_tokens=3, ignore_eos=True))
    with pytest.raises(RequestError, match=f"cannot be met.*{message}|{message}"):
        engine.add_request(PROMPT, SamplingParams(structured_outputs=form))
    assert engine.unfinished_seq_ids() == {stranger}
    list(engine.run(0))


CHAINS = """
from nanovllm_edu.core.request.structured_outputs import StructuredOutputsParams
from nanovllm_edu.grammar import Grammars
from nanovllm_edu.models.folder import resolve_model_folder
from nanovllm_edu.tokenizer import Tokenizer

tokenizer = Tokenizer.load(resolve_model_folder("tiny"))
grammars = Grammars(tokenizer, 2560, frozenset(tokenizer.eos_token_ids))
rules = "".join(f"r{i}: r{i + 1}\\n" for i in range(12_000))
grammars.of(StructuredOutputsParams(grammar=f'start: r0\\n{rules}r12000: "a"'))
named = {f"a{i}": {"items": {"$ref": f"#/$defs/a{i + 1}"}} for i in range(4_000)}
schema = {"$ref": "#/$defs/a0", "$defs": {**named, "a4000": {}}}
grammars.of(StructuredOutputsParams(json=schema)).masks()
"""


def test_thousands_of_rules_each_of_the_next_do_not_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", CHAINS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_grammar_that_takes_too_long_is_refused_and_holds_up_no_other(
    llm: LLM, grammars: Grammars, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread cannot be ended, but there are two at most; whoever asks later finds it done."""
    leave, compile_it = threading.Event(), Grammars._compile
    hostile = [StructuredOutputsParams(regex=f"x{i}") for i in range(3)]

    def slow(self: Grammars, llguidance: Any, wanted: StructuredOutputsParams) -> Any:
        assert wanted not in hostile or leave.wait(20)
        return compile_it(self, llguidance, wanted)

    monkeypatch.setattr(Grammars, "_compile", slow)
    monkeypatch.setattr(grammar_module, "MAX_SECONDS", 0.05)
    fresh = Grammars(llm.tokenizer, 2560, llm.engine.runner.eos_token_ids)
    for wanted in hostile[:1]:
        with pytest.raises(
            RequestError, match=r"'x0'.*not compiled within 0.05 s; make it smaller"
        ):
            fresh.of(wanted)
    monkeypatch.setattr(grammar_module, "MAX_SECONDS", 5.0)
    assert fresh.of(PHONE).masks() == grammars.of(PHONE).masks()
    monkeypatch.setattr(grammar_module, "MAX_SECONDS", 0.05)
    for wanted in hostile[1:]:  # the last of them does not even begin
        with pytest.raises(RequestError, match="try again"):
            fresh.of(wanted)
    assert fresh._compiled[hostile[2]].cancelled()
    leave.set()
    monkeypatch.setattr(grammar_module, "MAX_SECONDS", 5.0)
    for wanted in hostile:
        assert fresh.of(wanted).masks() == grammars.of(wanted).masks()
        assert fresh.is_ready(wanted)


def test_many_choices_are_compiled_in_no_time(llm: LLM, grammars: Grammars) -> None:
    choices = [f"{i * 7919 % 30_000:x}" for i in range(30_000)]
    form = grammars.of(StructuredOutputsParams(choice=choices))
    assert form.accept(ids(llm, "752f")) == len(ids(llm, "752f"))
    assert form.is_complete
    assert grammars.of(StructuredOutputsParams(choice=choices)).accept(ids(llm, "g")) == 0


def test_choices_are_texts_whatever_is_in_them(llm: LLM, grammars: Grammars) -> None:
    texts = [
        'say "a|b"',
        "a\\b",
        "/x/i",
        "tab\t, line\n",
        "日本 né",
        "\x00",
        "<[3]>",
        "a.c",
        "\u2028",
    ]
    form = StructuredOutputsParams(choice=texts)
    for text in texts:
        one = grammars.of(form)
        tokens = ids(llm, text)
        assert one.accept(tokens) == len(tokens), text
        assert one.is_complete, text
    assert grammars.of(form).accept(ids(llm, "abc")) < len(ids(llm, "abc"))


def test_what_cannot_even_begin_is_refused(llm: LLM) -> None:
    seven, eos = ids(llm, "7"), llm.engine.runner.eos_token_ids
    digits = [i for i in range(2560) if llm.tokenizer.decode([i]).isdigit()]
    for form, options in (
        (PHONE, {"allowed_token_ids": ids(llm, "a")}),
        (PHONE, {"allowed_token_ids": seven, "bad_words": ["7"]}),
        (PHONE, {"bad_words_token_ids": [[i] for i in digits]}),
        (StructuredOutputsParams(regex="7"), {"min_tokens": 1, "stop_token_ids": seven}),
        (StructuredOutputsParams(regex="a{0}"), {"min_tokens": 1}),
    ):
        name = next(iter(options)).removesuffix("_token_ids")
        with pytest.raises(RequestError, match=rf"cannot begin: none.*is left by .*{name}"):
            llm.engine.add_request(PROMPT, SamplingParams(structured_outputs=form, **options))
    assert not llm.engine.has_unfinished_requests()
    for form, options in (
        (PHONE, {"allowed_token_ids": digits}),
        (StructuredOutputsParams(regex="a{0}"), {}),
        (StructuredOutputsParams(regex="a{0}"), {"min_tokens": 1, "ignore_eos": True}),
    ):
        params = SamplingParams(structured_outputs=form, max_tokens=2, **options)
        (seq,) = llm.engine.add_requests([(PROMPT, params)])
        list(llm.engine.run(0))
        assert seq.finish_reason in ("stop", "length")
        assert form is PHONE or set(seq.output_token_ids) <= eos


@pytest.mark.parametrize("depth", [0, 1])
def test_a_form_that_is_complete_ends_its_request_before_min_tokens(llm: LLM, depth: int) -> None:
    """It cannot go on, whatever else was asked for; one that can go on does so."""
    engine = llm.engine
    closed = SamplingParams(structured_outputs={"choice": ["yes"]}, min_tokens=40, seed=1)
    opened = SamplingParams(
        structured_outputs={"regex": "[0-9]+"}, min_tokens=20, max_tokens=40, seed=2
    )
    seqs = engine.add_requests([(PROMPT, closed), (PROMPT, opened)])
    list(engine.run(depth))
    assert llm.tokenizer.decode(seqs[0].output_token_ids) == "yes"
    assert (seqs[0].finish_reason, seqs[0].finish_detail) == ("stop", "its grammar is complete")
    assert len(seqs[1].output_token_ids) >= 20
    assert llm.tokenizer.decode(seqs[1].output_token_ids, skip_special_tokens=True).isdigit()


def test_options_that_leave_nothing_end_their_request_and_no_other(llm: LLM) -> None:
    fours = llm.tokenizer.encode("4", add_special_tokens=False)
    for extra in ({}, {"temperature": 0}, {"top_p": 0.9, "top_k": 5}):
        params = SamplingParams(structured_outputs=PHONE, max_tokens=20, **extra)
        dead = replace(params, allowed_token_ids=fours)  # and never the dash
        engine = make_engine("model", num_blocks=64)
        engine._intake = llm.engine._intake
        for one in (llm.engine, engine):
            seqs = one.add_requests([(PROMPT, dead), (PROMPT, params)])
            list(one.run(0))
            assert seqs[0].finish_reason == "error"
            assert "no token is left" in seqs[0].finish_detail
            assert llm.tokenizer.decode(seqs[0].output_token_ids) == "444"
            assert seqs[1].finish_reason == "stop"


def test_without_the_library_the_error_says_how_to_get_it(
    llm: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    fresh = Grammars(llm.tokenizer, 2560, frozenset())
    with pytest.raises(MissingPackageError, match=r"pip install 'nanovllm-edu\[grammar\]'"):
        fresh.of(PHONE)


def test_a_tokenizer_without_bytes_is_refused() -> None:
    engine = LLMEngine(ChecksumRunner(), None, Letters())
    with pytest.raises(RequestError, match="need a model with a fast tokenizer"):
        engine.add_request("a", SamplingParams(structured_outputs=PHONE))
    assert not engine.has_unfinished_requests()
