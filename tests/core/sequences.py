"""Short ways to make sequences and to put them through a block manager by hand."""

from array import array

from nanovllm_edu.core.events import Event
from nanovllm_edu.core.memory.block_manager import BlockManager
from nanovllm_edu.core.memory.prefix_cache import PrefixMatch
from nanovllm_edu.core.request.sampling_params import SamplingParams
from nanovllm_edu.core.request.sequence import TOKEN_TYPE, Sequence


def request(seq_id: int, token_ids: list[int], **params: object) -> Sequence:
    """A waiting sequence with this prompt."""
    sampling_params = SamplingParams(**params)  # type: ignore[arg-type]
    return Sequence(seq_id, array(TOKEN_TYPE, token_ids), len(token_ids), sampling_params)


def compute(manager: BlockManager, seq: Sequence) -> PrefixMatch:
    """Puts all tokens of a blank sequence through an imagined model; returns what was found."""
    match = manager.match_prefix(seq)
    manager.share(seq, match)
    extend(manager, seq)
    return match


def extend(manager: BlockManager, seq: Sequence) -> list[Event]:
    """Computes what is left of a sequence's known tokens."""
    events = manager.allocate(seq, len(seq.token_ids))
    seq.num_computed_tokens = len(seq.token_ids)
    return events + manager.publish(seq)
