"""Copies of modules that share their weights with the original."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)


def with_shared_weights(module: _Module) -> _Module:
    """Return a copy with the same parameters, whose submodules and mode can be changed."""
    return copy.deepcopy(module, {id(weight): weight for weight in module.parameters()})
