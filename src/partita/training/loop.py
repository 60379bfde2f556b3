"""The training loop: one for every model."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from partita.errors import TrainingError, UsageError, one_line
from partita.models._protocol import SeparationModel
from partita.training.cache.decoded_songs import DecodedSongs
from partita.training.excerpts import Batch, Excerpt, draw_excerpt, prefetch, spread_excerpts
from partita.training.losses import TrainingStep
from partita.training.optimisation import Optimisation
from partita.training.recipes import Recipe, fitting_parts
from partita.training.run_folder import RunFolder
from partita.training.song_sources import TrainingData
from partita.training.sync_batchnorm import sync_batchnorms
from partita.training.tensorboard import TensorBoardLog

_STATISTICS_EXCERPTS = 200
_NO_MEMORY = "can't allocate memory"  # how PyTorch says it for CPUs
_REASON_CHARS = 120
_NAMED = 8  # excerpts of a bad batch that a message names


class Observer(Protocol):
    """Receives the progress of a training."""

    def step(self, step: int, steps: int, loss: float) -> None:
        """Receive the steps done, all steps, and the mean loss of the epoch so far."""

    def epoch(self, row: Mapping[str, float]) -> None:
        """Receive the losses of an epoch: a row of ``losses.csv``."""


class Training:
    """A training that starts, or resumes from the state in its folder.

    A step depends on nothing but the settings, the state after the previous step, and its number,
    which seeds excerpts and dropout. So a training that was interrupted and resumed ends with the
    weights of one that was not.

    Parameters
    ----------
    model : SeparationModel
        Its weights change.
    recipe : Recipe
    data : TrainingData
    folder : RunFolder
    fabric : Fabric
    observer : Observer
    fresh : bool
        Whether the weights are random: the model then learns statistics of mixtures first.

    Attributes
    ----------
    history : list of mapping
        A row of losses for each epoch.

    Raises
    ------
    UsageError
        The batch cannot be shared among the processes, or the loss does not fit the model.
    """

    def __init__(
        self,
        model: SeparationModel,
        recipe: Recipe,
        data: TrainingData,
        folder: RunFolder,
        fabric: Fabric,
        observer: Observer,
        *,
        fresh: bool = True,
    ) -> None:
        self._settings, self._augmentation = recipe.training, recipe.augmentation
        self._data, self._folder = data, folder
        self._fabric, self._observer = fabric, observer
        self._model = model
        self._samples = round(self._settings.excerpt_s * model.sample_rate)
        self._share = self._settings.batch_size // fabric.world_size
        if self._share * fabric.world_size != self._settings.batch_size:
            raise UsageError(
                f"batch_size {self._settings.batch_size} cannot be shared among "
                f"{fabric.world_size} processes: make it a multiple of {fabric.world_size}"
            )
        if accumulate := fitting_parts(self._share, self._settings.accumulate):
            raise UsageError(
                f"accumulate={self._settings.accumulate} does not divide {self._share}, a "
                f"process's share of a batch: accumulate={accumulate} does"
            )
        state = folder.load_state()
        if fresh and state is None:
            self._learn_statistics()
        if fabric.world_size > 1:
            sync_batchnorms(model)
        self._optimisation = Optimisation(model, self._settings, fabric)
        self.history: list[dict[str, float]] = []
        self._step, self._elapsed_s = 0, 0.0
        self._newest: Batch | None = None
        self._tensorboard: TensorBoardLog | None = None
        self._cancelled: Callable[[], bool] = _never
        self._clock: Callable[[], float] = lambda: self._elapsed_s
        self._kept_place, self._kept_at = (-1, -1), 0.0
        self._best, self._stale = math.inf, 0
        self._sums = torch.zeros(1 + len(model.learned), dtype=torch.float64)
        if state is not None:
            try:
                self._restore(state)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                raise TrainingError(
                    f"{one_line(folder.state)}: is the state of another training "
                    f"({one_line(error)[:_REASON_CHARS]}); `overwrite=True` begins anew"
                ) from error

    def _learn_statistics(self) -> None:
        songs = self._data.train.songs_for(0)
        excerpts = spread_excerpts(songs, self._samples, _STATISTICS_EXCERPTS)
        self._model.learn_statistics(e.sources.sum(dim=0, keepdim=True) for e in excerpts)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self._progress >= 1 or self._is_stuck

    @property
    def _progress(self) -> float:
        return self._settings.progress(self._step, self._elapsed_s)

    @property
    def _steps(self) -> int:
        """The number of all steps, estimated from the time that they took so far."""
        return max(self._step, round(self._step / max(self._progress, 1e-6)))

    @property
    def _epoch_begin(self) -> int:
        """The first step of the running epoch."""
        return int(self.history[-1]["step"]) if self.history else 0

    @property
    def _is_stuck(self) -> bool:
        return bool(self._settings.stop_patience) and self._stale >= self._settings.stop_patience

    def run(self, cancel: threading.Event | None = None) -> None:
        """Train all epochs, or until the loss stops getting better.

        Parameters
        ----------
        cancel : Event, optional
            Once it is set, the state is kept and the training stops with InterruptedError, as
            soon as the step is done that is running.

        Raises
        ------
        TrainingError
            The loss is NaN or infinite, or there is not enough memory.
        AudioWriteError
            The folder cannot be written.
        """
        started = self._kept_at = time.monotonic()
        before_s = self._elapsed_s
        alone = self._fabric.world_size == 1  # else all have to stop at the same step
        self._cancelled = cancel.is_set if cancel is not None and alone else _never
        self._clock = lambda: before_s + time.monotonic() - started
        batches = prefetch(self._draw, self._indices(), self._settings.workers, self._cancelled)
        if self._fabric.is_global_zero:
            self._folder.write_losses(self.history)
            self._tensorboard = TensorBoardLog(self._folder.tensorboard, self._step)
            if self.history:
                self._folder.replace_lost_model(self.kept)
        try:
            self._end_epoch_if_due()
            while not self.done:
                stops = self._update(next(batches), cancel is not None and cancel.is_set())
                self._end_epoch_if_due()
                if (stops or self._cancelled()) and not self.done:
                    raise InterruptedError
                minutes = (time.monotonic() - self._kept_at) / 60
                if minutes >= self._settings.checkpoint_minutes:
                    self._save()
        except InterruptedError:
            self._save()
            raise
        except (MemoryError, RuntimeError) as error:
            self._explain(error)
            raise
        finally:
            batches.close()
            if self._tensorboard is not None:
                self._tensorboard.close()

    def _explain(self, error: Exception) -> None:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or _NO_MEMORY in str(error):
            raise TrainingError(
                f"not enough memory for {self._share} excerpts at once: a smaller batch_size or "
                "excerpt_s needs less, and so does accumulate"
            ) from error

    def _draw(self, index: int) -> Excerpt:
        if self._data.draw is not None:
            return self._data.draw(index)
        songs = self._data.train.songs_for(index)
        return draw_excerpt(songs, self._samples, self._augmentation, self._settings.seed, index)

    def _indices(self) -> Iterator[Sequence[int]]:
        """Yield the numbers of this process's excerpts for every step to come."""
        settings = self._settings
        most = settings.epochs * settings.steps_per_epoch
        for step in itertools.count(self._step) if settings.minutes else range(self._step, most):
            first = step * self._settings.batch_size + self._fabric.global_rank * self._share
            yield range(first, first + self._share)

    def _update(self, batch: Batch, cancelled: bool) -> bool:
        """Take one step; tell whether any of the processes wants to stop after it."""
        settings, fabric = self._settings, self._fabric
        seed = np.random.SeedSequence([settings.seed, self._step, fabric.global_rank])
        torch.manual_seed(int(seed.generate_state(1)[0]))  # dropout's
        self._optimisation.schedule(self._step, self._elapsed_s)
        self._newest = batch
        values = self._optimisation.learn(batch.sources)
        # What processes have to agree on: whether one of them stops, and how late it is.
        shared = values.new_tensor([float(cancelled), self._clock()])
        values = _mean(fabric, torch.cat([values, shared]))
        self._require_finite(bool(values.isfinite().all()))
        if settings.precision != "float16":  # there, such steps are left out
            self._require_finite(self._optimisation.gradients_are_finite(), "gradient")
        self._optimisation.step()
        self._sums += values[:-2].double().cpu()
        self._step += 1
        self._elapsed_s = float(values[-1])
        loss = float(self._sums[0]) / (self._step - self._epoch_begin)
        self._observer.step(self._step, self._steps, loss)
        return bool(values[-2])

    def _require_finite(self, finite: bool, what: str = "loss") -> None:
        if finite or self._newest is None:
            return
        names = [place for places in self._newest.places for place in places]
        named = "; ".join(names[:_NAMED]) + ("; …" if len(names) > _NAMED else "")
        kept = one_line(self._folder.state) if self._folder.state.exists() else "none yet"
        raise TrainingError(
            f"the {what} is NaN or infinite at step {self._step + 1}, of {one_line(named)}; "
            f"last good checkpoint: {kept}; a smaller learning_rate or clip_norm may help"
        )

    def _end_epoch_if_due(self) -> None:
        """End an epoch whose steps are done, also after an interruption at its end.

        The epoch ends early when the time is up.
        """
        length, begin = self._settings.steps_per_epoch, self._epoch_begin
        if self._step // length > begin // length or (self._step > begin and self._progress >= 1):
            self._end_epoch()
            self._save()

    def _end_epoch(self) -> None:
        train = (self._sums / (self._step - self._epoch_begin)).tolist()
        row: dict[str, float] = {
            "epoch": len(self.history) + 1,
            "step": self._step,
            "seconds": round(self._elapsed_s, 3),
            "learning_rate": self._optimisation.learning_rate,
            **_named("train", self._model.learned, train),
        }
        if self._data.valid is not None:
            row |= _named("valid", self._model.learned, self._validate(self._data.valid))
        self._sums.zero_()
        self.history.append(row)
        watched = row.get("valid", row["train"])
        self._require_finite(math.isfinite(watched) and self._optimisation.weights_are_finite())
        better = watched < self._best
        self._stale = 0 if better else self._stale + 1
        self._best = min(self._best, watched)
        self._optimisation.end_epoch(watched)
        if self._fabric.is_global_zero:
            # Where nothing is held out, a smaller loss says little: the newest is kept.
            if better or self._data.valid is None:
                self._folder.save_model(self.kept)
            self._folder.write_losses(self.history)
        if self._tensorboard is not None:
            self._tensorboard.add(row)
        self._observer.epoch(row)

    @property
    def kept(self) -> SeparationModel:
        """The model whose weights are to be used."""
        return self._optimisation.kept

    @torch.no_grad()
    def _validate(self, valid: DecodedSongs) -> list[float]:
        """Return the mean losses of excerpts that are spread over the tracks held out."""
        fabric, settings = self._fabric, self._settings
        step = TrainingStep(self.kept, settings.loss, combinations=settings.combinations).eval()
        excerpts = spread_excerpts(valid, self._samples, settings.valid_excerpts)
        own = range(fabric.global_rank, len(excerpts), fabric.world_size)
        sums = torch.zeros(len(self._sums) + 1, device=fabric.device)
        for index in own:
            if self._cancelled():
                raise InterruptedError
            rows = excerpts[index].sources.unsqueeze(0).to(fabric.device)
            with fabric.autocast():
                losses = step(rows)
            one = losses.total.new_ones(1)
            sums += torch.cat([losses.total[None], losses.sources, one])
        sums = _mean(fabric, sums)
        return (sums[:-1] / sums[-1]).tolist()

    def _save(self) -> None:
        """Save the state, unless it is not finite or was saved already."""
        place = self._step, len(self.history)
        if place == self._kept_place:
            return
        self._require_finite(self._optimisation.weights_are_finite())
        if self._fabric.is_global_zero:
            self._folder.save_state(self._state())
        self._kept_place, self._kept_at = place, time.monotonic()

    def _state(self) -> dict[str, Any]:
        return {
            "step": self._step,
            "elapsed_s": self._elapsed_s,
            "best": self._best,
            "stale": self._stale,
            "sums": self._sums,
            "history": self.history,
            **self._optimisation.state_dict(),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._step, self._elapsed_s = state["step"], state["elapsed_s"]
        self._best, self._stale = state["best"], state["stale"]
        self._sums, self.history = state["sums"], list(state["history"])
        self._optimisation.load_state_dict(state)
        self._kept_place = self._step, len(self.history)


def _never() -> bool:
    return False


def _mean(fabric: Fabric, values: Tensor) -> Tensor:
    """Return the mean over processes."""
    reduced = fabric.all_reduce(values, reduce_op="mean")
    assert isinstance(reduced, Tensor)
    return reduced


def _named(prefix: str, sources: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """Return ``{prefix: total, prefix_SOURCE: …}``."""
    names = [prefix, *(f"{prefix}_{source}" for source in sources)]
    return dict(zip(names, values, strict=True))
