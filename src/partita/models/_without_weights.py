"""Building a model without storage, which bounds what building it will take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

#: The largest published set, umxl, has 113 million weights; ours makes 300 tensors.
_MOST_WEIGHTS = 2_000_000_000
_MOST_STEPS = 20_000
_Module = TypeVar("_Module", bound=nn.Module)


class _Steps(TorchFunctionMode):
    """Ends the building of a model that takes too many steps."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        self._count += 1
        if self._count > _MOST_STEPS:
            raise OverflowError("it has too many layers")
        return func(*args, **(kwargs or {}))


def build_without_weights(build: Callable[[], _Module]) -> _Module:
    """Build a model whose tensors have shapes, but no storage.

    Raises
    ------
    OverflowError
        It has too many layers or weights.
    """
    with torch.device("meta"), _Steps():
        model = build()
    weights = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    if weights > _MOST_WEIGHTS:
        raise OverflowError(f"it has {weights:,} weights, more than {_MOST_WEIGHTS:,}")
    return model
