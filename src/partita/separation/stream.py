"""One mixture and its stems: sample rate and channels, sums, null meter."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from partita.audio.channels import interleaved, join_channels, mix_channels, split_channels
from partita.audio.conversion import Conversion, conversion_latency_s
from partita.dsp.blocks import Aligner, until_last
from partita.dsp.levels import NullMeter, spread_residual
from partita.dsp.stereo import StereoField, StereoMeter
from partita.models._protocol import SongFacts
from partita.progress import Progress
from partita.separation.windowed import Estimator

Samples = npt.NDArray[np.float32]


@dataclass
class MixtureStream:
    """Separates one mixture with an estimator.

    Attributes
    ----------
    estimator : Estimator
    stems : mapping of str to tuple of str
        Stem → the sources that it sums.
    rate, in_channels : int
        The mixture's.
    keep_rate : bool
        Whether stems get the mixture's sample rate and channel count, not the estimator's.
    sum_to_mix : bool
        Whether the residual is added to the estimates, so that their sum is the mixture.
    frames : int or None
        The mixture's length, if known.
    progress : callable, optional
    meter : NullMeter or None
        Measures the null depth of all estimates; None: some are not computed.
    done : int
        Samples returned so far.
    field : StereoField or None
        The mixture's. Mono, narrow and one-sided mixtures are mapped to ordinary stereo for the
        estimator, and estimates are mapped back; None: not measured.
    is_kept : bool
        Whether stages of the estimator are kept, so that `measure` takes the mixture's digest.
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
    is_kept: bool = False
    _digest: str = ""

    @property
    def out_rate(self) -> int:
        """Sample rate of the stems."""
        return self.rate if self.keep_rate else self.estimator.sample_rate

    @property
    def null_depth_db(self) -> float | None:
        """The null depth so far; None: not measured."""
        return None if self.meter is None else self.meter.null_depth_db

    @property
    def out_channels(self) -> int:
        """Channel count of the stems."""
        return self.in_channels if self.keep_rate else self.estimator.channels

    @property
    def needs_measure(self) -> bool:
        """Whether `measure` must be called first, for the stereo field or the digest."""
        return self._has_field or self.is_kept

    @property
    def _has_field(self) -> bool:
        """Whether the stereo field matters."""
        return self.in_channels > 1 and (self.estimator.channels == 2 or not self.keep_rate)

    def measure(self, blocks: Iterable[Samples]) -> None:
        """Measure the stereo field of the whole mixture, before `separate` gets it.

        All windows of a song share it: a song that begins with a bass in the centre is not mono.
        """
        meter = StereoMeter(self.rate)
        # Otherwise it makes no difference to what the estimator gets.
        is_grouped = self.keep_rate and self.in_channels != self.estimator.channels
        digest = hashlib.sha256(repr((self.rate, self.in_channels, is_grouped)).encode())
        for block in blocks:
            if self._has_field:
                both = split_channels(block, 2) if self.keep_rate else mix_channels(block, 2)[None]
                meter.add(both)
            if self.is_kept:
                digest.update(interleaved(block).data)
        if self._has_field:
            self.field = meter.field()
        if self.is_kept:
            self._digest = digest.hexdigest()

    @property
    def latency_s(self) -> float:
        """How far, in seconds, the stems of a live stream are behind it, at most."""
        there_s = conversion_latency_s(self.rate, self.estimator.sample_rate)
        return self.estimator.latency_s + there_s * (2 if self.keep_rate else 1)

    def separate(
        self, blocks: Iterable[Samples], *, is_live: bool = False
    ) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield ``[channels, samples]`` of the mixture and ``[stems, channels, samples]``.

        Both are at the output rate. There are exactly as many samples as the input has at it.

        Parameters
        ----------
        blocks : iterable of ndarray ``[channels, samples]``
        is_live : bool
            Give each sample as soon as `latency_s` allows, instead of reading ahead and computing
            several windows at once, which is faster.
        """
        there, back = self._conversion(), Conversion(self.estimator.sample_rate, self.rate)
        aligner, select = Aligner(2), self._selection()
        with nullcontext() if is_live else self.estimator.models[0].pool() as pool:
            separation = self.estimator.start(pool, self._facts)
            for block, last in until_last(blocks):
                mixture, groups = self._to_model(there, block, last)
                estimates = self._from_model(back, separation.push(groups, last), last)
                mixture, estimates = aligner.push([mixture, estimates], last)
                if mixture.shape[-1]:
                    yield self._finish(mixture, estimates, select)

    def model_input(self, blocks: Iterable[Samples]) -> tuple[Iterator[Tensor], SongFacts]:
        """Return the estimator's input for a mixture, after `measure`.

        Parameters
        ----------
        blocks : iterable of ndarray ``[channels, samples]``

        Returns
        -------
        groups : iterator of Tensor ``[groups, channels, samples]``
            At the estimator's rate and channel count.
        facts : SongFacts
        """
        there = self._conversion()
        groups = (self._to_model(there, block, last)[1] for block, last in until_last(blocks))
        return groups, self._facts

    @property
    def _mapping(self) -> StereoField | None:
        """The mapping of the channels for the estimator, which is inverted afterwards."""
        if self.estimator.channels == 1:
            return None
        return StereoField.mono() if self.in_channels == 1 else self.field

    @property
    def _facts(self) -> SongFacts:
        side = None if self._mapping is None else self._mapping.mapped_side
        return SongFacts(side, self._digest)

    def _selection(self) -> Tensor | None:
        """Return the ``[stems, sources]`` matrix of ones and zeros that sums up the stems.

        None: the stems are the sources.
        """
        sources = self.estimator.sources
        if [(source,) for source in sources] == [tuple(each) for each in self.stems.values()]:
            return None
        rows = [[float(s in members) for s in sources] for members in self.stems.values()]
        return torch.tensor(rows)

    def _conversion(self) -> Conversion:
        """Return the conversion to the estimator's sample rate and channel count."""
        return Conversion(self.rate, self.estimator.sample_rate, self.estimator.channels)

    def _to_model(
        self, conversion: Conversion, block: Samples, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Return a block in the form of the stems, and the estimator's input for it.

        They are ``[channels, samples]`` and ``[groups, channels, samples]``.
        """
        given, channels, mapping = block, self.estimator.channels, self._mapping
        if self.keep_rate:
            given = split_channels(block, channels)
        elif channels == 1 and self.field is not None and self.field.is_inverted:
            left, right = mix_channels(block, 2)  # channels that would cancel each other
            given = (left - right)[None] / 2
        converted = torch.from_numpy(conversion.push(given, last))
        mixture = torch.from_numpy(block) if self.keep_rate else converted
        groups = converted if self.keep_rate else converted[None]
        return mixture, groups if mapping is None else mapping.apply(groups)

    def _from_model(self, conversion: Conversion, estimates: Tensor, last: bool) -> Tensor:
        """Return ``[sources, channels, samples]`` in the form of the stems.

        The estimates are ``[groups, sources, channels, samples]``.
        """
        if self._mapping is not None:
            estimates = self._mapping.undo(estimates)
        if not self.keep_rate:
            return estimates[0]
        by_source = estimates.movedim(0, 1).numpy()  # [sources, groups, channels, samples]
        joined = join_channels(by_source, self.in_channels)
        return torch.from_numpy(conversion.push(joined, last))

    def _finish(
        self, mixture: Tensor, estimates: Tensor, select: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if self.sum_to_mix:
            estimates = spread_residual(mixture, estimates)
        if self.meter is not None:
            self.meter.add(mixture, estimates)
        self.done += mixture.shape[-1]
        if self.progress is not None:
            total_s = None if self.frames is None else self.frames / self.rate
            self.progress(self.done / self.out_rate, total_s)
        if select is not None:
            estimates = torch.einsum("ts,scn->tcn", select, estimates)
        return mixture, estimates
