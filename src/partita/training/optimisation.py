"""Optimisation of a model: optimiser, learning rate, average of the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from partita.models._protocol import SeparationModel
from partita.training.losses import TrainingStep
from partita.training.recipes import TrainingSettings

_OPTIMISERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}
_COOLDOWN = 10  # epochs after the learning rate has shrunk, before losses count again


class Optimisation:
    """A model whose weights change step by step.

    Parameters
    ----------
    model : SeparationModel
        Moves to the device; its weights change.
    settings : TrainingSettings
    fabric : Fabric

    Attributes
    ----------
    average : AveragedModel or None
        The running average of the weights, where the settings want one.
    """

    def __init__(self, model: SeparationModel, settings: TrainingSettings, fabric: Fabric) -> None:
        self._model, self._settings, self._fabric = model, settings, fabric
        step = TrainingStep(model, settings.loss, combinations=settings.combinations)
        self._optimiser = _OPTIMISERS[settings.optimiser](
            step.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        # In the precision and on the device that were asked for; the model itself moves as well.
        self._module, self._wrapped = fabric.setup(step, self._optimiser)
        self._scheduler = ReduceLROnPlateau(
            self._optimiser,
            factor=settings.decay_factor,
            patience=settings.decay_patience,
            cooldown=_COOLDOWN,
        )
        self.average: AveragedModel | None = None
        if settings.ema_decay:
            self.average = AveragedModel(
                model,
                multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay),  # type: ignore[no-untyped-call]
                use_buffers=True,
            )

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimiser.param_groups[0]["lr"])

    @property
    def kept(self) -> SeparationModel:
        """The model whose weights are to be used."""
        if self.average is None:
            return self._model
        averaged = self.average.module
        assert isinstance(averaged, SeparationModel)
        return averaged

    def learn(self, sources: Tensor) -> Tensor:
        """Compute the gradients of a batch, in as many parts as the settings say.

        Parameters
        ----------
        sources : Tensor ``[batch, sources, channels, samples]``

        Returns
        -------
        Tensor ``[1 + learned sources]``
            The batch's loss, and that of each source.
        """
        fabric, settings = self._fabric, self._settings
        self._module.train()
        self._wrapped.zero_grad()
        parts = sources.chunk(settings.accumulate)
        values = torch.zeros(1 + len(self._model.learned), device=fabric.device)
        for index, rows in enumerate(parts):
            waits = index < len(parts) - 1
            with fabric.no_backward_sync(self._module, enabled=waits):
                losses = self._module(rows.to(fabric.device).float())
                fabric.backward(losses.total / len(parts))
            values += torch.cat([losses.total.detach()[None], losses.sources]) / len(parts)
        return values

    def step(self) -> None:
        """Update the weights with the gradients."""
        if self._settings.clip_norm:
            self._fabric.clip_gradients(
                self._module,
                self._wrapped,
                max_norm=self._settings.clip_norm,
                error_if_nonfinite=False,
            )
        self._wrapped.step()
        if self.average is not None:
            self.average.update_parameters(self._model)

    def schedule(self, step: int, elapsed_s: float) -> None:
        """Set the learning rate of a step with the schedule ``cosine``."""
        if self._settings.schedule == "cosine":
            for group in self._optimiser.param_groups:
                group["lr"] = self._settings.cosine_rate(step, elapsed_s)

    def end_epoch(self, loss: float) -> None:
        """Lower the learning rate with the schedule ``plateau``, if the losses get no better."""
        if self._settings.schedule == "plateau":
            self._scheduler.step(loss)

    def gradients_are_finite(self) -> bool:
        """Tell whether the norm of the gradients is finite; in float16, other steps are skipped."""
        found = [p.grad for p in self._model.parameters() if p.grad is not None]
        return bool(torch.nn.utils.get_total_norm(found).isfinite())

    def weights_are_finite(self) -> bool:
        """Tell whether all weights are finite."""
        return all(bool(value.isfinite().all()) for value in self._model.state_dict().values())

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next steps depend on."""
        return {
            "model": self._model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "precision": self._fabric.strategy.precision.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._model.load_state_dict(state["model"], strict=True)
        self._optimiser.load_state_dict(state["optimiser"])
        self._scheduler.load_state_dict(state["scheduler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self._fabric.strategy.precision.load_state_dict(state["precision"])
