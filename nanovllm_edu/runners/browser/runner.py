"""`BrowserRunner`: plan -> arrays -> tokens, with the model in the box and without torch.

    lay out   the plan becomes a `Step`; rows learn what is new, blocks are copied
    forward   kernels in C compute logits, reading the paged cache
    sample    `sampling/plain.py` turns them into tokens, one row at a time

It runs in a page, where the kernels are WebAssembly, and in any Python with a C compiler; its
tokens are those of `runners/eager.py`.

Read next: `live/engine.py`, which makes an engine around it.
"""

from copy import deepcopy
from time import perf_counter
from typing import NamedTuple

from nanovllm_edu.core.plan import Span, StepOutput, StepPlan
from nanovllm_edu.core.request.sequence import TokenLogprobs
from nanovllm_edu.errors import EngineClosedError
from nanovllm_edu.runners.browser.decoder import PlainDecoder, kernels
from nanovllm_edu.runners.browser.floats import Floats, address, zeros
from nanovllm_edu.runners.browser.kv_cache import PlainKVCache
from nanovllm_edu.runners.browser.step import lay_out
from nanovllm_edu.runners.checksum import ReadyTicket, Row, take_news
from nanovllm_edu.sampling import plain
from nanovllm_edu.sampling.rows import BROKEN_LOGITS, SamplingRow


class Drawn(NamedTuple):
    """What a span brings: a token for each position that counts, and what was asked of it."""

    token_ids: list[int]
    logprobs: list[TokenLogprobs]
    errors: list[str]


class BrowserRunner:
    """A `ModelRunner` that needs neither torch nor numpy.

    Args:
        decoder: Weights and forward pass; shared by forks.
        num_blocks: Blocks in its KV cache.
        block_size: Token slots in a block.
        max_model_len: Longest sequence; None takes all positions that the model has.
        num_host_blocks: Blocks of tier 1, which can only be copied from and to.
    """

    def __init__(
        self,
        decoder: PlainDecoder,
        num_blocks: int = 64,
        block_size: int = 16,
        *,
        max_model_len: int | None = None,
        num_host_blocks: int = 0,
    ) -> None:
        shape = decoder.shape
        self.decoder = decoder
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.vocab_size = shape.vocab_size
        self.max_model_len = min(max_model_len or shape.max_positions, shape.max_positions)
        self.eos_token_ids = shape.eos_token_ids
        self._num_host_blocks = num_host_blocks
        self._drawing = kernels("draw.c")
        self._rows: dict[int, Row] = {}
        self._cache: PlainKVCache | None = PlainKVCache.allocate(
            shape.num_layers, num_blocks, block_size, shape.kv_size, num_host_blocks
        )

    def launch(self, plan: StepPlan) -> ReadyTicket:
        """Computes a step at once: it is done when this returns."""
        if self._cache is None:
            raise EngineClosedError("this runner is closed; make a new engine.")
        times = [perf_counter()]
        take_news(self._rows, plan)
        self._cache.copy_blocks(plan.copies)
        if not plan.spans:
            return ReadyTicket(StepOutput({}))
        step = lay_out(plan, self._rows, self.block_size)
        times.append(perf_counter())
        logits = self.decoder.logits(step, self._cache)
        times.append(perf_counter())
        drawn = self._sample(plan, logits)
        times.append(perf_counter())
        names = ("prepare", "forward", "sample")
        timings = {name: times[i + 1] - times[i] for i, name in enumerate(names)}
        return ReadyTicket(_output(drawn, timings))

    def _sample(self, plan: StepPlan, logits: Floats) -> dict[int, "Drawn"]:
        """What each sampled span brings: it has as many rows of `logits` as it claims."""
        drawn: dict[int, Drawn] = {}
        begin, vocab_size = 0, self.vocab_size
        for span in plan.spans.sampled:
            rows = [begin + i * vocab_size for i in range(span.num_claimed)]
            scores = [logits[first : first + vocab_size] for first in rows]
            drawn[span.seq_id] = self._draw(span, scores)
            begin += span.num_claimed * vocab_size
        return drawn

    def _draw(self, span: Span, scores: list[Floats]) -> "Drawn":
        """A span's tokens, up to the first wrong guess; its row learns them."""
        row, drawn = self._rows[span.row], Drawn([], [], [])
        masks = row.masks or (None,) * len(scores)
        first = span.end + 1 - span.num_claimed
        for position, (logits, mask) in enumerate(zip(scores, masks, strict=True), first):
            if plain.is_broken(logits):
                drawn.errors.append(BROKEN_LOGITS)
                logits = zeros(self.vocab_size)
            token_id = self._choose(row, (span.row, position), logits, mask)
            drawn.token_ids.append(token_id)
            if row.sampling.logprobs is not None:
                drawn.logprobs.append(plain.logprobs(logits, token_id, row.sampling.logprobs))
            if position < span.end and row.token_ids[position] != token_id:
                break
        row.token_ids[span.end - span.num_drafted :] = drawn.token_ids
        return drawn

    def _choose(self, row: Row, place: tuple[int, int], logits: Floats, mask: bytes | None) -> int:
        index, position = place
        facts = (row.joined.seed, position, row.joined.num_prompt_tokens, index)
        wanted = SamplingRow(row.sampling, *facts, self.eos_token_ids, mask)
        return plain.sample(logits, wanted, row.token_ids, self._draw_in_c)

    def _draw_in_c(self, logits: Floats, first_key: int, second_key: int) -> int:
        """`plain.draw`, in C."""
        return self._drawing.draw(address(logits), first_key, second_key, len(logits))

    def fork(self, num_blocks: int | None = None, block_size: int | None = None) -> "BrowserRunner":
        """A runner that shares the weights: with a copy of the cache, or a blank other one."""
        assert self._cache is not None
        is_copy = num_blocks is None and block_size is None
        twin = BrowserRunner(
            self.decoder,
            num_blocks or self.num_blocks,
            block_size or self.block_size,
            max_model_len=self.max_model_len,
            num_host_blocks=self._num_host_blocks,
        )
        if is_copy:
            twin._rows, twin._cache = deepcopy(self._rows), self._cache.copy()
        return twin

    def close(self) -> None:
        """Lets go of the cache. Weights stay with whoever shares them."""
        self._cache = None

    def __repr__(self) -> str:
        return f"BrowserRunner(num_blocks={self.num_blocks}, block_size={self.block_size})"


def _output(drawn: dict[int, Drawn], timings: dict[str, float]) -> StepOutput:
    return StepOutput(
        tokens={seq_id: tuple(one.token_ids) for seq_id, one in drawn.items()},
        logprobs={seq_id: tuple(one.logprobs) for seq_id, one in drawn.items() if one.logprobs},
        errors={seq_id: one.errors[0] for seq_id, one in drawn.items() if one.errors},
        timings=timings,
    )
