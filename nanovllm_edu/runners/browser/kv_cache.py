"""`PlainKVCache`: keys and values of every layer, block by block, in plain arrays.

A block of a layer's keys is `block_size * kv_size` numbers, and slot s begins at `s * kv_size`: the
layout of `paged/kv_cache.py`, of which this is the same without torch.

Read next: `step.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from nanovllm_edu.core.plan import BlockCopy
from nanovllm_edu.errors import OutOfDeviceMemoryError
from nanovllm_edu.runners.browser.floats import Floats, zeros

KEYS, VALUES = 0, 1


@dataclass(frozen=True)
class PlainKVCache:
    """The paged memory.

    Attributes:
        tiers: By tier, layer, and keys or values: `[num_blocks, block_size, kv_size]`.
        num_blocks: Of tier 0.
        block_size: Token slots in a block.
        kv_size: Numbers of a slot.
    """

    tiers: tuple[tuple[tuple[Floats, Floats], ...], ...]
    num_blocks: int
    block_size: int
    kv_size: int

    @classmethod
    def allocate(
        cls, num_layers: int, num_blocks: int, block_size: int, kv_size: int, num_host_blocks: int
    ) -> "PlainKVCache":
        """Zeroed memory.

        Raises:
            OutOfDeviceMemoryError: There is not as much.
        """
        size = block_size * kv_size
        counts = (num_blocks * size, num_host_blocks * size)
        try:
            tiers = tuple(
                tuple((zeros(count), zeros(count)) for _ in range(num_layers)) for count in counts
            )
        except (MemoryError, OverflowError) as error:
            raise OutOfDeviceMemoryError(
                f"a KV cache of {8 * num_layers * sum(counts):,} bytes does not fit into memory; "
                "lower num_blocks or block_size."
            ) from error
        return cls(tiers, num_blocks, block_size, kv_size)

    def layer(self, index: int) -> tuple[Floats, Floats]:
        """Keys and values of a layer."""
        return self.tiers[0][index]

    def store(
        self, part: Floats, slots: list[int], source: Floats, first: int, stride: int
    ) -> None:
        """Copies one token's keys (or values) after the other into their slots.

        Args:
            part: A layer's keys or values.
            slots: Where each token goes.
            source: Token i's numbers begin at `first + i * stride`.
            first: See `source`.
            stride: See `source`.
        """
        size, target, numbers = self.kv_size, memoryview(part), memoryview(source)
        for slot in slots:
            target[slot * size : (slot + 1) * size] = numbers[first : first + size]
            first += stride

    def copy_blocks(self, copies: Iterable[BlockCopy]) -> None:
        """Copies blocks, within a tier or between two, one after the other."""
        size = self.block_size * self.kv_size
        for source, target in copies:
            begin, end = source.block_id * size, target.block_id * size
            for sources, targets in zip(
                self.tiers[source.tier], self.tiers[target.tier], strict=True
            ):
                for kind in (KEYS, VALUES):
                    targets[kind][end : end + size] = sources[kind][begin : begin + size]

    def copy(self) -> "PlainKVCache":
        """The same content in memory of its own."""
        tiers = tuple(
            tuple((keys[:], values[:]) for keys, values in layers) for layers in self.tiers
        )
        return PlainKVCache(tiers, self.num_blocks, self.block_size, self.kv_size)
