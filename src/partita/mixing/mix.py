"""Mixing the stems of a song into files."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from partita.audio.audio_reader import BLOCK_SAMPLES
from partita.audio.formats import STEM_MP4, StemFormat
from partita.audio.loudness import LoudnessMeter
from partita.audio.publish import publish
from partita.audio.stem_mp4 import check_stem_count
from partita.audio.stem_writer import StemWriter
from partita.audio.tags import Tags
from partita.audio.work_folder import work_folder
from partita.dsp.levels import power_ratio_db
from partita.errors import UsageError, one_line, write_error
from partita.files import sync_file
from partita.mixing.balance import Balance
from partita.mixing.click import ClickTrack
from partita.mixing.output import Target, check_free, find_target, zip_stream
from partita.mixing.recipe import MIX, Recipe, load_recipe
from partita.mixing.song import StemBlocks, StemSong, find_song
from partita.mixing.speed_pitch import SpeedPitch, require_stretch
from partita.mixing.tempo_key import TempoKey
from partita.mixing.tempo_key_meter import TempoKeyMeter, require_tempo_library
from partita.progress import Progress, added_up

Samples = npt.NDArray[np.float32]

_OUT = "mixed"
_CLOSE_LU = 0.05  # to a wanted loudness
_BPM = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True, repr=False)
class MixFiles:
    """The files of a mix.

    Attributes
    ----------
    paths : mapping of str to Path
        Track → file; in a zip archive all tracks have its path.
    names : mapping of str to str
        Track → file name, in an archive the name inside it.
    form : StemFormat
    sample_rate, channels : int
        Of the files.
    duration_s : float
    gain_db : float
        Of all files: against clipping, or for the loudness that was asked for.
    loudness_lufs, true_peak_db : float or None
        Of the mix, with that gain; measured where a loudness was asked for.
    elapsed_s : float
    warnings : tuple of str
    tempo_bpm : float or None
        Of the click, at the mix's speed, where there is one.
    """

    paths: Mapping[str, Path]
    names: Mapping[str, str]
    form: StemFormat
    sample_rate: int
    channels: int
    duration_s: float
    gain_db: float
    loudness_lufs: float | None
    true_peak_db: float | None
    elapsed_s: float
    warnings: tuple[str, ...] = ()
    tempo_bpm: float | None = None

    def __repr__(self) -> str:
        return f"MixFiles({', '.join(self.paths)}: {self.duration_s:.3f} s, {self.form.name})"


def mix(
    song: str | Path,
    out: str | Path = _OUT,
    recipe: Recipe | str | None = None,
    *,
    format: str | None = None,
    bits: str | int | None = None,
    bitrate: str | int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    **settings: Any,
) -> MixFiles:
    """Mix the stems of a song into one or several files, as ``partita mix`` does.

    Memory does not grow with the length of the song. Files have the song's length and position to
    the sample, ``round(samples / speed)`` at another speed. All files get one gain, and that only
    if one of them would clip; ``bits="float"`` needs none. They appear complete or not at all.

    Parameters
    ----------
    song : str or Path
        Folder of stems as ``partita separate`` writes it, or a ``.stem.mp4``.
    out : str or Path
        A file (its suffix is the format), a ``.zip``, or a folder. A ``.stem.mp4`` holds the mix
        and its stems, each as it sounds in the mix.
    recipe : Recipe or str, optional
        ``karaoke``, ``practice-bass``, ``dj-pack``, a file, …: see
        `partita.mixing.recipe.load_recipe`. By default, all stems as they are.
    format, bits, bitrate : optional
        See `partita.mixing.output.find_target`.
    overwrite : bool
        Replace files that exist; otherwise they are an error.
    progress : callable, optional
        See `partita.progress`.
    cancel : Event, optional
        Stops with InterruptedError when set; no files are left.
    **settings
        More settings of the recipe: ``gain={"drums": -12}``, ``speed=0.8``, …: see
        `partita.mixing.recipe.Recipe`.

    Returns
    -------
    MixFiles

    Raises
    ------
    UsageError
        Settings are invalid, or name stems that the song does not have; the library of `speed`,
        `pitch` or `click` is not installed.
    AudioReadError, AudioWriteError
        Stems cannot be read, or belong to different songs; files cannot be written.

    Examples
    --------
    >>> partita.mix("separated/four-stems/song", "slow.mp3", "karaoke", speed=0.8)  # doctest: +SKIP
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe() if recipe is None else load_recipe(recipe)
    recipe = recipe.changed(**settings)
    if settings.get("click") or settings.get("click_db") is not None:
        require_tempo_library()
    target = find_target(out, format, bits, bitrate)
    return mix_song(
        find_song(song), target, recipe, overwrite=overwrite, progress=progress, cancel=cancel
    )


