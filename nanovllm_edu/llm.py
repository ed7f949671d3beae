"""`LLM`: text in, text out, with vLLM's API; and the place where all the parts are put together.

    llm = LLM()                                # the model in the box
    llm.generate("Once upon a time")           # -> list[RequestOutput]
    llm.engine.step()                          # the same engine, one step at a time

Read next: `engine.py`; `runners/build.py` for what is chosen at start.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Self

from tqdm.auto import tqdm

from nanovllm_edu.config import EngineConfig
from nanovllm_edu.conversation import as_conversations
from nanovllm_edu.core.model_runner import ModelRunner
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import Sequence
from nanovllm_edu.core.schedule.draft_proposer import DraftProposer
from nanovllm_edu.engine import LLMEngine
from nanovllm_edu.errors import ConfigError, RequestError, shown
from nanovllm_edu.limits import config_for, with_own
from nanovllm_edu.models.folder import resolve_model_folder
from nanovllm_edu.models.registry import sampling_defaults
from nanovllm_edu.outputs import RequestOutput, StreamOutput
from nanovllm_edu.prompt import Prompt, TokenPrompt, read_prompts
from nanovllm_edu.requests import Answer, Request, Requests
from nanovllm_edu.runners.build import RuntimeInfo
from nanovllm_edu.runners.load import load_runner
from nanovllm_edu.runners.tensor_parallel import TensorParallelRunner
from nanovllm_edu.shield import Shield
from nanovllm_edu.text_judge import TextJudge
from nanovllm_edu.tokenizer import Message, Tokenizer


class LLM:
    """A model, its tokenizer and an engine.

    Args:
        model: "tiny" (in the box), a Hugging Face model folder, or a hub id.
        runner: Has the model already, here or elsewhere (`runners/remote.py`); of the folder only
            the tokenizer is read then.
        **options: Fields of `EngineConfig`.

    Raises:
        ConfigError: An option is unknown or out of range.
        ModelLoadError: The model cannot be read.
    """

    def __init__(
        self, model: str | Path = "tiny", *, runner: ModelRunner | None = None, **options: Any
    ) -> None:
        config = EngineConfig.from_options(options)
        folder = resolve_model_folder(model)
        # A GPU works on its own, and so does another machine: plan the next step meanwhile. A CPU
        # has nothing to overlap.
        self.depth = 1
        self.tokenizer = Tokenizer.load(folder)
        if runner is None:
            runner, config, self.info = _load(folder, self.tokenizer, config, options)
            self.depth = 0 if self.info.choices["device"][0] == "cpu" else 1
        else:
            config = config_for(runner, options)
            own = {"runner": (type(runner).__name__, "it was given")}
            self.info = RuntimeInfo(getattr(runner, "choices", own))
        self.engine = LLMEngine(runner, config, self.tokenizer)
        if config.draft_proposer is not None:
            _check_same_tokenizer(config.draft_proposer, self.tokenizer)
            why = "asked for by draft_proposer; a step verifies what it guesses"
            self.info = self.info.plus("guesses", repr(config.draft_proposer), why)
        sampling = sampling_defaults(folder)
        self.default_sampling_params = SamplingParams(**sampling)
        self.info = self.info.plus(
            "sampling", str(sampling or "temperature 1"), _why_sampling(sampling)
        )
        self._interrupted: Requests | None = None

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
        requests = Requests(self.engine, self.depth)
        try:
            with Shield(), requests:
                self.add(requests, prompts, sampling_params)
                self._run(requests, use_tqdm)
                return requests.outputs()
        except BaseException:  # raised as late as on the way out, too
            self._interrupted = requests
            raise

    def stream(
        self,
        prompts: Prompt | list[Prompt],
        sampling_params: SamplingParams | list[SamplingParams] | None = None,
    ) -> Iterator[StreamOutput]:
        """Generates and yields every token as soon as its step is done.

        Other calls may come between two tokens. A stream that is dropped ends its requests, and
        what it had come to is its reader's.
        """
        requests = Requests(self.engine, self.depth)
        try:
            with requests:
                self.add(requests, prompts, sampling_params)
                is_over = False
                while not is_over:
                    is_over = requests.are_finished  # asked first: what comes now is read below
                    if not is_over:
                        requests.advance()
                    yield from requests.read()
        except GeneratorExit:  # its reader has had enough
            raise
        except BaseException:
            self._interrupted = requests
            raise
        finally:
            requests.drop()  # once more: an interrupt may have kept the block above from it

    def interrupted(self) -> list[RequestOutput]:
        """What the newest call that was interrupted, or failed, had come to.

        Finished requests are whole; one that was cut off, or had not begun, has the finish reason
        "abort" and the tokens it had. The list is empty if no call ever failed.
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
        *,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        chat_template_kwargs: dict[str, Any] | None = None,
    ) -> list[RequestOutput]:
        """Answers one conversation or several, through the model's chat template.

        Args:
            messages: `[{"role": "user", "content": "..."}]`, or a list of such lists.
            sampling_params: As in `generate`.
            use_tqdm: Show a progress bar.
            add_generation_prompt: End the prompt with what begins an answer.
            continue_final_message: The answer goes on with the last message.
            chat_template_kwargs: What else the template may ask, such as `enable_thinking`.

        Raises:
            RequestError: As in `generate`, or something is no conversation.
        """
        prompts = [
            self.tokenizer.chat_prompt(
                conversation,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                chat_template_kwargs=chat_template_kwargs,
            )
            for conversation in as_conversations(messages)
        ]
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

    def _run(self, requests: Requests, use_tqdm: bool) -> None:
        """Moves the engine on until these are finished.

        A function of its own: Python swallows an interrupt that comes in a progress bar's
        `__del__`, so that has to run here, where it is held back, not when `generate` returns.
        """
        with tqdm(total=len(requests.listed), desc="Requests", disable=not use_tqdm) as bar:
            while not requests.are_finished:
                requests.advance()
                bar.update(sum(r.is_finished for r in requests.listed) - bar.n)

    def add(
        self,
        requests: Requests,
        prompts: Prompt | list[Prompt],
        sampling_params: SamplingParams | list[SamplingParams] | None,
    ) -> None:
        """Adds all requests, or none of them if one cannot be accepted. Others wait for them.

        Args:
            requests: Takes them, and aborts those that are not finished when its block is left.
            prompts: As in `generate`.
            sampling_params: As in `generate`.

        Raises:
            RequestError: As in `generate`.
        """
        self.add_read(requests, self.read(prompts), sampling_params, perf_counter())

    def read(self, prompts: Prompt | list[Prompt]) -> list[TokenPrompt]:
        """Prompts as token ids; the engine takes no part in it.

        Raises:
            RequestError: One cannot be read.
        """
        return read_prompts(prompts, self.tokenizer, self.engine.runner.vocab_size)

    def add_read(
        self,
        requests: Requests,
        read: list[TokenPrompt],
        sampling_params: SamplingParams | list[SamplingParams] | None,
        begin: float,
    ) -> None:
        """Like `add`, for prompts that were read; their time runs since `begin`."""
        params = self.default_sampling_params if sampling_params is None else sampling_params
        each = params if isinstance(params, (list, tuple)) else [params] * len(read)
        if len(each) != len(read):
            raise RequestError(
                f"{len(each)} sampling_params for {len(read)} prompts; give one, or one each."
            )
        with Shield():
            seqs = self.engine.add_requests(zip(read, each, strict=True))
            answers = iter([Answer(seq, self._judge(seq)) for seq in seqs])
            for prompt, one in zip(read, each, strict=True):
                mine = list(islice(answers, 1 if one is None else one.n))
                requests.listed.append(Request(mine, prompt.text, begin))

    def _judge(self, seq: Sequence) -> TextJudge:
        """Who decides the text of a sequence: its own judge, if it has one."""
        if isinstance(seq.judge, TextJudge):
            return seq.judge
        return TextJudge(self.tokenizer, seq.params, seq.ending_token_ids)


def _load(
    folder: Path, tokenizer: Tokenizer, config: EngineConfig, options: dict[str, Any]
) -> tuple[ModelRunner, EngineConfig, RuntimeInfo]:
    """A runner for the model in a folder; with all options, and why they are what they are."""
    if config.tensor_parallel_size == 1:
        return load_runner(folder, config, options, tokenizer.eos_token_ids)
    runner = TensorParallelRunner(folder, config, options, tokenizer.eos_token_ids)
    return runner, with_own(config, runner, options), RuntimeInfo(runner.choices)


def _check_same_tokenizer(proposer: DraftProposer, tokenizer: Tokenizer) -> None:
    """As many tokens are not yet the same tokens."""
    own = getattr(getattr(proposer, "llm", None), "tokenizer", None)
    if isinstance(own, Tokenizer) and (differing := own.first_difference(tokenizer)):
        raise ConfigError(
            f"draft_proposer={shown(proposer)} has another vocabulary: {differing}; take a draft "
            "model of the same family, with the same tokenizer."
        )


def _why_sampling(sampling: dict[str, Any]) -> str:
    if not sampling:
        return "the model's folder recommends nothing; used where no SamplingParams are given"
    return "recommended in generation_config.json; used where no SamplingParams are given"
