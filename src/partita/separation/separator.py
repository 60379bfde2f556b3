"""The Separator: from any audio to stems, for any model."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from partita.audio.formats import StemFormat
from partita.audio.reader import MAX_CHANNELS, AudioReader, open_audio
from partita.audio.signal import Audio
from partita.devices import choose_device, choose_precision, start_threads
from partita.dsp.levels import NullMeter
from partita.errors import UsageError, one_line
from partita.models._protocol import SeparationModel
from partita.progress import Progress
from partita.separation.chain import build_estimator, joints_before
from partita.separation.estimates import Estimates, StemFiles
from partita.separation.stem_files import write_stems
from partita.separation.stream import MixtureStream, Samples
from partita.separation.windowed import Chain, Estimator, Stage, StageOptions, make_stages
from partita.stem_names import choose_stems
from partita.weights.cards import DEFAULT_MODEL
from partita.weights.identity import model_sources
from partita.weights.plan import Plan, has_ensemble, needed_plan, parse_plan, plan_sources
from partita.weights.store import load_model

_BLOCK_SAMPLES = 1 << 16


class Separator:
    """Takes mixtures apart with one model, or with a chain or an ensemble of them.

    Parameters
    ----------
    model : str, Path, sequence of those, or SeparationModel
        Name of a set of weights, path of a checkpoint or of a training's folder, a chain of those
        (``spleeter-2stems+hpss``), an ensemble (``htdemucs,umxhq``, ``htdemucs:2,umxhq``, or
        a list of its members), or a model in memory.
    stems : sequence of str
        Stem expressions, or one text with commas between them: sources, sums (``drums+bass``) or
        rests (``no_vocals``); all sources by default. Members of bags and ensembles that have a
        part in none of them are neither fetched nor run.
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
        An option out of range, an unknown name; a process that was forked too late, see below.
    WeightsError
        The weights cannot be had.

    Notes
    -----
    A process that is forked once a Separator exists cannot use PyTorch's threads, so that any
    Separator raises UsageError there. ``multiprocessing.get_context("spawn")`` starts processes
    that can; so does forking first and making the Separators in the children. With
    ``torch.set_num_threads(1)`` before the first Separator, on a CPU, forked processes work too.

    Examples
    --------
    >>> separator = Separator("spleeter-2stems", stems=["vocals"])  # doctest: +SKIP
    >>> separator.separate_file("song.mp3").save("stems", format="flac")  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | Sequence[str | Path] | SeparationModel = DEFAULT_MODEL,
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
        self._device = choose_device(device)
        start_threads(self._device)
        sources: tuple[str, ...] | None = None
        options = StageOptions(
            self._device,
            choose_precision(precision),
            segment_s=segment_s,
            overlap=overlap,
            shifts=shifts,
            seed=seed,
            wiener=wiener,
        )
        self._sum_to_mix = sum_to_mix
        self._estimator: Estimator
        self.plan: Plan | None = None
        if isinstance(model, SeparationModel):
            (self._estimator,) = make_stages([model], options)
            self._name = model.registry_name
        else:
            self._name = _name(model)
            self.plan = plan = parse_plan(self._name)
            if has_ensemble(plan) and not sum_to_mix:  # which shares out what all sources leave
                # Chosen first: what is not needed shall not even be fetched.
                sources_of = functools.cache(model_sources)  # files of other programs are read
                sources = plan_sources(plan, sources_of)
                chosen = choose_stems(sources, stems=stems, two_stems=two_stems)
                wanted = {name for members in chosen.values() for name in members}
                plan = needed_plan(plan, wanted, sources_of)
            self._estimator = build_estimator(plan, options, load_model)
        self.sources = self._estimator.sources if sources is None else sources
        self.stems = choose_stems(self.sources, stems=stems, two_stems=two_stems)

    def __repr__(self) -> str:
        name, stems = one_line(self._name), ", ".join(self.stems)
        return f"Separator({name!r}: {stems}; {self.sample_rate} Hz, {self._device})"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All models that are run."""
        return self._estimator.stages

    @property
    def model(self) -> SeparationModel:
        """The model in its form for inference; the first one of several."""
        return self.stages[0].runner.model

    def joints_before(self, stage: Stage) -> tuple[Chain, ...]:
        """Return what takes stems apart before a stage: see `chain.joints_before`."""
        return joints_before(self._estimator, stage)

    @property
    def sample_rate(self) -> int:
        """The model's sample rate in hertz; of several, the first one's."""
        return self._estimator.sample_rate

    @property
    def channels(self) -> int:
        """The model's channel count; of several, the first one's."""
        return self._estimator.channels

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
        blocks = [
            samples[:, start : start + _BLOCK_SAMPLES]
            for start in range(0, samples.shape[1], _BLOCK_SAMPLES)
        ]
        return _in_memory(self._new_stream(sample_rate, samples.shape[0], keep_rate), blocks)

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
            stream = self.mixture_stream(reader, keep_rate=keep_rate, progress=progress)
            return _in_memory(stream, list(reader.blocks()), reader.warnings)

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

        A song's stereo field is a fact of all of it, so the whole song is decoded and measured
        before the first window; songs of one channel have none.

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
        stream = self.mixture_stream(reader, keep_rate=keep_rate, progress=progress)
        return write_stems(stream, reader, paths, form, root=root, track=track, cancel=cancel)

    def mixture_stream(
        self, reader: AudioReader, *, keep_rate: bool = False, progress: Progress | None = None
    ) -> MixtureStream:
        """Return the way of an open file through the models; nothing is read yet.

        Parameters
        ----------
        reader : AudioReader
        keep_rate, progress
            As for `separate_file`.
        """
        return self._new_stream(
            reader.sample_rate, reader.channels, keep_rate, reader.frames, progress
        )

    def _new_stream(
        self,
        rate: int,
        channels: int,
        keep_rate: bool,
        frames: int | None = None,
        progress: Progress | None = None,
    ) -> MixtureStream:
        start_threads(self._device)
        return MixtureStream(
            self._estimator,
            self.stems,
            rate,
            channels,
            keep_rate,
            self._sum_to_mix,
            frames,
            progress,
            meter=NullMeter() if set(self._estimator.sources) == set(self.sources) else None,
        )


def _name(model: str | Path | Sequence[str | Path]) -> str:
    """Return the one name of a model, a chain or an ensemble; lists are ensembles."""
    names = [model] if isinstance(model, str | Path) or not isinstance(model, Sequence) else model
    for name in names:
        if not isinstance(name, str | Path):
            raise UsageError(
                f"model is a name, a path, a list of those, or a model in memory; not "
                f"{type(name).__name__}"
            )
    whole = ",".join(map(str, names))
    if not whole:
        raise UsageError("model is empty: name weights, or leave it out for the default")
    return whole


def _in_memory(
    stream: MixtureStream, blocks: Sequence[Samples], warnings: Sequence[str] = ()
) -> Estimates:
    if stream.needs_measure:
        stream.measure(blocks)
    samples = torch.cat([stems for _, stems in stream.separate(blocks)], dim=-1)
    stems = {name: Audio(samples[i], stream.out_rate) for i, name in enumerate(stream.stems)}
    return Estimates(stems, stream.null_depth_db, tuple(warnings))


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
