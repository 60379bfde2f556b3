"""Whether stems are what their record says: they decode, have their length, and add up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from partita.audio.conversion import convert_blocks
from partita.audio.formats import StemFormat, stem_format
from partita.audio.reader import AudioReader, open_audio, rechunk
from partita.catalogue.files import Files, files_of
from partita.catalogue.records import Outcome, PlannedSong, RunSettings, SongRecord, StemRecord
from partita.catalogue.store import Manifest, batched
from partita.errors import AudioReadError, PartitaError, one_line
from partita.weights.download import file_sha256

#: Lossy codecs may add or remove as much, in seconds.
_TOLERANCE_S = 0.1
#: A sum may be so much worse than what was measured while separating, in dB.
_WORSE_DB = 1.0
#: What lossy codecs leave of a sum, in dB: a stem that is not there is louder.
_LOSSY_DB = -6.0
_BLOCK_SAMPLES = 1 << 16
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Verdict:
    """What verifying found.

    Attributes
    ----------
    record : SongRecord
    shard : int
        Where the song stands in the plan.
    fault : str
        What is wrong with the stems, one line; empty: nothing.
    note : str
        Why it is not known whether they add up; empty: it is, or nothing should.
    """

    record: SongRecord
    shard: int
    fault: str = ""
    note: str = ""


@dataclass(frozen=True)
class Decoded:
    """What a stem decodes to.

    Attributes
    ----------
    samples : int
        In each channel.
    sample_rate, channels : int
    """

    samples: int
    sample_rate: int
    channels: int


def decode(path: Path, stream: int, form: StemFormat, samples: int = 0) -> Decoded:
    """Decode a stem to its end.

    Parameters
    ----------
    path : Path
    stream : int
        Its number in a file of all stems, else 0.
    form : StemFormat
    samples : int
        How many there should be in each channel; 0: unknown.

    Raises
    ------
    AudioReadError
        It does not decode, or has another length.
    """
    with open_audio(path, stream=stream or None) as reader:
        found = sum(block.shape[1] for block in reader.blocks())
        tolerance = 0 if form.is_lossless else round(_TOLERANCE_S * reader.sample_rate)
        if reader.warnings:
            raise AudioReadError(f"{one_line(path.name)} is damaged: {reader.warnings[0]}")
        if samples and abs(found - samples) > tolerance:
            raise AudioReadError(f"{one_line(path.name)} has {found} samples instead of {samples}")
        return Decoded(found, reader.sample_rate, reader.channels)


def stem_record(path: Path, address: str, stream: int, samples: int) -> StemRecord:
    """Return the record of a stem that decodes to so many samples.

    Parameters
    ----------
    path : Path
        Where it is now.
    address : str
        Where it is, or will be.
    stream, samples : int
    """
    return StemRecord(address, path.stat().st_size, file_sha256(path), samples, stream)


def verify(manifest: Manifest, *, jobs: int = 1, sums: bool = True) -> Iterator[Verdict]:
    """Verify the stems of all songs that are done; memory holds a few of them.

    Parameters
    ----------
    manifest : Manifest
    jobs : int
        Songs at once.
    sums : bool
        Read the songs too, and compare them with the sums of their stems.
    """
    settings = manifest.settings()
    if settings is None:
        return
    form = stem_format(settings.format, settings.bits, settings.bitrate)
    with ThreadPoolExecutor(jobs) as pool:
        for number in range(manifest.header().shards):
            songs = {song.id: song for song in manifest.shard(number)}
            wanted: tuple[Outcome, ...] = ("done",)
            for some in batched(manifest.records(wanted, shards=(number,)), 2 * jobs):
                yield from pool.map(
                    lambda record: verdict(record, songs[record.id], form, settings, sums=sums),  # noqa: B023
                    some,
                )


def verdict(
    record: SongRecord,
    song: PlannedSong,
    form: StemFormat,
    settings: RunSettings,
    *,
    sums: bool,
) -> Verdict:
    """Verify the stems of one song."""
    files = files_of(settings.destination)
    with ExitStack() as opened:
        paths = {}
        for stem, known in record.stems.items():
            name = known.address.replace("\\", "/").rsplit("/", 1)[-1]
            try:
                paths[stem] = opened.enter_context(files.open_source(known.address))
                decode(paths[stem], known.stream, form, known.samples)
                found = paths[stem].stat().st_size, file_sha256(paths[stem])
            except FileNotFoundError:
                return Verdict(record, song.shard, f"{one_line(name)} is missing")
            except (OSError, PartitaError) as error:
                return Verdict(record, song.shard, f"{one_line(name)}: {_reason(error)}")
            if found != (known.size, known.sha256):
                return Verdict(record, song.shard, f"{one_line(name)} was changed")
        if not sums or record.null_depth_db is None:
            return Verdict(record, song.shard)
        return _sum_verdict(record, song, form, paths)


def _sum_verdict(
    record: SongRecord, song: PlannedSong, form: StemFormat, paths: dict[str, Path]
) -> Verdict:
    source_files: Files = files_of(song.address)
    assert record.null_depth_db is not None
    try:
        found = source_files.find(song.address)
        if song.version and found.version != song.version:
            return Verdict(record, song.shard, note="the song was changed since it was planned")
        with source_files.open_source(song.address) as source, ExitStack() as opened:
            mixture = opened.enter_context(open_audio(source))
            stems = [
                opened.enter_context(open_audio(path, stream=record.stems[stem].stream or None))
                for stem, path in paths.items()
            ]
            residual, energy = _energies(mixture, stems, 10 ** (-record.gain_db / 20))
    except (OSError, PartitaError) as error:
        return Verdict(record, song.shard, note=f"the song cannot be read: {_reason(error)}")
    allowed = max(record.null_depth_db + _WORSE_DB, _floor_db(form, energy, len(stems), record))
    depth_db = 10 * math.log10(max(residual, 1e-30) / max(energy, 1e-30))
    if energy and depth_db > allowed:
        return Verdict(
            record,
            song.shard,
            f"the stems do not add up: null depth {depth_db:.1f} dB, "
            f"{record.null_depth_db:.1f} dB when they were made",
        )
    return Verdict(record, song.shard)


def _energies(mixture: AudioReader, stems: list[AudioReader], gain: float) -> tuple[float, float]:
    """Return the mean power of mixture minus stems, and of the mixture."""
    rate = stems[0].sample_rate
    streams = [
        rechunk(convert_blocks(mixture.blocks(), mixture.sample_rate, rate, stems[0].channels),
                _BLOCK_SAMPLES),
        *(rechunk(stem.blocks(), _BLOCK_SAMPLES) for stem in stems),
    ]  # fmt: skip
    residual = energy = 0.0
    count = 0
    for blocks in zip(*streams, strict=False):
        length = min(block.shape[1] for block in blocks)
        first = blocks[0][:, :length].astype(np.float64)
        rest = first - gain * np.sum([block[:, :length] for block in blocks[1:]], 0, np.float64)
        residual += float(np.square(rest).sum())
        energy += float(np.square(first).sum())
        count += first.size
    return residual / max(count, 1), energy / max(count, 1)


def _floor_db(form: StemFormat, power: float, stems: int, record: SongRecord) -> float:
    """Return the null depth that the format of the files allows, in dB."""
    if not form.is_lossless:
        return _LOSSY_DB
    bits = {"16": 16, "24": 24, "float": 24}[form.bits]
    step = 2.0 ** (1 - bits) * 10 ** (-record.gain_db / 20)
    noise = stems * step**2  # rounding and dither of each stem
    return 10 * math.log10(noise / max(power, 1e-30)) + 3.0


def _reason(error: Exception) -> str:
    return one_line(getattr(error, "strerror", None) or error)
