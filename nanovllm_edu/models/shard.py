"""`Shard`: which part of each matrix a rank has, when several share a model.

    q, k, v, gate, up     by rows: a rank has whole heads, and a part of the MLP's width
    o, down               by columns: what it multiplies is only a part, so the products are summed
    embedding, output     by rows: a part of the vocabulary
    norms                 whole

So a rank's model is an ordinary one that is narrower, and only three places of it need the others:
behind `o`, behind `down`, and at the vocabulary (`layers/split.py`). This cut is Megatron-LM's
(Shoeybi et al., 2019).

With more ranks than key-value heads, several ranks have a copy of one. A width that the ranks
cannot share evenly is filled up with zeros, which add nothing.

Read next: `layers/split.py`, `loader.py`.
"""

from dataclasses import dataclass, replace

from nanovllm_edu.errors import ConfigError
from nanovllm_edu.models.config import ModelConfig


@dataclass(frozen=True, slots=True)
class Shard:
    """One rank's part of a model.

    Attributes:
        rank: Counted from 0.
        num_ranks: How many share the model.
        whole: The shape of all of it.

    Raises:
        ConfigError: So many ranks cannot share its heads.
    """

    rank: int
    num_ranks: int
    whole: ModelConfig

    def __post_init__(self) -> None:
        heads, kv_heads, ranks = self.whole.num_heads, self.whole.num_kv_heads, self.num_ranks
        if heads % ranks or (kv_heads % ranks and ranks % kv_heads):
            right = [n for n in range(1, heads + 1) if not heads % n and _fits(kv_heads, n)]
            raise ConfigError(
                f"tensor_parallel_size={ranks}, and the model has {heads} query heads and "
                f"{kv_heads} key-value heads; {', '.join(map(str, right))} ranks can share them."
            )

    @property
    def config(self) -> ModelConfig:
        """The shape of the rank's model. Its vocabulary is whole: that is what comes out."""
        return replace(
            self.whole,
            num_heads=self.whole.num_heads // self.num_ranks,
            num_kv_heads=max(1, self.whole.num_kv_heads // self.num_ranks),
            intermediate_size=self._width(self.whole.intermediate_size),
        )

    @property
    def vocabulary(self) -> slice:
        """The token ids whose rows the rank has."""
        return self._even(self.whole.vocab_size)

    @property
    def num_rows(self) -> int:
        """Rows of its part of the vocabulary, those of zeros included: the same on each rank."""
        return self._width(self.whole.vocab_size)

    def slices(self, name: str) -> tuple[slice, ...]:
        """What the rank takes of a checkpoint's tensor; () is all of it."""
        matrix, kind = name.split(".")[-2:]
        match matrix:
            case "embed_tokens" | "lm_head":
                return (self.vocabulary,)
            case "q_proj":
                return (self._heads(self.whole.num_heads),)
            case "k_proj" | "v_proj":
                return (self._heads(self.whole.num_kv_heads),)
            case "gate_proj" | "up_proj":
                return (self._even(self.whole.intermediate_size),)
            case "o_proj" | "down_proj" if kind == "bias":  # one of them adds it, or all would
                return () if self.rank == 0 else (slice(0, 0),)
            case "o_proj":
                return slice(None), self._heads(self.whole.num_heads)
            case "down_proj":
                return slice(None), self._even(self.whole.intermediate_size)
            case _:
                return ()

    def describe(self) -> str:
        """Which heads, columns and tokens it has, for people to read."""
        dim, whole = self.whole.head_dim, self.whole
        heads, kv_heads = self._heads(whole.num_heads), self._heads(whole.num_kv_heads)
        query = _named("query head", heads.start // dim, heads.stop // dim)
        kv = _named("key-value head", kv_heads.start // dim, kv_heads.stop // dim)
        width, tokens = self._even(whole.intermediate_size), self.vocabulary
        return (
            f"{query}, {kv}, MLP columns {_span(width.start, width.stop)}, "
            f"vocabulary rows {_span(tokens.start, tokens.stop)}"
        )

    def _heads(self, num_heads: int) -> slice:
        """The rows of its heads; one that it shares with others if there are fewer than ranks."""
        first, count = self.rank * num_heads // self.num_ranks, max(1, num_heads // self.num_ranks)
        return slice(first * self.whole.head_dim, (first + count) * self.whole.head_dim)

    def _width(self, size: int) -> int:
        return -(-size // self.num_ranks)

    def _even(self, size: int) -> slice:
        width = self._width(size)
        return slice(min(size, self.rank * width), min(size, (self.rank + 1) * width))


def _span(start: int, stop: int) -> str:
    if stop <= start:
        return "none"
    return str(start) if stop == start + 1 else f"{start} to {stop - 1}"


def _named(one: str, start: int, stop: int) -> str:
    """Such as `query heads 0 to 1`, or `key-value head 0`."""
    return f"{one}{'s' if stop != start + 1 else ''} {_span(start, stop)}"


def _fits(kv_heads: int, num_ranks: int) -> bool:
    return kv_heads % num_ranks == 0 or num_ranks % kv_heads == 0
