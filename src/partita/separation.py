"""The Separator: from any audio to stems, for any model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from partita.audio.channels import join_channels, mix_channels, split_channels
from partita.audio.formats import StemFormat
from partita.audio.reader import MAX_CHANNELS, AudioReader, open_audio
from partita.audio.resample import resample_blocks
from partita.audio.signal import Audio
from partita.audio.stem_writer import StemWriter
from partita.devices import choose_device, choose_precision
from partita.dsp.blocks import BlockBuffer
from partita.dsp.levels import NullMeter, spread_residual
from partita.dsp.overlap_add import Window, average_shifts, overlap_add, random_offsets
from partita.errors import UsageError
from partita.inference import ModelRunner
from partita.models._protocol import SeparationModel
from partita.stems import choose_stems
from partita.weights.cards import DEFAULT_MODEL
from partita.weights.store import load_model

Samples = npt.NDArray[np.float32]
#: Called with the samples separated so far and the expected total (None: unknown), and the rate.
Progress = Callable[[int, int | None, int], None]

_LONGEST_SHIFT_S = 0.5
_BLOCK_SAMPLES = 1 << 16


@dataclass(frozen=True, eq=False)
class Estimates(Mapping[str, Audio]):
    """Separated stems by name.

    Attributes
    ----------
    null_depth_db : float
        Level of the mixture minus the sum of all the model's estimates, against the mixture.
    warnings : tuple of str
        What went wrong with the input without stopping it.
    """

    stems: Mapping[str, Audio]
    null_depth_db: float
    warnings: tuple[str, ...] = ()

    def __getitem__(self, stem: str) -> Audio:
        return self.stems[stem]

    def __iter__(self) -> Iterator[str]:
        return iter(self.stems)

    def __len__(self) -> int:
        return len(self.stems)


@dataclass(frozen=True)
class StemFiles:
    """What `Separator.separate_to_files` did.

    Attributes
    ----------
    stems : dict of str to Path
        The files; equal paths where one file holds all stems.
    sample_rate, channels : int
    duration_s : float
        Length of the stems.
    null_depth_db : float
        As in `Estimates`.
    gain_db : float
        The joint gain that kept the loudest stem from clipping, 0 or negative.
    elapsed_s : float
        Wall-clock time of the separation, reading and writing included.
    warnings : tuple of str
    """

    stems: dict[str, Path]
    sample_rate: int
    channels: int
    duration_s: float
    null_depth_db: float
    gain_db: float
    elapsed_s: float
    warnings: tuple[str, ...]


class Separator:
    """Takes mixtures apart with one model.

    Parameters
    ----------
    model : str, Path or SeparationModel
        Name of a set of weights, path of a checkpoint, or a model in memory.
    stems : sequence of str
        Stem expressions, or one text with commas between them: sources, sums (``drums+bass``) or
        rests (``no_vocals``); all sources by default.
    two_stems : str, optional
        A stem expression: that stem and ``no_STEM``.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    precision : str
        Of the networks: ``auto`` (float32), ``float32``, ``bfloat16`` or ``float16``.
    segment_s : float, optional
        Window length in seconds instead of the model's own.
    overlap : float, optional
        Overlap of the windows as a fraction of their length, 0 up to below 1, instead of the
        model's own.
    shifts : int
        Average that many random delays of up to half a second; 0 separates once, undelayed.
    seed : int
        For the delays.
    sum_to_mix : bool
        Share the residual out among the estimates, so that they add up to the mixture.
    wiener : int
        Refine the estimates by that many iterations of `partita.dsp.wiener.refine`; 0: do not.

    Raises
    ------
    UsageError
        An option out of range, an unknown name.
    WeightsError
        The weights cannot be had.

    Examples
    --------
    >>> separator = Separator("spleeter-2stems", stems=["vocals"])  # doctest: +SKIP
    >>> separator.separate_file("song.mp3")["vocals"].save("vocals.flac")  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | SeparationModel = DEFAULT_MODEL,
        *,
        stems: Sequence[str] | str = (),
        two_stems: str | None = None,
        device: str = "auto",
        precision: str = "auto",
        segment_s: float | None = None,
        overlap: float | None = None,
        shifts: int = 0,
        seed: int = 0,
        sum_to_mix: bool = False,
        wiener: int = 0,
    ) -> None:
        if isinstance(stems, str):
            stems = stems.split(",")
        if shifts < 0:
            raise UsageError(f"--shifts {shifts} is negative")
        if wiener < 0:
            raise UsageError(f"--wiener {wiener} is negative")
        chosen_device, chosen_precision = choose_device(device), choose_precision(precision)
        loaded = model if isinstance(model, SeparationModel) else load_model(str(model))
        if wiener and len(loaded.sources) < 2:
            raise UsageError("--wiener shares the mixture out among sources: this model has one")
        self._runner = ModelRunner(loaded, chosen_device, chosen_precision, wiener)
        self.model = self._runner.model
        self.stems = choose_stems(self.model.sources, stems=stems, two_stems=two_stems)
        self.window = _choose_window(self.model, segment_s, overlap)
        self._offsets = random_offsets(
            shifts, round(_LONGEST_SHIFT_S * self.model.sample_rate), seed
        )
        self._sum_to_mix = sum_to_mix

    @property
    def sources(self) -> tuple[str, ...]:
        """What the model separates."""
        return self.model.sources

    @property
    def sample_rate(self) -> int:
        """The model's sample rate in hertz."""
        return self.model.sample_rate

    @property
    def channels(self) -> int:
        """The model's channel count."""
        return self.model.channels

    def __call__(
        self, mixture: Tensor | Samples, sample_rate: int, *, keep_rate: bool = False
    ) -> Estimates:
        """Separate a mixture in memory.

        Parameters
        ----------
        mixture : Tensor or ndarray ``[channels, samples]``
            1 to 8 channels; never changed.
        sample_rate : int
            In hertz.
        keep_rate : bool
            Return stems at `sample_rate` and with the mixture's channels instead of the model's.

        Raises
        ------
        UsageError
            The mixture is empty, not two-dimensional, or holds NaN or infinite values.
        """
        samples = _as_samples(mixture)
        if sample_rate <= 0:
            raise UsageError(f"a sample rate of {sample_rate} Hz is not positive")
        blocks = (
            samples[:, start : start + _BLOCK_SAMPLES]
            for start in range(0, samples.shape[1], _BLOCK_SAMPLES)
        )
        run = _Run(self, sample_rate, samples.shape[0], keep_rate)
        return run.collect(blocks)

    def separate_file(
        self,
        path: str | Path,
        *,
        start_s: float = 0.0,
        duration_s: float | None = None,
        keep_rate: bool = False,
        progress: Progress | None = None,
    ) -> Estimates:
        """Separate a file into memory.

        Parameters
        ----------
        path : str or Path
            Anything that `partita.audio.reader.open_audio` opens.
        start_s, duration_s : float
            The excerpt in seconds.
        keep_rate : bool
            Return stems in the file's own sample rate and channel count.
        progress : callable, optional
            Called after every window.

        Raises
        ------
        AudioReadError
            The file cannot be read.
        """
        with open_audio(path, start_s=start_s, duration_s=duration_s) as reader:
            run = _Run(self, reader.sample_rate, reader.channels, keep_rate, progress, reader)
            return run.collect(reader.blocks())

    def separate_to_files(
        self,
        reader: AudioReader,
        paths: Mapping[str, Path],
        form: StemFormat,
        *,
        root: Path,
        track: str,
        keep_rate: bool = False,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> StemFiles:
        """Separate an open file into stem files, in memory that does not grow with its length.

        Parameters
        ----------
        reader : AudioReader
        paths : mapping of str to Path
            Stem name → file; nothing appears there before everything is complete.
        form : StemFormat
        root : Path
            The output folder, where unfinished files wait.
        track : str
            Title of songs that have none.
        keep_rate, progress
            As for `separate_file`.
        cancel : Event, optional
            Once it is set, the separation stops with InterruptedError and leaves no files.

        Raises
        ------
        AudioReadError, AudioWriteError
        """
        started = time.perf_counter()
        run = _Run(self, reader.sample_rate, reader.channels, keep_rate, progress, reader)
        writer = StemWriter(
            paths,
            form,
            sample_rate=run.out_rate,
            channels=run.out_channels,
            tags={stem: reader.tags.for_stem(stem, track) for stem in paths},
            root=root,
            cancel=cancel,
        )
        with writer:
            for mixture, stems in run.stream(reader.blocks()):
                if cancel is not None and cancel.is_set():
                    raise InterruptedError
                writer.write(mixture.numpy(), stems.numpy())
            files = writer.finish()
        return StemFiles(
            stems=files,
            sample_rate=writer.file_rate,
            channels=run.out_channels,
            duration_s=run.done / run.out_rate,
            null_depth_db=run.meter.null_depth_db,
            gain_db=writer.gain_db,
            elapsed_s=time.perf_counter() - started,
            warnings=tuple(reader.warnings),
        )

    def estimate(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Separate a stream at the model's own rate and channel count.

        Parameters
        ----------
        blocks : iterable of Tensor ``[groups, channels, samples]``
            Independent groups of channels, in blocks of any length.

        Yields
        ------
        Tensor ``[groups, sources, channels, samples]``
        """
        with self._runner.workers() as pool:

            def once(stream: Iterator[Tensor]) -> Iterator[Tensor]:
                if self.window is None:
                    return iter([self._runner.run(torch.cat(list(stream), dim=-1))])
                return overlap_add(stream, partial(self._runner.map_windows, pool), self.window)

            if self._offsets:
                yield from average_shifts(blocks, once, self._offsets)
            else:
                yield from once(iter(blocks))


def _choose_window(
    model: SeparationModel, segment_s: float | None, overlap: float | None
) -> Window | None:
    own = model.window
    if own is None:
        if segment_s is not None or overlap is not None:
            raise UsageError("this model sees whole tracks: --segment and --overlap do not apply")
        return None
    if segment_s is not None and not 0.1 <= segment_s <= 3600:
        raise UsageError(f"--segment {segment_s:g} is not between 0.1 and 3600 seconds")
    if overlap is not None and not 0.0 <= overlap <= 0.95:
        raise UsageError(f"--overlap {overlap:g} is not between 0 and 0.95")
    length = own.length if segment_s is None else round(segment_s * model.sample_rate)
    fraction = own.overlap / own.length if overlap is None else overlap
    return Window(length, int(length * fraction))


def _as_samples(mixture: Tensor | Samples) -> Samples:
    if isinstance(mixture, Tensor):
        mixture = mixture.detach().cpu()
        array = (mixture.float() if mixture.is_floating_point() else mixture).numpy()
    else:
        array = np.asarray(mixture)
    if not np.issubdtype(array.dtype, np.floating):
        raise UsageError(
            f"a mixture holds floating-point samples, full scale ±1, not {array.dtype}"
        )
    if array.ndim != 2 or not 1 <= array.shape[0] <= MAX_CHANNELS or array.shape[1] == 0:
        raise UsageError(
            f"a mixture is [channels, samples] with 1 to 8 channels, not {list(array.shape)}"
        )
    # A copy: PyTorch wants neither negative strides nor memory that it may not write to.
    with np.errstate(over="ignore"):  # becomes infinite, which is found next
        samples = np.array(array, dtype=np.float32, order="C")
    if not np.isfinite(samples).all():
        raise UsageError("the mixture holds NaN or infinite samples")
    return samples


@dataclass
class _Run:
    """One mixture on its way through a Separator.

    Attributes
    ----------
    done : int
        Samples given out so far.
    """

    separator: Separator
    rate: int
    in_channels: int
    keep_rate: bool
    progress: Progress | None = None
    reader: AudioReader | None = None
    meter: NullMeter = field(default_factory=NullMeter)
    done: int = 0

    @property
    def out_rate(self) -> int:
        """Sample rate of the stems."""
        return self.rate if self.keep_rate else self.separator.sample_rate

    @property
    def out_channels(self) -> int:
        """Channel count of the stems."""
        return self.in_channels if self.keep_rate else self.separator.channels

    def collect(self, blocks: Iterable[Samples]) -> Estimates:
        """Separate a stream into memory."""
        stems = torch.cat([stems for _, stems in self.stream(blocks)], dim=-1)
        names = self.separator.stems
        return Estimates(
            {name: Audio(stems[i], self.out_rate) for i, name in enumerate(names)},
            self.meter.null_depth_db,
            tuple(self.reader.warnings) if self.reader else (),
        )

    def stream(self, blocks: Iterable[Samples]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ``[channels, samples]`` of the mixture and ``[stems, channels, samples]``.

        Both are at the output rate. There are exactly as many samples as the input has at it.
        """
        mixture = BlockBuffer()
        selection = self._selection()
        for block in self._out_domain(self._model_domain(blocks, mixture)):
            # block: [sources, channels, samples]
            count = min(block.shape[-1], mixture.end - mixture.start)
            if count:
                yield self._finish(mixture.take(count), block[..., :count], selection)
        rest = mixture.end - mixture.start
        if rest:  # the way to the model's rate and back may lose a sample
            silence = torch.zeros(len(self.separator.sources), self.out_channels, rest)
            yield self._finish(mixture.take(rest), silence, selection)

    def _selection(self) -> Tensor:
        """Return the ``[stems, sources]`` matrix of ones and zeros that sums up the stems."""
        sources = self.separator.sources
        rows = [[float(s in members) for s in sources] for members in self.separator.stems.values()]
        return torch.tensor(rows)

    def _finish(self, mixture: Tensor, estimates: Tensor, select: Tensor) -> tuple[Tensor, Tensor]:
        if self.separator._sum_to_mix:
            estimates = spread_residual(mixture, estimates)
        self.meter.add(mixture, estimates)
        self.done += mixture.shape[-1]
        if self.progress is not None:
            total = None
            if self.reader is not None and self.reader.frames is not None:
                total = round(self.reader.frames * self.out_rate / self.rate)
            self.progress(self.done, total, self.out_rate)
        return mixture, torch.einsum("ts,scn->tcn", select, estimates)

    def _model_domain(self, blocks: Iterable[Samples], mixture: BlockBuffer) -> Iterator[Tensor]:
        """Yield ``[groups, channels, samples]`` at the model's rate; tap the mixture.

        The tap holds the mixture as the stems will be: as it came with `keep_rate`, else as the
        model gets it.
        """
        model = self.separator.model

        def native() -> Iterator[Samples]:
            for block in blocks:
                if self.keep_rate:
                    mixture.append(torch.from_numpy(block))
                    groups = split_channels(block, model.channels)
                    yield groups.reshape(-1, block.shape[-1])  # [groups * channels, samples]
                else:
                    yield mix_channels(block, model.channels)

        rows = -(-self.in_channels // model.channels) * model.channels
        if not self.keep_rate:
            rows = model.channels
        for block in resample_blocks(native(), rows, self.rate, model.sample_rate):
            converted = torch.from_numpy(block)
            if not self.keep_rate:
                mixture.append(converted)
            yield converted.reshape(-1, model.channels, block.shape[-1])

    def _out_domain(self, model_domain: Iterator[Tensor]) -> Iterator[Tensor]:
        """Yield estimates ``[sources, channels, samples]`` at the output rate."""
        model = self.separator.model
        estimates = self.separator.estimate(model_domain)
        if not self.keep_rate:
            for block in estimates:
                yield block[0]
            return

        def joined() -> Iterator[Samples]:
            for block in estimates:  # [groups, sources, channels, samples]
                by_source = block.movedim(0, 1).numpy()  # [sources, groups, channels, samples]
                together = join_channels(by_source, self.in_channels)
                yield together.reshape(-1, together.shape[-1])

        rows = len(model.sources) * self.in_channels
        for rows_block in resample_blocks(joined(), rows, model.sample_rate, self.rate):
            yield torch.from_numpy(rows_block).reshape(len(model.sources), self.in_channels, -1)
