"""`LLM`: text in, text out, with vLLM's API; and the place where all the parts are put together.

    llm = LLM()                                # the model in the box
    llm.generate("Once upon a time")           # -> list[RequestOutput]
    llm.engine.step()                          # the same engine, one step at a time

Read next: `engine.py`; `runners/build.py` for what is chosen at start.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Self, cast

from tqdm.auto import tqdm

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.events import Preempted, PrefixHit
from nanovllm_edu.core.plan import TokenLogprobs
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.step_record import StepRecord
from nanovllm_edu.detokenizer import IncrementalText
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import RequestError
from nanovllm_edu.models.folder import resolve_model_folder
from nanovllm_edu.models.loader import load_model
from nanovllm_edu.outputs import RequestMetrics, RequestOutput, StreamOutput
from nanovllm_edu.runners.build import (
    build_runner,
    choose_device,
    choose_dtype,
    choose_ops,
)
from nanovllm_edu.tokenizer import Message, Tokenizer

Prompt = str | list[int]


@dataclass(slots=True)
class _Request:
    """A request under way, as the caller will see it."""

    prompt: str | None
    prompt_token_ids: list[int]
    params: SamplingParams
    text: IncrementalText
    token_ids: list[int] = field(default_factory=list[int])
    logprobs: list[TokenLogprobs] = field(default_factory=list[TokenLogprobs])
    times: list[float] = field(default_factory=list[float])
    num_cached_tokens: int | None = None
    num_preemptions: int = 0
    finish_reason: str | None = None


class LLM:
    """A model, its tokenizer and an engine.

    Args:
        model: "tiny" (in the box), a Hugging Face model folder, or a hub id.
        **options: Fields of `EngineConfig`.

    Raises:
        ConfigError: An option is unknown or out of range.
        ModelLoadError: The model cannot be read.
    """

    def __init__(self, model: str | Path = "tiny", **options: Any) -> None:
        config = EngineConfig.from_options(options)
        folder = resolve_model_folder(model)
        device, why_device = choose_device(config.device)
        dtype, why_dtype = choose_dtype(config.dtype, device)
        ops, why_ops = choose_ops(device, dtype)
        weights = load_model(
            folder, dtype=dtype, device=device, ops=ops, max_model_len=config.max_model_len
        )
        self.tokenizer = Tokenizer.load(folder)
        eos = frozenset(weights.config.eos_token_ids) | self.tokenizer.eos_token_ids
        reasons = {"device": why_device, "dtype": why_dtype, "ops": why_ops}
        runner, self.info = build_runner(weights, config, eos, reasons)
        self.engine = LLMEngine(runner, config, self.tokenizer)
        # A GPU works on its own: plan the next step meanwhile. A CPU has nothing to overlap.
        self._depth = 1 if device.type == "cuda" else 0

    def generate(
        self,
        prompts: Prompt | list[Prompt],
        sampling_params: SamplingParams | list[SamplingParams] | None = None,
        use_tqdm: bool = True,
    ) -> list[RequestOutput]:
        """Generates for every prompt, in one continuous batch.

        Args:
            prompts: One prompt or a list; each is text or a list of token ids.
            sampling_params: For all prompts, or one per prompt.
            use_tqdm: Show a progress bar.

        Returns:
            One output per prompt, in order.

        Raises:
            RequestError: A prompt or its parameters cannot be accepted; nothing is generated.
        """
        requests = self._add_all(prompts, sampling_params)
        with tqdm(total=len(requests), desc="Requests", disable=not use_tqdm) as bar:
            for step in self._run(requests):
                bar.update(sum(seq_id in requests for seq_id in step.finished))
        return [self._output(seq_id, request) for seq_id, request in requests.items()]

    def stream(
        self,
        prompts: Prompt | list[Prompt],
        sampling_params: SamplingParams | list[SamplingParams] | None = None,
    ) -> Iterator[StreamOutput]:
        """Generates and yields every token as soon as its step is done."""
        requests = self._add_all(prompts, sampling_params)
        lengths = dict.fromkeys(requests, 0)
        for step in self._run(requests):
            for seq_id in step.new_tokens.keys() & requests.keys():
                request = requests[seq_id]
                new_text = request.text.text[lengths[seq_id] :]
                lengths[seq_id] += len(new_text)
                yield StreamOutput(seq_id, step.new_tokens[seq_id], new_text, request.finish_reason)

    def chat(
        self,
        messages: list[Message] | list[list[Message]],
        sampling_params: SamplingParams | list[SamplingParams] | None = None,
        use_tqdm: bool = True,
    ) -> list[RequestOutput]:
        """Answers one conversation or several, through the model's chat template.

        Args:
            messages: `[{"role": "user", "content": "..."}]`, or a list of such lists.
            sampling_params: As in `generate`.
            use_tqdm: Show a progress bar.
        """
        is_one = bool(messages) and isinstance(messages[0], dict)
        conversations = cast(list[list[Message]], [messages] if is_one else messages)
        prompts: list[Prompt] = []
        prompts += [self.tokenizer.chat_prompt(conversation) for conversation in conversations]
        return self.generate(prompts, sampling_params, use_tqdm)

    def close(self) -> None:
        """Gives the memory of the cache back. Calling it again does nothing."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LLM({self.engine!r})"

    def _add_all(
        self,
        prompts: Prompt | list[Prompt],
        sampling_params: SamplingParams | list[SamplingParams] | None,
    ) -> dict[int, _Request]:
        """Adds all requests, or none of them if one cannot be accepted."""
        listed = _as_list(prompts)
        params = sampling_params or SamplingParams()
        each = params if isinstance(params, list) else [params] * len(listed)
        if len(each) != len(listed):
            raise RequestError(
                f"{len(each)} sampling_params for {len(listed)} prompts; give one, or one each."
            )
        requests: dict[int, _Request] = {}
        try:
            for prompt, one in zip(listed, each, strict=True):
                seq_id = self.engine.add_request(prompt, one)
                requests[seq_id] = self._request(seq_id, prompt, one)
        except RequestError:
            for seq_id in requests:
                self.engine.abort_request(seq_id)
            raise
        return requests

    def _request(self, seq_id: int, prompt: Prompt, params: SamplingParams) -> _Request:
        token_ids = list(self.engine.scheduler.sequence(seq_id).token_ids)
        text = IncrementalText(self.tokenizer, params.stop, params.skip_special_tokens)
        as_text = prompt if isinstance(prompt, str) else None
        return _Request(as_text, token_ids, params, text, times=[perf_counter()])

    def _run(self, requests: dict[int, _Request]) -> Iterator[StepRecord]:
        """Steps until all of `requests` are finished; aborts the rest if the caller gives up."""
        unfinished = set(requests)
        try:
            for step in self.engine.run(self._depth):
                _take_in(requests, step)
                unfinished -= step.finished.keys()
                yield step
                if not unfinished:
                    return
        finally:
            for seq_id in unfinished & self.engine.unfinished_seq_ids():
                self.engine.abort_request(seq_id)

    def _output(self, seq_id: int, request: _Request) -> RequestOutput:
        times = request.times
        gaps = tuple(b - a for a, b in itertools.pairwise(times[1:]))
        first = times[1] - times[0] if len(times) > 1 else 0.0
        return RequestOutput(
            request_id=seq_id,
            prompt=request.prompt,
            prompt_token_ids=request.prompt_token_ids,
            text=request.text.text,
            token_ids=request.token_ids,
            finish_reason=request.finish_reason or "abort",
            logprobs=request.logprobs if request.params.logprobs is not None else None,
            num_cached_tokens=request.num_cached_tokens or 0,
            metrics=RequestMetrics(first, gaps, request.num_preemptions),
        )


