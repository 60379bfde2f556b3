"""One song of a catalogue: its stems, verified, and a record; or why not."""

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from catalogue_songs import write_songs
from common import little_room
from partita import __version__
from partita.catalogue.engine import Attempt
from partita.catalogue.planning import plan
from partita.catalogue.running import run_settings
from partita.catalogue.store import Manifest
from partita.catalogue.verifying import verify
from partita.catalogue.worker import CatalogueWork, check_same
from partita.errors import AudioWriteError, UsageError
from partita.weights.download import file_sha256
from partita.weights.resolve import resolve


@pytest.fixture
def songs(tmp_path):
    return write_songs(tmp_path / "songs", 2, seconds=0.3)


@pytest.fixture
def begin(tmp_path, songs):
    """Plan the songs; returns a function that makes a worker, and the plan's attempts."""

    def make(out="out", **options):
        manifest = Manifest(str(tmp_path / f"manifest{len(list(tmp_path.iterdir()))}"))
        plan([str(songs)], manifest, depth="header")
        settings = run_settings(str(tmp_path / out), resolve("hpss"), **options)
        worker = CatalogueWork(manifest.address, manifest.begin(settings), device="cpu").open()
        return manifest, worker, list(manifest.left())

    return make


def test_a_song_is_done_when_its_stems_are_verified_and_recorded(begin, tmp_path):
    manifest, worker, (first, second) = begin()
    done = worker.process(first)
    assert done.outcome == "done"
    assert list(done.stems) == ["harmonic", "percussive", "residual"]
    for stem, made in done.stems.items():
        path = tmp_path / "out/hpss" / first.song.track / f"{stem}.wav"
        assert made.address == str(path)
        assert (made.size, made.samples) == (path.stat().st_size, round(0.3 * 44100))
    assert done.null_depth_db < -90
    assert (done.version, done.model, done.kind) == (__version__, "hpss", "")
    assert list(manifest.records()) == [done]
    assert [each.song for each in manifest.left()] == [second.song]


def test_stems_without_a_record_are_kept(begin):
    """A worker that is killed between both has separated the song."""
    manifest, worker, (first, _) = begin()
    before = worker.process(first)
    inodes = [Path(stem.address).stat().st_ino for stem in before.stems.values()]
    shutil.rmtree(f"{manifest.address}/records")
    after = worker.process(first)
    assert [Path(stem.address).stat().st_ino for stem in after.stems.values()] == inodes
    assert after.stems == before.stems
    assert after.duration_s == before.duration_s


def test_a_song_that_was_changed_is_reported_and_taken_when_asked_again(begin):
    _, worker, (first, _) = begin()
    os.utime(first.song.address, ns=(1, 1))
    changed = worker.process(first)
    assert (changed.outcome, changed.kind) == ("failed", "changed")
    assert changed.cause.endswith("was changed since it was planned; "
                                  "partita catalogue retry takes it as it is now")  # fmt: skip
    assert worker.process(Attempt(first.song, 3)).outcome == "done"


def test_songs_that_are_missing_or_broken_are_reported_one_by_one(begin):
    _, worker, (first, second) = begin()
    Path(first.song.address).unlink()
    missing = worker.process(first)
    assert (missing.kind, missing.cause) == ("missing", f"{first.song.address}: no such file")
    Path(second.song.address).write_bytes(b"nothing")
    broken = worker.process(Attempt(second.song, 2))
    assert broken.kind == "unreadable"
    assert broken.cause.startswith(f"{second.song.address}: ")


def test_stems_never_replace_songs(begin):
    _, worker, (first, _) = begin(out="songs", filename="{stem}/{track}.{ext}")
    refused = worker.process(first)
    assert (refused.outcome, refused.kind) == ("failed", "target")
    assert "lies where stems go" in refused.cause
    _, worker, (first, _) = begin(out="songs")  # below songs/hpss: nothing of theirs
    assert worker.process(first).outcome == "done"


def test_a_full_disk_is_worth_another_attempt(begin):
    _, worker, (first, _) = begin(bits="float")
    with little_room(60_000):
        full = worker.process(first)
    assert (full.outcome, full.kind) == ("tried", "disk")
    assert worker.process(Attempt(first.song, 2, 1)).outcome == "done"


def test_a_manifest_that_cannot_be_written_ends_the_run(begin):
    manifest, worker, (first, _) = begin()
    Path(manifest.address, "records").write_text("in the way")
    with pytest.raises(AudioWriteError, match="cannot write"):
        worker.process(first)


def test_other_versions_and_weights_are_refused_and_named(tmp_path):
    settings = run_settings(str(tmp_path), resolve("hpss"))
    check_same(settings)
    with pytest.raises(UsageError, match=r"has partita .*, the catalogue was begun with 9\.9"):
        check_same(dataclasses.replace(settings, version="9.9"))
    with pytest.raises(UsageError, match="has other weights of hpss"):
        check_same(dataclasses.replace(settings, weights="0" * 64))


@pytest.mark.parametrize("form", ["flac", "ogg", "stem.mp4"])
def test_stems_of_every_kind_of_format_are_verified(begin, form):
    manifest, worker, (first, _) = begin(out=form, format=form)
    done = worker.process(first)
    assert done.outcome == "done", done.cause
    (verdict,) = verify(manifest)
    assert (verdict.fault, verdict.note) == ("", "")


def test_scores_without_references_are_recorded(begin):
    _, worker, (first, _) = begin(quality=True)
    done = worker.process(first)
    assert all(stem.sdr_db is not None for stem in done.stems.values())


def test_verifying_finds_stems_that_are_gone_damaged_or_changed(begin):
    manifest, worker, (first, second) = begin()
    records = [worker.process(first), worker.process(second)]
    assert [verdict.fault for verdict in verify(manifest, jobs=2)] == ["", ""]
    stems = list(records[0].stems.values())
    data = Path(stems[0].address).read_bytes()
    other = next(iter(records[1].stems.values()))
    Path(other.address).unlink()
    Path(stems[0].address).write_bytes(data[:-2000])
    faults = {verdict.record.track: verdict.fault for verdict in verify(manifest)}
    assert faults[second.song.track] == "harmonic.wav is missing"
    assert faults[first.song.track].startswith("harmonic.wav")
    Path(stems[0].address).write_bytes(data[:1000] + b"\0\1" * 4 + data[1008:])
    faults = {verdict.record.track: verdict.fault for verdict in verify(manifest)}
    assert faults[first.song.track] == "harmonic.wav was changed"


def test_verifying_finds_stems_that_do_not_add_up(begin):
    """Also where record and file agree: a stem that was wrong from the beginning."""
    manifest, worker, (first, _) = begin()
    done = worker.process(first)
    stem = done.stems["residual"]
    shutil.copy(done.stems["harmonic"].address, stem.address)
    stems = {
        **done.stems,
        "residual": dataclasses.replace(stem, sha256=file_sha256(Path(stem.address))),
    }
    manifest.write(dataclasses.replace(done, stems=stems, attempt=2), 0)
    (verdict,) = verify(manifest)
    assert verdict.fault.startswith("the stems do not add up: null depth ")
    assert next(verify(manifest, sums=False)).fault == ""


def test_a_sum_is_not_verified_without_the_song(begin):
    manifest, worker, (first, _) = begin()
    worker.process(first)
    Path(first.song.address).unlink()
    (verdict,) = verify(manifest)
    assert verdict.fault == ""
    assert verdict.note.startswith("the song cannot be read")
