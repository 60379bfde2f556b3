"""`Separator`: any model, from files to files and in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from partita.audio.formats import stem_format
from partita.errors import AudioReadError, UsageError, one_line
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
    """Separates mixtures with a model, a chain of models or an ensemble.

    Parameters
    ----------
    model : str, Path, sequence of those, ModelPlan, or Module
        Name of weights, path of a checkpoint or of a training's folder, a chain
        (``spleeter-2stems+hpss``), an ensemble (``htdemucs,umxhq``, ``htdemucs:2,umxhq``, or a list
        of its members), name of a registered model without parameters, or a model in memory: a
        `partita.models.SeparationModel`, or any module that maps mixtures
        ``[batch, channels, samples]`` to estimates ``[batch, sources, channels, samples]``.
    stems : sequence of str
        Sources, sums (``drums+bass``) or rests (``no_vocals``), as a list or as text with commas;
        all sources by default. Members of bags and ensembles that contribute to none of them are
        neither fetched nor run.
    two_stems : str, optional
        That stem and ``no_STEM``.
    sources : sequence of str, optional
        For a plain module: the order of its estimates. Default: its attribute ``sources``.
    sample_rate : int, optional
        For a plain module, in hertz. Default: its attribute ``sample_rate``.
    config : str or Path, optional
        YAML file of another program's checkpoint. Default: the one beside it.
    commercial_only : bool
        Refuse weights whose licence does not clearly allow commercial use.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    precision : str
        Number format of the networks: ``auto`` (float32), ``float32``, ``bfloat16`` or ``float16``.
    segment_s : float, optional
        Window length in seconds; by default the model's own.
    overlap : float, optional
        Overlap of the windows as a fraction of their length, 0 to 0.95; by default the model's own.
    shifts : int
        Average the estimates of so many random delays of up to 0.5 s; 0: one pass without delay.
    seed : int
        Seed of the delays.
    sum_to_mix : bool
        Distribute the residual over the estimates, so that they add up to the mixture.
    wiener : int
        Iterations of the Wiener filter `partita.dsp.wiener_refinement`; 0: none.
    stage_cache : str or Path, optional
        A folder that keeps what chains estimate before their last models: chains of other last
        models compute the last ones only. It grows, and may be removed at any time.
    runtime : str
        What computes the networks: ``torch``, ``onnxruntime`` (CPU only), or ``auto``:
        ``onnxruntime`` for exported files, ``torch`` for all others.

    Raises
    ------
    UsageError
        An option is out of range, a name is unknown, or the process was forked too late (Notes).
    WeightsError
        The weights cannot be fetched or read.

    Notes
    -----
    A process forked after the first Separator cannot use PyTorch's threads: Separators raise
    UsageError there. Start processes with ``multiprocessing.get_context("spawn")``, fork before the
    first Separator, or call ``torch.set_num_threads(1)`` before it (CPU only).

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
            Path of each stem below `out`; fields ``{model} {track} {stem} {ext}``.
        format : str
            ``wav``, ``flac``, ``mp3``, ``ogg``, ``opus``, ``m4a`` or ``stem.mp4``.
        bits, bitrate : str or int, optional
            As for `partita.audio.formats.stem_format`.
        start_s, duration_s : float
            The excerpt in seconds.
        stream : int, optional
            Index of the file's sound track; by default the file's default one.
        keep_rate : bool
            Write stems with the song's sample rate and channel count instead of the model's.
        resume : bool
            Keep stems that exist if this song, model and options made them.
        overwrite : bool
            Replace stems that exist. Without `resume` and `overwrite`, they are an error.
        progress : callable, optional
            Called after every window, see `partita.progress`.

        Returns
        -------
        Outcome
            ``paths`` of the stems by name; ``files`` with sample rate, gain and null depth.

        Raises
        ------
        UsageError
            Options are invalid, or `path` is a folder or matches several files.
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
            raise UsageError(f"{one_line(path)} is not a single file: use separate_many")
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
        if outcome.status == "failed":
            raise outcome.exception or AudioReadError(outcome.error)
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
            Files, folders (searched recursively), patterns (``album/*.flac``).
        out, filename, format, bits, bitrate, start_s, duration_s, stream, keep_rate
            As for `separate`.
        resume, overwrite
            As for `separate`.
        jobs : int
            Songs at once.
        progress : callable, optional
            Called with the seconds of all songs that are done; the total is None.

        Returns
        -------
        iterator of Outcome
            One for each song, in order, with ``status`` ``done``, ``skipped`` or ``failed``. A
            failed song does not stop the others. Songs are separated while the iterator is read.

        Raises
        ------
        PartitaError
            An error that concerns all songs: invalid options, weights that cannot be fetched.

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
    """Return a function that makes each song's progress function; they report the sum."""
    done, lock = dict[int, float](), threading.Lock()

    def of_song(_song: Song, number: int, _count: int) -> Progress:
        def update(done_s: float, _total_s: float | None) -> None:
            with lock:
                done[number] = done_s
                progress(sum(done.values()), None)

        return update

    return of_song
