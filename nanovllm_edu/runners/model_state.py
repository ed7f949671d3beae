"""`ModelState`: whether a model is still the one that it was when something was made of it.

It is asked before each small step, so it must be quick: torch counts what is written into a tensor,
and each module keeps its parts in three dicts. To compare these takes microseconds.

Read next: `taped.py`, which asks.
"""

from operator import is_, methodcaller

import torch
from torch import Tensor

_ADDRESS = methodcaller("data_ptr")


class ModelState:
    """What a tape depends on: who is part of whom, each weight, where it is and how often written.

    Args:
        model: As it is now.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        modules = list(model.modules())
        parts = [d for m in modules for d in (m._modules, m._parameters, m._buffers)]
        self._places = [(held, name) for held in parts for name in held]
        self._values = [held[name] for held, name in self._places]
        self._weights = [value for value in self._values if isinstance(value, Tensor)]
        self._counted = [weight for weight in self._weights if not weight.is_inference()]
        self._addresses = list(map(_ADDRESS, self._weights))
        self._versions = [weight._version for weight in self._counted]
        self._hooks = [h for m in modules for h in (m._forward_hooks, m._forward_pre_hooks)]

    def still_holds(self) -> bool:
        """Whether nothing was exchanged or written to."""
        return (
            all(map(is_, [held.get(name) for held, name in self._places], self._values))
            and [weight._version for weight in self._counted] == self._versions
            and list(map(_ADDRESS, self._weights)) == self._addresses
        )

    def is_watched(self) -> bool:
        """Whether somebody wants to be called when a module runs."""
        return any(self._hooks)
