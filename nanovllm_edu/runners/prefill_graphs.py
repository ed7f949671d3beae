"""`PrefillGraphs`: steps of several tokens a sequence as CUDA graphs, for a few numbers of tokens.

Prompts and their chunks, guesses to be verified, and rows that decode beside them. A graph has no
lengths of its own: it reads from fixed addresses which token belongs to whom, and is recorded for
so many tokens and sequences at most. What is left of both is padding:

    query_starts    0     150   151   221   256   256   256       a graph of 256 tokens,
    context_lens      150   90    70     0     0     0            of which a step fills 221

The fourth "sequence" owns the tokens that are left and has no keys; those after it own nothing.

The host sends one packed array, the layout of the step (`paged/layout.py`), and replays. The rest
is recorded: inputs are looked up in the device's tables, the model and our paged attention run, and
logits are left, with all that a draw needs. Drawing is not recorded: it may need the tokens that
were said before, and a recorded draw would have written over the guesses among them.

It knows nothing of plans. Read next: `runners/cuda_graph.py`.
"""

import numpy as np
import torch
from torch import Tensor

from nanovllm_edu.attention.base import AttentionBackend
from nanovllm_edu.core.plan import Spans
from nanovllm_edu.fused_decode.decode_inputs import DecodeInputs
from nanovllm_edu.fused_decode.sampling import sample
from nanovllm_edu.kernels.triton.attention import TritonPagedAttention
from nanovllm_edu.models.qwen3 import Qwen3ForCausalLM
from nanovllm_edu.paged.batch import DeviceTables, RowOptions
from nanovllm_edu.paged.kv_cache import KVCache
from nanovllm_edu.paged.layout import Layout
from nanovllm_edu.runners.graph_pool import GraphPool

LARGEST = 8192
"""Tokens of the largest graph. A larger step takes the GPU longer than its launches the host."""

SMALLEST = 64


class PrefillGraphs:
    """The graphs of one runner, and what they all read and write.

    Args:
        model: Its weights are read in place.
        backend: Who attends, if it is one of our own; else our Triton kernel does.
        kv_cache: Read and written.
        tables: Block tables, tokens and options by row.
        pool: Records them.
    """

    def __init__(
        self,
        model: Qwen3ForCausalLM,
        backend: AttentionBackend,
        kv_cache: KVCache,
        tables: DeviceTables,
        pool: GraphPool,
    ) -> None:
        self._model, self._kv_cache, self._tables, self._pool = model, kv_cache, tables, pool
        is_own = isinstance(backend, TritonPagedAttention)
        self._backend = backend if is_own else TritonPagedAttention()
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        most, device = max(map(max_rows, _ALL_SIZES)), tables.token_ids.device
        self._packed = torch.zeros(_packed_size(), dtype=torch.int64, device=device)
        self._newest = self._layout(SMALLEST)
        shape = (most, model.config.vocab_size)
        self._logits = torch.empty(shape, dtype=model.config.dtype, device=device)
        options = RowOptions.allocate(most, device)
        self._draws = DecodeInputs(
            token_table=tables.token_ids,
            block_tables=tables.block_tables,
            table_rows=torch.zeros(most, dtype=torch.int64, device=device),
            context_lens=torch.zeros(most, dtype=torch.int32, device=device),
            advances=torch.zeros(most, dtype=torch.int32, device=device),
            seeds=options.seeds,
            temperatures=options.temperatures,
            top_ks=options.top_ks,
            top_ps=options.top_ps,
            min_ps=options.min_ps,
            sampled=torch.zeros(most, dtype=torch.int64, device=device),
        )

    def compile(self) -> None:
        """Runs the smallest step once: others are the same kernels."""
        self._send(SMALLEST, Spans())
        self._work(SMALLEST)

    def warm_up(self, size: int) -> None:
        """Captures the graph of so many tokens."""
        if size not in self._graphs:
            self._send(size, Spans())
            self._graphs[size], _ = self._pool.capture(lambda: self._work(size))

    def replay(self, spans: Spans) -> None:
        """Runs a step, whose news the tables have taken in; leaves its logits."""
        size = size_for(spans)
        assert size is not None
        self.warm_up(size)
        self._send(size, spans)
        self._graphs[size].replay()
        self._newest = self._layout(size)

    def logits(self, num_rows: int) -> Tensor:
        """Of the newest step: `[num_rows, vocab]`, a row for each token that is sampled from."""
        return self._logits[:num_rows]

    def draw(self, num_rows: int, *, is_filtered: bool) -> Tensor:
        """A token for each row of the newest step's logits, also written into the token table."""
        inputs = self._draws.rows(num_rows)
        sample(self.logits(num_rows), inputs, is_filtered)
        return inputs.sampled

    def feed_back(self, token_ids: Tensor) -> None:
        """Writes the tokens of the newest step, drawn elsewhere, into the token table."""
        rows, positions = (cells[: len(token_ids)] for cells in self._newest[-2:])
        self._tables.token_ids[rows, positions] = token_ids

    def _work(self, size: int) -> None:
        """What a graph records."""
        layout = self._layout(size)
        longest = self._tables.block_tables.shape[1] * self._tables.block_size
        batch = self._tables.batch(layout, (), longest, max_query_len=size)
        attend = self._backend.bind(batch, self._kv_cache)
        hidden = self._model(batch.token_ids, batch.positions, attend, batch.logit_rows)
        self.logits(max_rows(size)).copy_(self._model.logits(hidden))
        self._prepare_draws(layout)

    def _prepare_draws(self, layout: Layout) -> None:
        """Looks up how each token to come is to be drawn."""
        draws = self._draws.rows(len(layout.sampled_rows))
        draws.table_rows.copy_(layout.sampled_rows)
        draws.context_lens.copy_(layout.sampled_positions)
        for mine, column in zip(draws.options, self._tables.options.columns, strict=True):
            torch.index_select(column, 0, layout.sampled_rows, out=mine)

    def _layout(self, size: int) -> Layout:
        """The layout that graphs of this size read: parts of the packed array."""
        lengths = _lengths(size)
        return Layout(*self._packed[: sum(lengths)].split(lengths))

    def _send(self, size: int, spans: Spans) -> None:
        packed = torch.from_numpy(padded(spans, size, self._tables.max_num_seqs)).pin_memory()
        self._packed[: len(packed)].copy_(packed, non_blocking=True)


