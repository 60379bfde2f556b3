"""Mixtures in memory and live audio, separated with any model."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy.typing as npt
import torch
from torch import Tensor, nn

from partita.audio.reader import AudioReader, open_audio
from partita.audio.signal import Audio, as_audio
from partita.devices import choose_device, choose_precision, start_threads
from partita.dsp.levels import NullMeter
from partita.errors import UsageError, one_line
from partita.models._module import as_model
from partita.models._protocol import SeparationModel
from partita.progress import Progress
from partita.separation.chain import Chain, build_estimator, chains_before, check_windows
from partita.separation.estimates import Estimates
from partita.separation.stages import StageCache
from partita.separation.stream import MixtureStream, Samples
from partita.separation.windowed import Estimator, InferenceOptions, WindowedModel
from partita.stem_names import choose_stems
from partita.weights.cards import DEFAULT_MODEL
from partita.weights.exported.load import AUTO, ONNXRUNTIME, check_runtime, load_for
from partita.weights.exported.session import ExportedModel
from partita.weights.external_checkpoints import name_with_config
from partita.weights.plan import ModelPlan
from partita.weights.resolve import resolve

_BLOCK_SAMPLES = 1 << 16
_OUT = "separated"


class MixtureSeparator:
    """The part of `partita.Separator` that works in memory; same parameters."""

    def __init__(
        self,
        model: str | Path | Sequence[str | Path] | ModelPlan | nn.Module = DEFAULT_MODEL,
        *,
        stems: Sequence[str] | str = (),
        two_stems: str | None = None,
        sources: Sequence[str] | None = None,
        sample_rate: int | None = None,
        config: str | Path | None = None,
        commercial_only: bool = False,
        device: str = "auto",
        precision: str = "auto",
        segment_s: float | None = None,
        overlap: float | None = None,
        shifts: int = 0,
        seed: int = 0,
        sum_to_mix: bool = False,
        wiener: int = 0,
        stage_cache: str | Path | StageCache | None = None,
        runtime: str = AUTO,
    ) -> None:
        if isinstance(stems, str):
            stems = stems.split(",")
        self._device = choose_device(device)
        start_threads(self._device)
        windows: dict[str, Any] = {
            "segment_s": segment_s,
            "overlap": overlap,
            "shifts": shifts,
            "seed": seed,
            "wiener": wiener,
        }
        options = InferenceOptions(self._device, choose_precision(precision), **windows)
        self._settings = {**windows, "precision": precision, "sum_to_mix": sum_to_mix}
        self._sum_to_mix = sum_to_mix
        if isinstance(stage_cache, str | Path):
            stage_cache = StageCache(Path(stage_cache))
        self._stages = stage_cache
        self._estimator: Estimator
        self.plan: ModelPlan | None = None
        self.sources: tuple[str, ...] = ()
        check_runtime(runtime)
        if isinstance(model, nn.Module):
            if runtime == ONNXRUNTIME:
                raise UsageError("`runtime` is for names of weights, not for modules in memory")
            model = as_model(model, sources=sources, sample_rate=sample_rate, segment_s=segment_s)
            self._estimator = WindowedModel(model, options)
            check_windows(self._estimator, options)
            self._name = getattr(model, "registry_name", type(model).__name__)
        else:
            if sources is not None or sample_rate is not None:
                raise UsageError("`sources` and `sample_rate` are for modules in memory")
            self.plan = model if isinstance(model, ModelPlan) else _resolved(model, config)
            self._name, part = self.plan.name, self.plan.root
            if commercial_only:
                self.plan.require_commercial_use()
            if part.has_ensemble and not sum_to_mix:  # which shares out what all sources leave
                # Chosen first: what is not needed shall not even be fetched.
                self.sources = self.plan.sources
                chosen = choose_stems(self.sources, stems=stems, two_stems=two_stems)
                part = part.needed({name for members in chosen.values() for name in members})
            load = functools.partial(load_for, runtime)
            self._estimator = build_estimator(part, options, load, stage_cache)
            self._check_precision(options.precision)
        self.sources = self.sources or self._estimator.sources
        self.stems = choose_stems(self.sources, stems=stems, two_stems=two_stems)

    def _check_precision(self, precision: torch.dtype) -> None:
        is_exported = any(isinstance(each.model, ExportedModel) for each in self.models)
        if is_exported and precision != torch.float32:
            raise UsageError("`precision`: exported models are computed in float32")

    def __repr__(self) -> str:
        name, stems = one_line(self._name), ", ".join(self.stems)
        return f"Separator({name!r}: {stems}; {self.sample_rate} Hz, {self._device})"

    @property
    def models(self) -> tuple[WindowedModel, ...]:
        """All models that are run."""
        return self._estimator.models

    @property
    def model(self) -> SeparationModel:
        """The model in its form for inference; the first one of several."""
        return self.models[0].model

    def chains_before(self, model: WindowedModel) -> tuple[Chain, ...]:
        """Return the chains in whose second part a model is: see `chain.chains_before`."""
        return chains_before(self._estimator, model)

    @property
    def sample_rate(self) -> int:
        """The model's sample rate in hertz; of several, the first one's."""
        return self._estimator.sample_rate

    @property
    def channels(self) -> int:
        """The model's channel count; of several, the first one's."""
        return self._estimator.channels

    @overload
    def __call__(
        self,
        mixture: str | Path,
        *,
        start_s: float = ...,
        duration_s: float | None = ...,
        stream: int | None = ...,
        keep_rate: bool = ...,
        progress: Progress | None = ...,
    ) -> Estimates: ...
    @overload
    def __call__(
        self, mixture: Audio, *, keep_rate: bool = ..., progress: Progress | None = ...
    ) -> Estimates: ...
    @overload
    def __call__(
        self,
        mixture: Tensor | npt.NDArray[Any],
        sample_rate: int,
        *,
        keep_rate: bool = ...,
        progress: Progress | None = ...,
    ) -> Estimates: ...
    def __call__(
        self,
        mixture: str | Path | Audio | Tensor | npt.NDArray[Any],
        sample_rate: int | None = None,
        *,
        start_s: float = 0.0,
        duration_s: float | None = None,
        stream: int | None = None,
        keep_rate: bool = False,
        progress: Progress | None = None,
    ) -> Estimates:
        """Separate a mixture and return the stems in memory.

        Parameters
        ----------
        mixture : str, Path, Audio, Tensor or ndarray ``[channels, samples]``
            A file, or samples of 1 to 8 channels, which are never changed.
        sample_rate : int, optional
            In hertz; required for arrays and tensors.
        start_s, duration_s : float
            Excerpt of a file, in seconds.
        stream : int, optional
            Index of a file's sound track; by default the file's default one.
        keep_rate : bool
            Return stems with the mixture's sample rate and channel count instead of the model's.
        progress : callable, optional
            Called after every window, see `partita.progress`.

        Raises
        ------
        UsageError
            The mixture is empty, not two-dimensional, or holds NaN or infinite values; the sample
            rate of an array is missing.
        AudioReadError
            The file cannot be read.

        Examples
        --------
        >>> estimates = separator("song.mp3", start_s=60, duration_s=30)  # doctest: +SKIP
        >>> estimates["vocals"].save("vocals.wav")  # doctest: +SKIP
        """
        if isinstance(mixture, str | Path):
            with open_audio(
                mixture, start_s=start_s, duration_s=duration_s, stream=stream
            ) as reader:
                if sample_rate not in (None, reader.sample_rate):
                    raise UsageError(
                        f"{reader.name} is at {reader.sample_rate} Hz, not {sample_rate}: "
                        "files need no `sample_rate`"
                    )
                through = self.mixture_stream(reader, keep_rate=keep_rate, progress=progress)
                return _in_memory(through, list(reader.blocks()), reader.warnings)
        if start_s or duration_s is not None or stream is not None:
            raise UsageError(
                "`start_s`, `duration_s` and `stream` are for files: cut the array instead"
            )
        audio = as_audio(mixture, sample_rate)
        samples = audio.samples.numpy()
        blocks = [
            samples[:, start : start + _BLOCK_SAMPLES]
            for start in range(0, samples.shape[1], _BLOCK_SAMPLES)
        ]
        through = self._new_stream(
            audio.sample_rate, audio.channels, keep_rate, samples.shape[1], progress
        )
        return _in_memory(through, blocks)

    @property
    def latency_s(self) -> float:
        """The largest delay of the stems of `stream` behind the mixture, in seconds of audio.

        It is the length of the model's window; for a chain, the sum of its windows; infinite for
        models that see whole tracks. It holds for mixtures at `sample_rate`: conversion from
        another rate adds at most 1200 samples at the lower rate, and as many again with
        `keep_rate`. The length of the blocks and the time of computing come on top.
        """
        return self._estimator.latency_s

    def stream(
        self,
        blocks: Iterable[Audio | Tensor | npt.NDArray[Any]],
        sample_rate: int | None = None,
        *,
        keep_rate: bool = False,
    ) -> Iterator[Estimates]:
        """Separate live audio, such as a microphone's, while it arrives.

        Parameters
        ----------
        blocks : iterable of Audio, Tensor or ndarray ``[channels, samples]``
            Blocks of any lengths, of one sample rate and channel count. The iterable waits for the
            next block.
        sample_rate : int, optional
            In hertz; required for arrays and tensors.
        keep_rate : bool
            Return stems with the mixture's sample rate and channel count instead of the model's.

        Returns
        -------
        iterator of Estimates
            Consecutive pieces of the stems, aligned with the mixture and together as long. A piece
            is returned as soon as its window is complete, at most `latency_s` behind the mixture.

        Raises
        ------
        UsageError
            A model sees whole tracks; blocks are invalid, or differ in sample rate or channels.

        Notes
        -----
        The stereo field of a file is measured before separation, to correct silent channels,
        inverted channels and hard-panned instruments. For live audio it is unknown: two channels
        are treated as ordinary stereo, one channel as mono. Mixtures that need the correction are
        separated worse than from a file.

        Examples
        --------
        >>> separator = Separator("four-stems", segment_s=1)  # doctest: +SKIP
        >>> for estimates in separator.stream(microphone, 44100):  # doctest: +SKIP
        ...     play(estimates["vocals"])
        """
        for model in self.models:
            if model.window is None:
                raise UsageError(
                    f"{one_line(self._name)} sees whole tracks: it cannot separate live audio"
                )
        return self._live(_live_blocks(blocks, sample_rate), keep_rate)

    def _live(self, blocks: Iterator[Audio], keep_rate: bool) -> Iterator[Estimates]:
        first = next(blocks, None)
        if first is None:
            return
        stream = self._new_stream(first.sample_rate, first.channels, keep_rate)
        samples = (audio.samples.numpy() for audio in itertools.chain([first], blocks))
        for _, stems in stream.separate(samples, is_live=True):
            parts = {
                name: Audio(stems[index].clone(), stream.out_rate)
                for index, name in enumerate(stream.stems)
            }
            yield Estimates(parts, stream.null_depth_db)

    def mixture_stream(
        self, reader: AudioReader, *, keep_rate: bool = False, progress: Progress | None = None
    ) -> MixtureStream:
        """Return the stream that separates an open file; nothing is read yet.

        Parameters
        ----------
        reader : AudioReader
        keep_rate, progress
            As for `separate`.
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
            is_kept=self._stages is not None,
        )