def mix_song(
    song: StemSong,
    target: Target,
    recipe: Recipe,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    tempo: TempoKey | None = None,
) -> MixFiles:
    """Mix a song that was found; see `mix`.

    Where there is to be a click, its beats are those of `tempo`, or are estimated from the stems. A
    recipe whose click cannot be made is made without, with a warning.
    """
    started = time.perf_counter()
    recipe, click, why = _with_beats(song, recipe, tempo)
    tracks = recipe.balance(list(song.stems))
    stems = list(tracks[MIX])
    heard = [stem for stem in stems if tracks[MIX][stem]]
    if target.form.holds_all_stems:
        tracks = {MIX: tracks[MIX], **_stems_of(tracks[MIX], heard, list(tracks), recipe)}
    if recipe.changes_sound:
        require_stretch()
    written = list(tracks) if recipe.mix and not target.form.holds_all_stems else list(tracks)[1:]
    files = target.files(song.name, recipe.name, written)
    with StemBlocks(song) as reader, ExitStack() as stack:
        balance = Balance(list(tracks.values()), stems, reader.channels, recipe.pans([*song.stems]))
        archive = [target.path] if target.kind == "zip" else []
        check_free(archive or list(files.values()), song.paths, overwrite=overwrite)
        root = target.path if target.kind == "folder" else target.path.parent
        inside = {}
        if archive:
            try:
                folder = stack.enter_context(work_folder(root))
            except OSError as error:
                raise write_error(root, error) from error
            inside = {path.as_posix(): folder / path for path in files.values()}
            root = folder
        tags = _tags(song, recipe, written, one_file=target.form.holds_all_stems)
        writer = stack.enter_context(
            StemWriter(
                {track: root / path if archive else path for track, path in files.items()},
                target.form,
                sample_rate=reader.sample_rate,
                channels=balance.channels,
                tags=tags,
                root=root,
                cancel=cancel,
            )
        )
        signals = _signals(_blocks(reader, click), reader, balance, recipe, len(tracks), progress)
        meter = _write(signals, writer, recipe, reader.sample_rate, len(written), cancel)
        warnings = [*reader.warnings, *_level(writer, recipe, meter), *song.notes, *why]
        writer.finish()
        if archive:
            _write_archive(inside, target.path, folder)
    gain_db = writer.gain_db
    return MixFiles(
        paths=dict.fromkeys(files, target.path) if archive else files,
        names={track: path.as_posix() if archive else path.name for track, path in files.items()},
        form=target.form,
        sample_rate=writer.file_rate,
        channels=writer.file_channels,
        duration_s=writer.frames / reader.sample_rate,
        gain_db=gain_db,
        loudness_lufs=None if meter is None else meter.loudness_lufs + gain_db,
        true_peak_db=None if meter is None else power_ratio_db(meter.true_peak**2, 1.0) + gain_db,
        elapsed_s=time.perf_counter() - started,
        warnings=tuple(warnings),
        tempo_bpm=_tempo(click, recipe),
    )


def _with_beats(
    song: StemSong, recipe: Recipe, tempo: TempoKey | None
) -> tuple[Recipe, TempoKey | None, list[str]]:
    """Return the recipe, the beats of its click, and why it goes without one.

    Raises
    ------
    UsageError
        The recipe does not fit the song, or consists of the click that there is not.
    """
    recipe.balance([*song.stems])  # said before beats are sought
    if not recipe.needs_beats:
        return recipe, None, []
    why = "no beats were found"
    if tempo is None:
        try:
            tempo = _estimate(song)
        except UsageError as error:
            why = str(error)
    if tempo is not None and tempo.beats_s:
        return recipe, tempo if recipe.bpm is None else tempo.near(recipe.bpm), []
    if not (recipe.mix or len(recipe.balance([*song.stems])) > 2):
        raise UsageError(f"there is nothing to write but a click, and {why}")
    return replace(recipe, click=False, click_db=None), None, [f"without a click: {why}"]


def _tempo(click: TempoKey | None, recipe: Recipe) -> float | None:
    if click is None or click.tempo_bpm is None:
        return None
    return click.tempo_bpm * recipe.speed


def _estimate(song: StemSong) -> TempoKey | None:
    with StemBlocks(song) as reader:
        meter = TempoKeyMeter([*song.stems], reader.sample_rate)
        for block in reader.blocks():
            meter.add(block)
    return meter.finish()