def sizes(max_num_tokens: int) -> tuple[int, ...]:
    """Numbers of tokens that graphs are kept for: four between a power of two and the next."""
    powers = (SMALLEST << i for i in range((LARGEST // SMALLEST).bit_length()))
    steps = [power * quarter // 4 for power in powers for quarter in (4, 5, 6, 7)]
    wanted = [size for size in steps if size % SMALLEST == 0 and size <= LARGEST]
    last = next((size for size in wanted if size >= max_num_tokens), LARGEST)
    return tuple(size for size in wanted if size <= last)


def max_rows(size: int) -> int:
    """Sequences, and tokens that are sampled from, of a step of so many tokens at most.

    A small step may be one of guesses, with a few of many sequences; a larger one has many short
    prompts, or many rows that ride along. Each row more costs the vocabulary's GEMM: little beside
    the rest of a step of some hundred tokens.
    """
    return 128 if size <= 256 else 256


def size_for(spans: Spans) -> int | None:
    """The number of tokens of the smallest graph that holds these; None if there is none."""
    num_tokens = sum(spans.nums_of_tokens)
    num_draws = sum(spans.nums_drafted) + sum(spans.are_sampled)
    num_rows = max(len(spans), num_draws)
    return next((s for s in _ALL_SIZES if s >= num_tokens and max_rows(s) >= num_rows), None)


_ALL_SIZES = sizes(LARGEST)


def _lengths(size: int) -> list[int]:
    """Of each field of a padded layout."""
    rows = max_rows(size)
    return [size, size, rows + 1, rows + 2, rows + 1, rows, rows, rows]


def _packed_size() -> int:
    return max(sum(_lengths(size)) for size in _ALL_SIZES)


def padded(spans: Spans, size: int, padding_row: int) -> np.ndarray:
    """The layout of some spans, its fields one after the other, filled up to a graph's size.

    Tokens, sequences and draws that are nobody's belong to the padding row; the first sequence
    after the real ones owns all tokens that are left.
    """
    fills = Layout(padding_row, 0, padding_row, size, 0, 0, padding_row, 0)
    lengths = _lengths(size)
    packed = np.empty(sum(lengths), np.int64)
    places = np.split(packed, np.cumsum(lengths)[:-1])
    for values, fill, place in zip(Layout.of(spans), fills, places, strict=True):
        place[: len(values)] = values
        place[len(values) :] = fill
    return packed
