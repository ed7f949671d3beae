"""`LLM`: text in, text out, with vLLM's API; and the place where all the parts are put together.

    llm = LLM()                                # the model in the box
    llm.generate("Once upon a time")           # -> list[RequestOutput]
    llm.engine.step()                          # the same engine, one step at a time

Read next: `engine.py`; `runners/build.py` for what is chosen at start.
"""

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, Self, cast

from tqdm.auto import tqdm

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import RequestError
from nanovllm_edu.models.folder import resolve_model_folder
from nanovllm_edu.models.loader import load_model
from nanovllm_edu.outputs import RequestOutput, StreamOutput
from nanovllm_edu.prompt import Prompt
from nanovllm_edu.requests import Request, Requests
from nanovllm_edu.runners.build import (
    build_runner,
    choose_device,
    choose_dtype,
    choose_ops,
)
from nanovllm_edu.shield import Shield
from nanovllm_edu.tokenizer import Message, Tokenizer


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
        self._interrupted: Requests | None = None
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
        with Shield(), Requests(self.engine, self._depth) as requests:
            self._interrupted = requests
            self._add_all(requests, prompts, sampling_params)
            with tqdm(total=len(requests.listed), desc="Requests", disable=not use_tqdm) as bar:
                while not requests.are_finished:
                    requests.advance()
                    bar.update(sum(r.is_finished for r in requests.listed) - bar.n)
            self._interrupted = None
            return requests.outputs()

    def stream(
        self,
        prompts: Prompt | list[Prompt],
        sampling_params: SamplingParams | list[SamplingParams] | None = None,
    ) -> Iterator[StreamOutput]:
        """Generates and yields every token as soon as its step is done.

        Other calls may come between two tokens. A stream that is dropped ends its requests.
        """
        with Requests(self.engine, self._depth) as requests:
            self._add_all(requests, prompts, sampling_params)
            is_over = False
            while not is_over:
                is_over = requests.are_finished  # asked first: what comes now is read below
                if not is_over:
                    requests.advance()
                for request in requests.listed:
                    yield from request.read()

    def interrupted(self) -> list[RequestOutput]:
        """What the newest `generate` or `chat` had come to when it was interrupted or failed.

        Finished requests are whole; one that was cut off, or had not begun, has the finish reason
        "abort" and the tokens it had. Without an interrupt the list is empty.
        """
        return [] if self._interrupted is None else self._interrupted.outputs()

    def abort_all(self) -> None:
        """Ends every request that waits or runs, whoever made it."""
        with self.engine.exclusive():
            for seq_id in self.engine.unfinished_seq_ids():
                self.engine.abort_request(seq_id)

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
        requests: Requests,
        prompts: Prompt | list[Prompt],
        sampling_params: SamplingParams | list[SamplingParams] | None,
    ) -> None:
        """Adds all requests, or none of them if one cannot be accepted."""
        listed = _as_list(prompts)
        params = sampling_params or SamplingParams()
        each = params if isinstance(params, list) else [params] * len(listed)
        if len(each) != len(listed):
            raise RequestError(
                f"{len(each)} sampling_params for {len(listed)} prompts; give one, or one each."
            )
        with Shield():
            begin = perf_counter()
            seqs = self.engine.add_requests(zip(listed, each, strict=True))
            for seq, prompt in zip(seqs, listed, strict=True):
                text = prompt if isinstance(prompt, str) else None
                requests.listed.append(Request(seq, text, self.tokenizer, begin))


def _as_list(prompts: Prompt | list[Prompt]) -> list[Prompt]:
    """One prompt or many: a list of ints is one prompt."""
    if isinstance(prompts, str):
        return [prompts]
    if not isinstance(prompts, (list, tuple)):
        raise RequestError(f"prompts={prompts!r} is neither text, token ids nor a list of them.")
    is_one = bool(prompts) and all(isinstance(token_id, int) for token_id in prompts)
    return cast(list[Prompt], [list(prompts)] if is_one else list(prompts))
