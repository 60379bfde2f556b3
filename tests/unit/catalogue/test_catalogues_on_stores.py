"""Catalogues whose songs, manifest and stems are in object stores that misbehave."""

import dataclasses
import io
import json
import logging

import numpy as np
import pytest
import soundfile

from partita.catalogue.planning import plan
from partita.catalogue.running import run_settings
from partita.catalogue.store import Manifest
from partita.catalogue.transport import faults, fetching
from partita.catalogue.transport.filesystems import file_system
from partita.catalogue.verifying import verify
from partita.catalogue.worker import CatalogueWork
from partita.errors import UsageError
from partita.weights.resolve import resolve
from store_servers import KEY, SECRET, Answer

pytestmark = pytest.mark.slow
ROOT = "s3://music"


def _song(seed, kind="WAV"):
    file = io.BytesIO()
    noise = np.random.default_rng(seed).standard_normal(13230)
    soundfile.write(file, 0.1 * noise, 44100, format=kind)
    return file.getvalue()


@pytest.fixture
def store(s3, monkeypatch):
    """The server's file system; nobody waits between two tries."""
    monkeypatch.setattr(faults.time, "sleep", lambda _: None)
    return file_system(ROOT)


@pytest.fixture
def begin(store):
    """Put songs there and plan them; returns a function that makes manifest and worker."""
    for number in range(3):
        store.pipe_file(f"music/songs/album/{number}.flac", _song(number, "FLAC"))

    def make(*inputs, out=f"{ROOT}/stems", depth="header"):
        manifest = Manifest(f"{ROOT}/manifest")
        plan(inputs or (f"{ROOT}/songs/",), manifest, depth=depth)
        settings = run_settings(out, resolve("hpss"), format="flac")
        worker = CatalogueWork(manifest.address, manifest.begin(settings), device="cpu").open()
        return manifest, worker

    return make


def _run(manifest, worker):
    """Run what is left; returns records by track, of songs whose target is their own."""
    records = [worker.process(attempt) for attempt in list(manifest.left())]
    return {record.track: record for record in records if record.kind != "target"}


def test_from_store_to_store(begin, s3, store):
    manifest, worker = begin(depth="sound")
    assert [song.duration_s for song in manifest.songs()] == [pytest.approx(0.3)] * 3
    made = _run(manifest, worker)
    assert {record.outcome for record in made.values()} == {"done"}
    stem = made["album/0"].stems["harmonic"]
    assert stem.address == f"{ROOT}/stems/hpss/album/0/harmonic.flac"
    assert len(store.cat_file(stem.address)) == stem.size
    assert [verdict.fault for verdict in verify(manifest)] == [""] * 3
    assert list(manifest.left()) == []
    assert len(store.find("music/stems")) == 9
    assert store.call_s3("list_multipart_uploads", Bucket="music").get("Uploads", []) == []


def test_a_plan_that_only_lists_asks_for_no_song(begin, s3):
    manifest, _ = begin(depth="listing")
    sizes = {song.address[-6]: song.size for song in manifest.songs()}
    assert sizes == {str(number): len(_song(number, "FLAC")) for number in range(3)}
    assert all(song.version for song in manifest.songs())
    asked = [path for method, path in s3.requests if method in ("GET", "HEAD")]
    assert not [path for path in asked if "/songs/" in path and "list-type" not in path]


def test_each_song_that_fails_has_one_record_and_the_rest_goes_on(begin, s3, store, tmp_path):
    store.pipe_file("music/songs/broken.wav", b"RIFF no sound")
    store.pipe_file("music/songs/empty.wav", b"")
    store.pipe_file("music/songs/album/0.wav", _song(9))
    store.pipe_file("music/songs/" + "ü" * 200 + ".wav", _song(10))
    table = tmp_path / "more.csv"
    table.write_text(f"url\n{ROOT}/none.wav\nhttps://me:{SECRET}@host/a.wav\n{ROOT}/a/../b.wav\n")
    manifest, worker = begin(f"{ROOT}/songs/", str(table))
    store.pipe_file("music/songs/album/1.flac", _song(8, "FLAC"))  # changed since
    s3.fault = lambda method, path: (
        Answer(403, "AccessDenied") if method == "GET" and "album/2.flac" in path else None
    )
    made = _run(manifest, worker)
    s3.fault = None
    kinds = {track: (record.outcome, record.kind) for track, record in made.items()}
    long = next(track for track in kinds if track.startswith("ü"))
    assert kinds.pop(long) == ("done", "")
    assert kinds.pop("album/0") == ("done", "")  # of the two, the first
    assert kinds == {
        "album/1": ("failed", "changed"),
        "album/2": ("failed", "denied"),
        "broken": ("failed", "unreadable"),
        "empty": ("failed", "unreadable"),
        "music/none": ("failed", "missing"),
        "host/a": ("failed", "unreadable"),
        "music/a/__/b": ("failed", "unreadable"),
    }
    assert made["album/2"].cause == f"{ROOT}/songs/album/2.flac: permission denied (AccessDenied)"
    assert made["album/1"].cause.startswith(f"{ROOT}/songs/album/1.flac: was changed")
    assert [each.kind for each in manifest.records()].count("target") == 1
    assert len(list(manifest.records())) == len(made) + 1


