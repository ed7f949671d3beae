"""What is made small: the surprise at what a model says, and not at what users say to it.

Questions are worded in more ways than anybody could foresee, and a small model that had to foresee
them would have less room for the answers. For the same reason it reads some of them garbled, with
tokens of other places among their own: it learns to answer by what is left, not by one word alone.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from training.tokens import END_OF_TURN, START_OF_TURN


class SaidLoss:
    """The mean cross-entropy of what a model says: all but the turns of users and the system."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, garbled: float = 0.0) -> None:
        """`garbled` is the share of tokens that every second turn of a user has wrong."""
        self._garbled = garbled
        self._start, self._end = map(tokenizer.vocab.__getitem__, (START_OF_TURN, END_OF_TURN))
        self._header = tokenizer.encode(f"{START_OF_TURN}assistant\n")

    def is_said(self, token_ids: Tensor) -> Tensor:
        """Which tokens of rows [rows, length] a model says itself; bool, the same shape."""
        places = torch.arange(token_ids.shape[1], device=token_ids.device).expand_as(token_ids)
        start, end = self._last(token_ids, self._start), self._last(token_ids, self._end)
        never = torch.full_like(places, -1)
        end_before = torch.cat([never[:, :1], end[:, :-1]], 1)
        role = token_ids.gather(1, (start + 1).clamp(max=token_ids.shape[1] - 1))
        is_header = places < start + len(self._header)
        is_other = (start > end_before) & ((role != self._header[1]) | is_header)
        return ~is_other

    def garble(self, token_ids: Tensor) -> Tensor:
        """The same rows with some words of users taken from other places; what is said stays."""
        start = self._last(token_ids, self._start).clamp(min=0)
        chance = torch.rand(token_ids.shape, device=token_ids.device)
        is_garbled_turn = chance.gather(1, start) < 0.5
        is_mark = (token_ids == self._start) | (token_ids == self._end)
        places = torch.arange(token_ids.shape[1], device=token_ids.device)
        is_content = ~self.is_said(token_ids) & ~is_mark & (places >= start + len(self._header))
        is_wrong = is_content & is_garbled_turn & (chance < self._garbled)
        others = token_ids.flatten()[torch.randperm(token_ids.numel(), device=token_ids.device)]
        return torch.where(is_wrong, others.view_as(token_ids), token_ids)

    @staticmethod
    def _last(token_ids: Tensor, mark: int) -> Tensor:
        """The place of the last `mark` up to each place, or -1; int64 [rows, length]."""
        places = torch.arange(token_ids.shape[1], device=token_ids.device).expand_as(token_ids)
        found = torch.where(token_ids == mark, places, torch.full_like(places, -1))
        return found.cummax(1).values

    def __call__(self, model: Qwen3ForCausalLM, token_ids: Tensor) -> Tensor:
        """Looks only at the places that count: half of a small model's work is its logits."""
        read = self.garble(token_ids) if self._garbled else token_ids
        hidden = model.model(input_ids=read, use_cache=False).last_hidden_state
        counts = self.is_said(token_ids)[:, 1:]
        return F.cross_entropy(model.lm_head(hidden[:, :-1][counts]), token_ids[:, 1:][counts])
