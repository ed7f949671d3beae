"""What is made small: the surprise at what a model says, and not at what users say to it.

Questions are worded in more ways than anybody could foresee, and a small model that had to foresee
them would have less room for the answers.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from training.tokens import END_OF_TURN, START_OF_TURN


class SaidLoss:
    """The mean cross-entropy of what a model says: all but the turns of users and the system."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._start, self._end = tokenizer.convert_tokens_to_ids([START_OF_TURN, END_OF_TURN])
        self._header = tokenizer.encode(f"{START_OF_TURN}assistant\n")

    def is_said(self, token_ids: Tensor) -> Tensor:
        """Which tokens of rows [rows, length] a model says itself; bool, the same shape."""
        places = torch.arange(token_ids.shape[1], device=token_ids.device).expand_as(token_ids)
        never = torch.full_like(places, -1)
        start = torch.where(token_ids == self._start, places, never).cummax(1).values
        end = torch.where(token_ids == self._end, places, never).cummax(1).values
        end_before = torch.cat([never[:, :1], end[:, :-1]], 1)
        role = token_ids.gather(1, (start + 1).clamp(max=token_ids.shape[1] - 1))
        is_header = places < start + len(self._header)
        is_other = (start > end_before) & ((role != self._header[1]) | is_header)
        return ~is_other

    def __call__(self, model: Qwen3ForCausalLM, token_ids: Tensor) -> Tensor:
        """Looks only at the places that count: half of a small model's work is its logits."""
        hidden = model.model(input_ids=token_ids, use_cache=False).last_hidden_state
        counts = self.is_said(token_ids)[:, 1:]
        return F.cross_entropy(model.lm_head(hidden[:, :-1][counts]), token_ids[:, 1:][counts])