def test_a_bucket_that_throttles_and_drops_connections(begin, s3):
    numbers = iter(range(100_000))
    answers = (Answer(503, "SlowDown"), Answer(0), Answer(500, "InternalError", after=True))

    def often(method, path):
        number = next(numbers)
        return answers[number // 5 % 3] if number % 5 == 0 else None

    s3.fault = often
    manifest, worker = begin()
    made = _run(manifest, worker)
    assert [record.outcome for record in made.values()] == ["done"] * 3
    s3.fault = None
    assert [verdict.fault for verdict in verify(manifest)] == [""] * 3


def test_a_store_that_stays_away_is_worth_another_attempt(begin, s3):
    manifest, worker = begin()
    s3.fault = lambda method, path: Answer(503, "SlowDown") if "/songs/" in path else None
    made = _run(manifest, worker)
    assert {(each.outcome, each.kind) for each in made.values()} == {("tried", "store")}
    s3.fault = None
    made = _run(manifest, worker)
    assert {(each.outcome, each.attempt) for each in made.values()} == {("done", 2)}


def test_stems_that_cannot_be_written(begin, s3, store):
    manifest, worker = begin()
    s3.fault = lambda method, path: (
        Answer(403, "AccessDenied") if "0/residual.flac" in path and method != "GET" else None
    )
    made = _run(manifest, worker)
    s3.fault = None
    assert (made["album/0"].outcome, made["album/0"].kind) == ("failed", "denied")
    assert [made[f"album/{number}"].outcome for number in (1, 2)] == ["done", "done"]
    assert store.find("music/stems/hpss/album/0") == []


def test_a_full_disk_while_a_song_is_fetched(begin, monkeypatch):
    manifest, worker = begin()
    usage = fetching.shutil.disk_usage("/")
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage._replace(free=0))
    made = _run(manifest, worker)
    assert {(each.outcome, each.kind) for each in made.values()} == {("tried", "disk")}


def test_destinations_in_a_source_and_on_web_servers(begin, store):
    with pytest.raises(UsageError, match="web servers take no files"):
        run_settings("https://host/stems", resolve("hpss"))
    store.pipe_file("music/songs/hpss/earlier.flac", _song(5, "FLAC"))
    manifest, worker = begin(out=f"{ROOT}/songs")
    made = _run(manifest, worker)
    assert {record.outcome for record in made.values()} == {"done"}
    assert [each.track for each in manifest.records() if each.kind == "target"] == ["hpss/earlier"]


def test_songs_of_a_web_server(begin, web, store, tmp_path):
    web.files = {"a b/one.wav": _song(1), "a b/two.mp3": _song(2, "MP3"), "a b/cover.jpg": b"."}
    manifest, worker = begin(f"{web.endpoint}/a%20b/", out=str(tmp_path / "stems"))
    made = _run(manifest, worker)
    assert {track: record.outcome for track, record in made.items()} == {
        "one": "done",
        "two": "done",
    }
    assert (tmp_path / "stems/hpss/one/harmonic.flac").is_file()


def test_no_secret_is_in_any_record_or_log(begin, s3, store, tmp_path, caplog):
    caplog.set_level(logging.DEBUG, logger="partita")
    table = tmp_path / "songs.csv"
    table.write_text(
        f"url\nhttps://me:{SECRET}@host/a.wav\nhttps://host/b.wav?X-Amz-Signature={SECRET}\n"
        f"https://host/c/{KEY}.wav?AWSAccessKeyId={KEY}\n"
    )
    manifest, worker = begin(str(table), f"{ROOT}/songs/")
    for code in ("SignatureDoesNotMatch", "InvalidAccessKeyId", "ExpiredToken", "SlowDown"):
        s3.fail(10_000, Answer(503 if code == "SlowDown" else 403, code), "GET", "/songs/")
        for attempt in list(manifest.left())[:1]:
            worker.process(dataclasses.replace(attempt, tries=0))
    s3.fault = None
    written = [store.cat_file(path) for path in store.find("music/manifest")]
    assert any(b"SignatureDoesNotMatch" in data for data in written)
    for text in (*map(bytes.decode, written), *caplog.messages):
        assert SECRET not in text
        assert KEY not in text
    assert all(json.loads(line) for data in written for line in data.splitlines())
