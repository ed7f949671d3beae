"""What a request gives back: `RequestOutput`, with vLLM's names, and the times that matter.

Read next: `llm.py`, which fills them.
"""

from dataclasses import dataclass, field
from typing import Any

from nanovllm_edu.core.plan import TokenLogprobs


@dataclass(frozen=True, slots=True)
class RequestMetrics:
    """Latencies of one request, in seconds.

    Attributes:
        time_to_first_token: From `add_request` to the first token.
        inter_token_times: Between each two successive tokens.
        num_preemptions: How often it had to give up its blocks.
    """

    time_to_first_token: float
    inter_token_times: tuple[float, ...]
    num_preemptions: int = 0


@dataclass(frozen=True, slots=True)
class CompletionOutput:
    """One answer to a prompt, in vLLM's shape.

    Attributes:
        index: Which of the request's `n` answers.
        text: The generated text, as in `RequestOutput`; so are the others.
    """

    index: int
    text: str
    token_ids: list[int]
    logprobs: list[TokenLogprobs] | None
    finish_reason: str | None
    stop_reason: int | str | None

    @property
    def cumulative_logprob(self) -> float | None:
        """The log probability of all its tokens together, if they were asked for."""
        return None if self.logprobs is None else sum(entry.logprob for entry in self.logprobs)

    def finished(self) -> bool:
        """Whether it has ended."""
        return self.finish_reason is not None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "index": self.index,
            "text": self.text,
            "token_ids": list(self.token_ids),
            "finish_reason": self.finish_reason,
            "stop_reason": self.stop_reason,
        }


@dataclass(frozen=True, slots=True)
class RequestOutput:
    """What came of a request. `outputs[0]` has it in vLLM's shape; the short forms say the same.

    Attributes:
        request_id: Its seq_id in the engine; with several answers, that of the first.
        prompt: The text of the prompt, or None if token ids were given.
        prompt_token_ids: The prompt as tokens.
        text: The generated text: without the stop string or ending token, unless that was asked
            for, and without special tokens, unless those were.
        token_ids: The generated tokens, with the one that ended it.
        finish_reason: "stop", "length", "abort" or "error"; None if it has not ended.
        logprobs: One entry per token, if asked for.
        num_cached_tokens: Prompt tokens whose KV was found in the cache.
        metrics: Latencies; not compared.
        stop_reason: The stop string, or the one of `stop_token_ids`, that ended it; None if
            something else did, such as the model's own end of sequence.
        others: The answers behind the first. What is said above of one answer is said of that.
    """

    request_id: int
    prompt: str | None
    prompt_token_ids: list[int]
    text: str
    token_ids: list[int]
    finish_reason: str | None
    logprobs: list[TokenLogprobs] | None
    num_cached_tokens: int
    metrics: RequestMetrics = field(compare=False, repr=False)
    stop_reason: int | str | None = None
    others: tuple[CompletionOutput, ...] = ()

    @property
    def outputs(self) -> list[CompletionOutput]:
        """vLLM's spelling: `output.outputs[0].text`."""
        one = CompletionOutput(
            index=0,
            text=self.text,
            token_ids=self.token_ids,
            logprobs=self.logprobs,
            finish_reason=self.finish_reason,
            stop_reason=self.stop_reason,
        )
        return [one, *self.others]

    @property
    def finished(self) -> bool:
        """Whether all its answers have ended."""
        return all(one.finished() for one in self.outputs)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "request_id": self.request_id,
            "prompt": self.prompt,
            "prompt_token_ids": list(self.prompt_token_ids),
            "text": self.text,
            "token_ids": list(self.token_ids),
            "finish_reason": self.finish_reason,
            "stop_reason": self.stop_reason,
            "num_cached_tokens": self.num_cached_tokens,
            "time_to_first_token": self.metrics.time_to_first_token,
            "others": [one.to_dict() for one in self.others],
        }


@dataclass(frozen=True, slots=True)
class StreamOutput:
    """What one step added to a request.

    Attributes:
        request_id: Its seq_id; with several answers, that of the first.
        token_id: The new token.
        text: Text that became final with it; may be empty.
        finish_reason: Set on the last one.
        logprobs: Of the token and the likeliest ones, if asked for.
        index: Which of its `n` answers goes on.
    """

    request_id: int
    token_id: int
    text: str
    finish_reason: str | None
    logprobs: TokenLogprobs | None = None
    index: int = 0