def _take_in(requests: dict[int, _Request], step: StepRecord) -> None:
    """Adds what a step brought to the requests it concerns."""
    now = perf_counter()
    for event in step.events:
        request = requests.get(event.seq_id)
        if request and isinstance(event, PrefixHit) and request.num_cached_tokens is None:
            request.num_cached_tokens = event.num_tokens
        elif request and isinstance(event, Preempted):
            request.num_preemptions += 1
    for seq_id, token_id in step.new_tokens.items():
        if (request := requests.get(seq_id)) is None:
            continue
        request.finish_reason = step.finished.get(seq_id)
        request.token_ids.append(token_id)
        request.times.append(now)
        request.text.add(token_id, is_last=request.finish_reason is not None)
        if seq_id in step.logprobs:
            request.logprobs.append(step.logprobs[seq_id])


def _as_list(prompts: Prompt | list[Prompt]) -> list[Prompt]:
    """One prompt or many: a list of ints is one prompt."""
    if isinstance(prompts, str):
        return [prompts]
    if not isinstance(prompts, (list, tuple)):
        raise RequestError(f"prompts={prompts!r} is neither text, token ids nor a list of them.")
    is_one = bool(prompts) and all(isinstance(token_id, int) for token_id in prompts)
    return cast(list[Prompt], [list(prompts)] if is_one else list(prompts))
