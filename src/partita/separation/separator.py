"""The Separator: from any audio to stems, for any model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from partita.audio.formats import stem_format
from partita.errors import UsageError, one_line
from partita.progress import Progress
from partita.separation.batch import (
    DEFAULT_TEMPLATE,
    BatchOptions,
    Outcome,
    OutputPlan,
    Song,
    find_songs,
    recorded_settings,
    separate_songs,
)
from partita.separation.mixture_separator import MixtureSeparator
from partita.weights.checkpoint import tensors_digest

_OUT = "separated"


class Separator(MixtureSeparator):
    """Takes mixtures apart with one model, or with a chain or an ensemble of them.

    Parameters
    ----------
    model : str, Path, sequence of those, ModelPlan, or Module
        Name of a set of weights, path of a checkpoint or of a training's folder, a chain of those
        (``spleeter-2stems+hpss``), an ensemble (``htdemucs,umxhq``, ``htdemucs:2,umxhq``, or
        a list of its members), the name of a registered model that learns nothing, or a model in
        memory: a `partita.models.SeparationModel`, or any module that maps mixtures
        ``[batch, channels, samples]`` to ``[batch, sources, channels, samples]``.
    stems : sequence of str
        Stem expressions, or one text with commas between them: sources, sums (``drums+bass``) or
        rests (``no_vocals``); all sources by default. Members of bags and ensembles that have a
        part in none of them are neither fetched nor run.
    two_stems : str, optional
        A stem expression: that stem and ``no_STEM``.
    sources : sequence of str, optional
        Of a plain module: the order of its estimates. By default its attribute ``sources``.
    sample_rate : int, optional
        Of a plain module, in hertz. By default its attribute ``sample_rate``.
    config : str or Path, optional
        The YAML file of another program's checkpoint. By default the one beside it.
    commercial_only : bool
        Refuse weights whose licence does not clearly allow commercial use.
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
        Refine the estimates by so many iterations of `partita.dsp.wiener_refinement`; 0: do not.

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
    >>> separator.separate("song.mp3", "stems", format="flac")  # doctest: +SKIP
    """

    def separate(
        self,
        path: str | Path,
        out: str | Path = _OUT,
        *,
        filename: str = DEFAULT_TEMPLATE,
        format: str = "wav",
        bits: str | int | None = None,
        bitrate: str | int | None = None,
        start_s: float = 0.0,
        duration_s: float | None = None,
        stream: int | None = None,
        keep_rate: bool = False,
        resume: bool = False,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Outcome:
        """Separate a file into files, as ``partita separate`` does.

        Memory does not grow with the length of the song.

        Parameters
        ----------
        path : str or Path
            Any audio or video file; ``"-"`` is standard input.
        out : str or Path
            The output folder.
        filename : str
            Where each stem goes below it; fields ``{model} {track} {stem} {ext}``.
        format : str
            ``wav``, ``flac``, ``mp3``, ``ogg``, ``opus``, ``m4a`` or ``stem.mp4``.
        bits, bitrate : str or int, optional
            As for `partita.audio.formats.stem_format`.
        start_s, duration_s : float
            The excerpt in seconds.
        stream : int, optional
            Which sound track of the file.
        keep_rate : bool
            Write stems in the song's own sample rate and channel count.
        resume : bool
            Do nothing where the stems are all there, made of this song in this way.
        overwrite : bool
            Replace stems that are there; without either, they are an error.
        progress : callable, optional
            Called after every window, see `partita.progress`.

        Returns
        -------
        Outcome
            ``paths`` of the stems by name; ``files``: rate, gain and null depth.

        Raises
        ------
        UsageError
            Options that do not fit, or a folder or a pattern in the place of a file.
        AudioReadError, AudioWriteError
            The song cannot be read, or the stems cannot be written.

        Examples
        --------
        >>> result = separator.separate("song.mp3", "stems", format="flac")  # doctest: +SKIP
        >>> result.paths["vocals"]  # doctest: +SKIP
        PosixPath('stems/four-stems/song/vocals.flac')
        """
        songs = list(find_songs([str(path)], outputs=[]))
        if len(songs) != 1 or Path(path).is_dir():
            raise UsageError(f"{one_line(path)} is more than a file: separate_many takes those")
        plan = self._output_plan(out, filename, format, bits, bitrate)
        options = self._batch_options(
            start_s=start_s,
            duration_s=duration_s,
            stream=stream,
            keep_rate=keep_rate,
            resume=resume,
            overwrite=overwrite,
        )
        reports = None if progress is None else lambda *_: progress
        (outcome,) = separate_songs(songs, plan, lambda: self, options, progress=reports)
        if outcome.exception is not None:
            raise outcome.exception
        return outcome

    def separate_many(
        self,
        inputs: Iterable[str | Path],
        out: str | Path = _OUT,
        *,
        filename: str = DEFAULT_TEMPLATE,
        format: str = "wav",
        bits: str | int | None = None,
        bitrate: str | int | None = None,
        start_s: float = 0.0,
        duration_s: float | None = None,
        stream: int | None = None,
        keep_rate: bool = False,
        resume: bool = False,
        overwrite: bool = False,
        jobs: int = 1,
        progress: Progress | None = None,
    ) -> Iterator[Outcome]:
        """Separate many files into files, as ``partita separate`` does.

        Parameters
        ----------
        inputs : iterable of str or Path
            Files, folders (searched through), patterns (``album/*.flac``).
        out, filename, format, bits, bitrate, start_s, duration_s, stream, keep_rate
            As for `separate`.
        resume, overwrite
            As for `separate`, for each song.
        jobs : int
            Songs at once.
        progress : callable, optional
            Called with the seconds of all songs so far; how many there will be is not known.

        Returns
        -------
        iterator of Outcome
            For each song, in order; its ``status`` is ``done``, ``skipped`` or ``failed``, and one
            that failed stops no other. A song is separated when the iterator gets to it.

        Raises
        ------
        PartitaError
            What no song would survive: options that do not fit, weights that cannot be had.

        Examples
        --------
        >>> for result in separator.separate_many(["album"], "stems", jobs=2):  # doctest: +SKIP
        ...     print(result.name, result.status, result.error)
        """
        plan = self._output_plan(out, filename, format, bits, bitrate)
        options = self._batch_options(
            start_s=start_s,
            duration_s=duration_s,
            stream=stream,
            keep_rate=keep_rate,
            resume=resume,
            overwrite=overwrite,
            jobs=jobs,
        )
        names = [inputs] if isinstance(inputs, str | Path) else inputs
        songs = find_songs(map(str, names), outputs=[plan.root, plan.root / plan.model_name])
        reports = None if progress is None else _total_progress(progress)
        return separate_songs(songs, plan, lambda: self, options, progress=reports)

    def _output_plan(
        self,
        out: str | Path,
        filename: str,
        format: str,
        bits: str | int | None,
        bitrate: str | int | None,
    ) -> OutputPlan:
        form = stem_format(format, bits, bitrate)
        label = self._name if self.plan is None else self.plan.label
        return OutputPlan(Path(out), filename, form, label, list(self.stems))

    def _batch_options(self, **options: Any) -> BatchOptions:
        plan, settings = self.plan, recorded_settings(self._settings)
        digest = tensors_digest(self.model.state_dict()) if plan is None else plan.digest
        return BatchOptions(self._name, digest, settings, **options)


def _total_progress(progress: Progress) -> Callable[[Song, int, int], Progress]:
    """Return what makes the progress functions of songs that run side by side."""
    done, lock = dict[int, float](), threading.Lock()

    def of_song(_song: Song, number: int, _count: int) -> Progress:
        def update(done_s: float, _total_s: float | None) -> None:
            with lock:
                done[number] = done_s
                progress(sum(done.values()), None)

        return update

    return of_song
