"""One mixture on its way through an estimator: rates, channels, sums, levels."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from partita.audio.channels import join_channels, mix_channels, split_channels
from partita.audio.resample import resample_blocks
from partita.dsp.blocks import BlockBuffer
from partita.dsp.levels import NullMeter, spread_residual
from partita.dsp.stereo import StereoField, StereoMeter
from partita.models._protocol import SongFacts
from partita.progress import Progress
from partita.separation.windowed import Estimator, in_step

Samples = npt.NDArray[np.float32]


@dataclass
class MixtureStream:
    """One mixture on its way through an estimator.

    Attributes
    ----------
    estimator : Estimator
    stems : mapping of str to tuple of str
        Stem → the sources that it is the sum of.
    rate, in_channels : int
        The mixture's.
    keep_rate : bool
        Give stems in the mixture's rate and channel count instead of the estimator's.
    sum_to_mix : bool
        Make the estimates add up to the mixture.
    frames : int or None
        The mixture's length, as far as it is known beforehand.
    progress : callable, optional
    meter : NullMeter or None
        Of all estimates, whether they are among the stems or not; None: not all are made.
    done : int
        Samples given out so far.
    field : StereoField or None
        Of the whole mixture: what it lacks of ordinary stereo is made up for on the way to the
        estimator, and undone on the way back; None: it was not measured.
    """

    estimator: Estimator
    stems: Mapping[str, tuple[str, ...]]
    rate: int
    in_channels: int
    keep_rate: bool
    sum_to_mix: bool
    frames: int | None = None
    progress: Progress | None = None
    meter: NullMeter | None = field(default_factory=NullMeter)
    done: int = 0
    field: StereoField | None = None

    @property
    def out_rate(self) -> int:
        """Sample rate of the stems."""
        return self.rate if self.keep_rate else self.estimator.sample_rate

    @property
    def null_depth_db(self) -> float | None:
        """The null depth of what has been separated; None: it is not measured."""
        return None if self.meter is None else self.meter.null_depth_db

    @property
    def out_channels(self) -> int:
        """Channel count of the stems."""
        return self.in_channels if self.keep_rate else self.estimator.channels

    @property
    def needs_measure(self) -> bool:
        """Whether the mixture has a stereo field that matters: then `measure` must see it first."""
        return self.in_channels > 1 and (self.estimator.channels == 2 or not self.keep_rate)

    def measure(self, blocks: Iterable[Samples]) -> None:
        """Measure the stereo field of the whole mixture, which `separate` is given afterwards.

        It is a fact of the song, the same for all its windows: a song may well begin with a bass
        alone in the middle, which is no reason to take it for mono.
        """
        meter = StereoMeter(self.rate)
        for block in blocks:
            pairs = split_channels(block, 2) if self.keep_rate else mix_channels(block, 2)[None]
            meter.add(pairs)
        self.field = meter.field()

    def separate(self, blocks: Iterable[Samples]) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield ``[channels, samples]`` of the mixture and ``[stems, channels, samples]``.

        Both are at the output rate. There are exactly as many samples as the input has at it.
        """
        mixture = BlockBuffer()
        selection = self._selection()
        estimates = self._out_domain(self._estimates(blocks, mixture))
        for heard, guessed in in_step(mixture, estimates):
            yield self._finish(heard, guessed, selection)

    def _selection(self) -> Tensor:
        """Return the ``[stems, sources]`` matrix of ones and zeros that sums up the stems."""
        sources = self.estimator.sources
        rows = [[float(s in members) for s in sources] for members in self.stems.values()]
        return torch.tensor(rows)

    def _finish(self, mixture: Tensor, estimates: Tensor, select: Tensor) -> tuple[Tensor, Tensor]:
        if self.sum_to_mix:
            estimates = spread_residual(mixture, estimates)
        if self.meter is not None:
            self.meter.add(mixture, estimates)
        self.done += mixture.shape[-1]
        if self.progress is not None:
            total_s = None if self.frames is None else self.frames / self.rate
            self.progress(self.done / self.out_rate, total_s)
        return mixture, torch.einsum("ts,scn->tcn", select, estimates)

    def _model_domain(
        self, blocks: Iterable[Samples], mixture: BlockBuffer | None
    ) -> Iterator[Tensor]:
        """Yield ``[groups, channels, samples]`` at the estimator's rate; tap the mixture."""
        rate, channels = self.estimator.sample_rate, self.estimator.channels
        is_turned = channels == 1 and self.field is not None and self.field.is_turned

        def native() -> Iterator[Samples]:
            for block in blocks:
                if self.keep_rate:
                    if mixture is not None:
                        mixture.append(torch.from_numpy(block))
                    groups = split_channels(block, channels)
                    yield groups.reshape(-1, block.shape[-1])  # [groups * channels, samples]
                elif is_turned:  # channels that would cancel each other
                    left, right = mix_channels(block, 2)
                    yield (left - right)[None] / 2
                else:
                    yield mix_channels(block, channels)

        rows = -(-self.in_channels // channels) * channels if self.keep_rate else channels
        for block in resample_blocks(native(), rows, self.rate, rate):
            converted = torch.from_numpy(block)
            if mixture is not None and not self.keep_rate:
                mixture.append(converted)
            yield converted.reshape(-1, channels, block.shape[-1])

    def model_input(
        self, blocks: Iterable[Samples], mixture: BlockBuffer | None = None
    ) -> tuple[Iterator[Tensor], SongFacts]:
        """Return what the estimator gets of a mixture: `measure` has seen it before.

        Parameters
        ----------
        blocks : iterable of ndarray ``[channels, samples]``
        mixture : BlockBuffer, optional
            Takes ``[channels, samples]`` of the mixture as the stems will be: as it came with
            `keep_rate`, else at the estimator's rate and channel count.

        Returns
        -------
        stream : iterator of Tensor ``[groups, channels, samples]``
            At the estimator's rate and channel count.
        facts : SongFacts
        """
        stream, field = self._model_domain(blocks, mixture), self._mapping
        if field is None:
            return stream, SongFacts()
        return (field.apply(block) for block in stream), SongFacts(side=field.given_side)

    @property
    def _mapping(self) -> StereoField | None:
        """What is done with the channels on the way to the estimator, and undone afterwards."""
        if self.estimator.channels == 1:
            return None
        return StereoField.mono() if self.in_channels == 1 else self.field

    def _estimates(self, blocks: Iterable[Samples], mixture: BlockBuffer) -> Iterator[Tensor]:
        """Yield estimates ``[groups, sources, channels, samples]`` at the estimator's rate."""
        estimates = self.estimator.estimate(*self.model_input(blocks, mixture))
        field = self._mapping
        return estimates if field is None else (field.undo(block) for block in estimates)

    def _out_domain(self, estimates: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yield estimates ``[sources, channels, samples]`` at the output rate."""
        if not self.keep_rate:
            for block in estimates:
                yield block[0]
            return

        def joined() -> Iterator[Samples]:
            for block in estimates:  # [groups, sources, channels, samples]
                by_source = block.movedim(0, 1).numpy()  # [sources, groups, channels, samples]
                together = join_channels(by_source, self.in_channels)
                yield together.reshape(-1, together.shape[-1])

        count = len(self.estimator.sources)
        rows = count * self.in_channels
        for rows_block in resample_blocks(joined(), rows, self.estimator.sample_rate, self.rate):
            yield torch.from_numpy(rows_block).reshape(count, self.in_channels, -1)
