"""Running a model: where, in which precision, on how many windows at once."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import islice

import torch
from torch import Tensor

from partita.devices import worker_pool
from partita.dsp.wiener import refine
from partita.errors import PartitaError
from partita.models._protocol import SeparationModel, SongFacts

_MOST_WINDOWS = 4  # on a CPU at once: each takes memory for its activations
_DEVICE_BATCH = 4  # windows in one call on other devices


class ModelRunner:
    """A model on its device.

    Parameters
    ----------
    model : SeparationModel
    device : torch.device
    precision : torch.dtype
        Of the networks; estimates are float32 in any case.
    wiener : int
        Iterations of the multichannel Wiener filter behind the model, 0 for none.

    Attributes
    ----------
    model : SeparationModel
        In its form for inference.
    batch : int
        Windows in one call, at most. A core of a CPU is busy with one, unless its model wants more;
        other devices want more at a time.
    """

    def __init__(
        self,
        model: SeparationModel,
        device: torch.device,
        precision: torch.dtype,
        wiener: int = 0,
    ) -> None:
        self.model = model.to(device).for_inference()
        self.device, self._precision, self._wiener = device, precision, wiener
        # Read once: while another song of a batch is running, this thread may see less.
        self._threads = torch.get_num_threads()
        self._workers = min(self._threads, _MOST_WINDOWS) if device.type == "cpu" else 1
        self.batch = self.model.cpu_batch if device.type == "cpu" else _DEVICE_BATCH

    def for_song(self, facts: SongFacts) -> ModelRunner:
        """Return a runner of the model for one song; this one does not change."""
        runner = copy.copy(self)
        runner.model = self.model.for_song(facts)
        return runner

    def workers(self) -> AbstractContextManager[ThreadPoolExecutor]:
        """Make the threads that `map_windows` wants, for one run."""
        return worker_pool(self._workers, self._threads)

    def map_windows(self, pool: ThreadPoolExecutor, windows: Iterator[Tensor]) -> Iterator[Tensor]:
        """Run the model on several windows at once, in order, while reading and writing go on."""
        pending: deque[Future[list[Tensor]]] = deque()
        while ahead := list(islice(windows, self._workers * self.batch)):
            # The last windows of a song, too few for everyone, are shared out evenly.
            size = math.ceil(len(ahead) / self._workers)
            for start in range(0, len(ahead), size):
                pending.append(pool.submit(self._run_batch, ahead[start : start + size]))
                if len(pending) > self._workers:
                    yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()

    def _run_batch(self, windows: list[Tensor]) -> list[Tensor]:
        """Run the model on windows of one length at once, on fewer where memory ends."""
        groups = len(windows[0])
        try:
            estimates = self.run(torch.cat(windows))  # [windows * groups, S, C, T]
        except torch.OutOfMemoryError as error:
            if len(windows) == 1:
                raise PartitaError(
                    f"out of memory on {self.device}: shorter windows (--segment) need less, "
                    "and --device cpu has more"
                ) from error
            half = len(windows) // 2
            return self._run_batch(windows[:half]) + self._run_batch(windows[half:])
        return list(torch.split(estimates, groups))

    def run(self, mixture: Tensor) -> Tensor:
        """Map ``[groups, channels, samples]`` to ``[groups, sources, channels, samples]``."""
        autocast = torch.autocast(
            self.device.type, dtype=self._precision, enabled=self._precision != torch.float32
        )
        with torch.inference_mode():
            there = mixture.to(self.device)
            with autocast:
                estimates: Tensor = self.model(there).float()
            if self._wiener:
                if self.device.type == "mps":  # which has no double precision
                    there, estimates = mixture, estimates.cpu()
                estimates = refine(estimates, there, self._wiener)
            return estimates.cpu()