def _resolved(model: str | Path | Sequence[str | Path], config: str | Path | None) -> ModelPlan:
    """Resolve a name, or a list of an ensemble's members."""
    names = [model] if isinstance(model, str | Path) or not isinstance(model, Sequence) else model
    for name in names:
        if not isinstance(name, str | Path):
            raise UsageError(
                f"`model` is a name, a path, a list of those, or a model in memory; not "
                f"{type(name).__name__}"
            )
    whole = ",".join(map(str, names))
    if not whole:
        raise UsageError("`model` is empty: name weights, or leave it out for the default")
    return resolve(whole if config is None else name_with_config(whole, Path(config)))


def _live_blocks(
    blocks: Iterable[Audio | Tensor | npt.NDArray[Any]], sample_rate: int | None
) -> Iterator[Audio]:
    """Yield blocks as `Audio` of one sample rate and channel count; drop empty ones."""
    form = None
    for block in blocks:
        if tuple(getattr(block, "shape", ()))[1:] == (0,):
            continue
        audio = as_audio(block, sample_rate)
        if form not in (None, (audio.sample_rate, audio.channels)):
            raise UsageError(
                f"blocks of one stream differ: {audio.form}, after {form[1]} channels, {form[0]} Hz"
            )
        form = audio.sample_rate, audio.channels
        yield audio


def _in_memory(
    stream: MixtureStream, blocks: Sequence[Samples], warnings: Sequence[str] = ()
) -> Estimates:
    if stream.needs_measure:
        stream.measure(blocks)
    pieces = [stems for _, stems in stream.separate(blocks)]  # [stems, channels, samples]
    stems = {
        # Each stem has its own memory: keeping or pickling one keeps no other.
        name: Audio(torch.cat([piece[index] for piece in pieces], dim=-1), stream.out_rate)
        for index, name in enumerate(stream.stems)
    }
    return Estimates(stems, stream.null_depth_db, tuple(warnings))