def _stems_of(
    factors: Mapping[str, float], heard: Sequence[str], tracks: Sequence[str], recipe: Recipe
) -> dict[str, dict[str, float]]:
    """Return the tracks of a ``.stem.mp4``: each stem as it sounds in the mix."""
    if recipe.tracks or recipe.practice or recipe.needs_beats:
        others = ", ".join(map(one_line, tracks[1:])) or "a click"
        raise UsageError(
            f".{STEM_MP4} holds the mix and its stems, not {others}: choose another `format`"
        )
    try:
        check_stem_count(len(heard))
    except UsageError:
        raise UsageError(
            f".{STEM_MP4} holds four stems, not {len(heard)}: leave out some with `mute`"
        ) from None
    return {stem: {each: factors[each] * (each == stem) for each in factors} for stem in heard}


def _tags(
    song: StemSong, recipe: Recipe, tracks: Sequence[str], *, one_file: bool
) -> dict[str, Tags]:
    tags = song.tags()
    text = dict(tags.text)
    if recipe.speed != 1.0 and (bpm := text.pop("bpm", "")) and _BPM.fullmatch(bpm):
        text["bpm"] = f"{float(bpm) * recipe.speed:.10g}"
    if recipe.pitch != 0.0:
        text.pop("key", None)
    tags = replace(tags, text=text)
    names = {
        track: recipe.name if one_file or track == MIX else track.replace("_", " ")
        for track in tracks
    }
    return {track: tags.for_stem(name, song.name) for track, name in names.items()}


def _blocks(reader: StemBlocks, click: TempoKey | None) -> Iterator[Samples]:
    """Yield the blocks of all stems, and of the click behind them."""
    if click is None:
        yield from reader.blocks()
        return
    track, done = ClickTrack(click, reader.sample_rate), 0
    for block in reader.blocks():
        length = block.shape[-1]
        more = np.broadcast_to(track.block(done, length), (1, reader.channels, length))
        yield np.concatenate([block, more])
        done += length


def _signals(
    blocks: Iterator[Samples],
    reader: StemBlocks,
    balance: Balance,
    recipe: Recipe,
    tracks: int,
    progress: Progress | None,
) -> Iterator[Samples]:
    """Yield ``[tracks, channels, samples]``, at the recipe's speed and pitch."""
    rate, rows = reader.sample_rate, tracks * balance.channels
    shape = (tracks, balance.channels, -1)
    advance = added_up(progress, reader.duration_s or 0.0)
    change = None
    if recipe.changes_sound:
        change = SpeedPitch(rate, rows, speed=recipe.speed, semitones=recipe.pitch)
    for block in blocks:
        mixed = balance(block)
        for done in _short(mixed if change is None else change.push(mixed)):
            yield done.reshape(shape)
        advance(block.shape[-1] / rate)
    if change is not None:
        for done in _short(change.push(np.zeros((rows, 0), np.float32), last=True)):
            yield done.reshape(shape)


def _short(block: Samples) -> Iterator[Samples]:
    """Cut the minutes that a change of speed completes at once."""
    for start in range(0, block.shape[1], BLOCK_SAMPLES):
        yield block[:, start : start + BLOCK_SAMPLES]


def _write(
    signals: Iterator[Samples],
    writer: StemWriter,
    recipe: Recipe,
    sample_rate: int,
    tracks: int,
    cancel: threading.Event | None,
) -> LoudnessMeter | None:
    """Write all blocks; return the meter of the mix, None where no loudness is wanted."""
    meter = None
    for block in signals:
        if cancel is not None and cancel.is_set():
            raise InterruptedError
        if recipe.loudness is not None:
            meter = meter or LoudnessMeter(sample_rate, block.shape[1])
            meter.push(block[0])
        writer.write(block[0], block[-tracks:])
    if meter is not None:
        meter.push(np.zeros((block.shape[1], 0), np.float32), last=True)
    return meter


def _level(writer: StemWriter, recipe: Recipe, meter: LoudnessMeter | None) -> list[str]:
    """Ask for the gain that the wanted loudness needs; return what stands against it."""
    if meter is None or recipe.loudness is None:
        return []
    if math.isinf(meter.loudness_lufs):
        return ["too soft or too short for a loudness: the level stays"]
    writer.wanted_gain_db = recipe.loudness - meter.loudness_lufs
    reached = meter.loudness_lufs + writer.gain_db
    if recipe.loudness - reached > _CLOSE_LU:
        return [
            f"{reached:.1f} LUFS instead of {recipe.loudness:g}: more would clip; "
            '`bits="float"` does not'
        ]
    return []


def _write_archive(files: Mapping[str, Path], out: Path, folder: Path) -> None:
    """Put finished files into a zip archive, which appears complete or not at all."""
    partial = folder / "archive.zip"
    try:
        with partial.open("wb") as archive:
            for chunk in zip_stream(files):
                archive.write(chunk)
        sync_file(partial)
        publish({partial: out})
    except OSError as error:
        raise write_error(out, error) from error
