"""What one song of a catalogue costs, measured with the real parts: for catalogue_simulation.py."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests"), str(ROOT / "examples")]

RATE = 44100
SHARD = 1000  # songs of one file of the plan
MEDIAN_S = 225.0  # of the lengths of songs: 3:45
LENGTHS = (20.0, 60.0)  # of the songs that are separated
DRIVEN = 400  # songs that are handed out to measure the driver


@dataclass(frozen=True)
class Measured:
    """What was measured; times are of one core of this machine.

    Attributes
    ----------
    model : str
    song_s, song_ratio : float
        Separating a song takes this many seconds, and this many a second of audio.
    rest_s, rest_ratio : float
        The same for fetching, verifying and recording it.
    bytes_in, bytes_out : float
        For a second of audio: FLAC in, FLAC stems out.
    stems : int
        Of a song.
    reads, writes : float
        Requests for a short song, with stems of one part: GET and HEAD; PUT and POST.
    plan_s : float
        Planning a song of a listing, without reading it.
    fingerprint_s, fingerprint_reads : float
        Reading its first minute for the plan.
    plan_bytes, record_bytes : float
        Of a song in the manifest.
    dispatch_s : float
        What a song costs the driver.
    survey_s : float
        Looking at the state of 1000 songs, without the store's time.
    """

    model: str
    song_s: float
    song_ratio: float
    rest_s: float
    rest_ratio: float
    bytes_in: float
    bytes_out: float
    stems: int
    reads: float
    writes: float
    plan_s: float
    fingerprint_s: float
    fingerprint_reads: float
    plan_bytes: float
    record_bytes: float
    dispatch_s: float
    survey_s: float


def measure(model: str) -> Measured:
    """Measure what one song costs here."""
    with tempfile.TemporaryDirectory() as folder:
        songs = measure_songs(model, Path(folder))
        return Measured(
            model=model,
            **songs,
            **measure_plan(),
            **measure_manifest(Path(folder)),
            dispatch_s=measure_driver(Path(folder)),
        )


def measure_songs(model: str, folder: Path) -> dict[str, float]:
    """Separate a short and a longer song: from a store to it, and on this machine."""
    from example_song import mixture, render
    from partita.catalogue.transport.filesystems import file_system
    from store_servers import KEY, SECRET, start_s3

    server, stop = start_s3()
    os.environ.update(
        AWS_ACCESS_KEY_ID=KEY,
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ENDPOINT_URL=server.endpoint,
    )
    store = file_system("s3://music")
    store.mkdir("music")
    bar = mixture(render(4.0))
    lengths = LENGTHS
    for length_s in lengths:
        file = io.BytesIO()
        soundfile.write(file, np.tile(bar, math.ceil(length_s / 4)).T, RATE, format="FLAC")
        store.pipe_file(f"music/songs/{length_s:.0f}.flac", file.getvalue())
        (folder / f"{length_s:.0f}.flac").write_bytes(file.getvalue())
    worker, attempts, _ = planned_songs(model, "s3://music/songs/", "s3://music")
    heard = [path for _, path in server.requests if path.startswith("/music/songs/")]
    server.requests.clear()
    records = [worker.process(attempt) for attempt in attempts]
    reads = [method in ("GET", "HEAD") for method, _ in server.requests]
    store.rm("music", recursive=True)  # what the server holds outlives it in this process
    stop()
    made = sum(stem.size for stem in records[1].stems.values())
    worker, attempts, fingerprint_s = planned_songs(model, str(folder), str(folder / "made"))
    worker.process(dataclasses.replace(attempts[0], number=9))  # warm
    separating, rest = zip(*(timed(worker, attempt) for attempt in attempts), strict=True)
    return {
        **line("song", lengths, separating),
        **line("rest", lengths, rest),
        "bytes_in": (folder / f"{lengths[1]:.0f}.flac").stat().st_size / lengths[1],
        "bytes_out": made / lengths[1],
        "stems": len(records[1].stems),
        "reads": sum(reads) / len(lengths),
        "writes": (len(reads) - sum(reads)) / len(lengths),
        "fingerprint_s": fingerprint_s,
        "fingerprint_reads": (len(heard) - len(lengths)) / len(lengths),  # but for the upload
    }


def planned_songs(model: str, source: str, folder: str):
    """Plan songs; return a worker, the attempts, the shortest first, and the time for each."""
    from partita.catalogue.planning import plan
    from partita.catalogue.running import run_settings
    from partita.catalogue.store import Manifest
    from partita.catalogue.worker import CatalogueWork
    from partita.weights.resolve import resolve

    manifest = Manifest(f"{folder}/manifest")
    begun = time.process_time()
    plan([source], manifest, depth="sound")
    elapsed_s = time.process_time() - begun
    settings = run_settings(f"{folder}/stems", resolve(model), format="flac")
    worker = CatalogueWork(manifest.address, manifest.begin(settings), device="cpu").open()
    attempts = sorted(manifest.left(), key=lambda attempt: attempt.song.duration_s or 0.0)
    return worker, attempts, elapsed_s / len(attempts)


def timed(worker, attempt) -> tuple[float, float]:
    """Process a song; return the processor time of separating it, and of the rest."""
    for stem in Path(worker._settings.destination).rglob("*.flac"):
        stem.unlink()
    begun = time.process_time()
    record = worker.process(attempt)
    used_s = time.process_time() - begun
    separating_s = used_s * record.separating_s / record.elapsed_s
    return separating_s, used_s - separating_s


def line(name: str, lengths: Sequence[float], times: Sequence[float]) -> dict[str, float]:
    """Return offset and slope of a time that grows with the length."""
    ratio = max(0.0, (times[1] - times[0]) / (lengths[1] - lengths[0]))
    return {f"{name}_s": max(0.0, times[0] - ratio * lengths[0]), f"{name}_ratio": ratio}


def measure_plan(songs: int = 50_000) -> dict[str, float]:
    """Put songs of a listing in order, as `partita.catalogue.planning.plan` does."""
    from partita.catalogue.planning import _Waiting

    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(Path(folder) / "songs.db")
        waiting = _Waiting(database)
        begun = time.process_time()
        for number in range(songs):
            waiting.add(planned(number))
        size = sum(len(json.dumps(dataclasses.asdict(song))) for song in waiting.longest_first())
        elapsed_s = time.process_time() - begun
        database.close()
    return {"plan_s": elapsed_s / songs, "plan_bytes": size / songs + 1}


def measure_manifest(folder: Path) -> dict[str, float]:
    """Write the records of 1000 songs, and look how far they are."""
    from partita.catalogue.records import PlanHeader
    from partita.catalogue.running import survey
    from partita.catalogue.store import Manifest

    manifest = Manifest(str(folder / "manifest"))
    songs = [planned(number) for number in range(SHARD)]
    header = PlanHeader(SHARD, 1, 0, 0.0, 0, 0, ("songs",), "", "")
    manifest.write_plan([songs], header)
    for song in songs:
        manifest.write(record_of(song), 0)
    files = list((folder / "manifest/records").rglob("*.json"))
    size = sum(path.stat().st_size for path in files) / len(files)
    begun = time.process_time()
    survey(manifest)
    return {"record_bytes": size, "survey_s": time.process_time() - begun}


def measure_driver(folder: Path) -> float:
    """Hand out songs that cost nothing; return the driver's processor time for each."""
    from catalogue_songs import PlainWork
    from catalogue_songs import planned as plain
    from partita.catalogue.engine import Attempt
    from partita.catalogue.local_engine import LocalEngine

    attempts = (Attempt(plain(f"song-{number}")) for number in range(DRIVEN))
    records = LocalEngine(2).run(attempts, PlainWork(str(folder / "notes")), threading.Event())
    next(records)  # the processes have begun
    begun = time.process_time()
    count = sum(1 for _ in records)
    return (time.process_time() - begun) / count


def planned(number: int):
    """Return a planned song of usual size."""
    from partita.catalogue.records import PlannedSong

    name = f"{number * 2654435761 % 2**64:016x}"
    track = f"artist {number % 50_000}/album {number % 7}/{number % 12:02} title of a song {number}"
    return PlannedSong(
        name, f"s3://archive/music/{track}.flac", track, 24_000_000, name * 2, MEDIAN_S
    )


def record_of(song):
    """Return the record of a song that is done: four stems."""
    from partita.catalogue.records import SongRecord, StemRecord

    stems = {
        stem: StemRecord(
            f"s3://stems/four-stems/{song.track}/{stem}.flac", 14_000_000, "0" * 64, 9_922_500
        )
        for stem in ("vocals", "drums", "bass", "other")
    }
    return SongRecord(
        *(song.id, song.address, song.track, "done"),
        stems=stems,
        sample_rate=RATE,
        channels=2,
        duration_s=MEDIAN_S,
        null_depth_db=-139.4,
        started="2026-01-01T00:00:00+00:00",
        elapsed_s=123.456,
        separating_s=120.123,
        worker="worker-0001:12345",
        version="0.2.0",
        model="four-stems",
        weights="0" * 64,
        licence="MIT",
        commercial_use=True,
    )
