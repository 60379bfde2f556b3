"""Decoding data sets."""

import errno
import json
import os
import shutil
import threading
from collections import namedtuple

import filelock
import numpy as np
import pytest
import soundfile
import torch

from common import SHARED
from partita.audio.conversion import convert_blocks
from partita.datasets import open_dataset
from partita.datasets.tracks import StemFile
from partita.errors import AudioReadError, AudioWriteError, UnknownNameError, UsageError
from partita.training.cache import decode_track
from partita.training.cache.decode_dataset import decode_dataset

RATE = 8000
STEP = 1 / 32768


def noise(name, seconds=2.0, channels=2, level=0.1):
    rng = np.random.default_rng(sum(name.encode()))
    size = (round(seconds * RATE), channels)
    return np.round(rng.uniform(-level, level, size) / STEP) * STEP


@pytest.fixture
def album(tmp_path):
    """Write tracks of noise; returns the signals as they are in the files, ``[samples, 2]``."""
    root = tmp_path / "album"

    def write(track, subtype="PCM_16", rate=RATE, **signals):
        (root / track).mkdir(parents=True, exist_ok=True)
        for name, signal in signals.items():
            soundfile.write(root / track / f"{name}.wav", signal, rate, subtype)
        return signals

    write.root = root
    return write


@pytest.fixture
def ready(album, tmp_path):
    def call(*sources, channels=2, rate=RATE, folder=tmp_path / "ready", **options):
        dataset = open_dataset(album.root, layout="tracks")
        return decode_dataset(
            dataset, sources, sample_rate=rate, channels=channels, folder=folder, **options
        )

    return call


def whole(songs, track, row):
    return songs.tracks[track].read(row, 0, songs.tracks[track].samples).numpy().T


def places(folder):
    return sorted(path.name for path in folder.iterdir())


def test_sixteen_bit_files_stay_what_they_are(album, ready):
    loud = noise("loud", level=0.1)
    loud[3], loud[4] = -1.0, 1 - STEP  # all that 16 bits hold
    signals = album("song", vocals=noise("v"), drums=loud)
    songs = ready("vocals", "drums")
    assert songs.rows == 2
    assert not songs.has_rest
    assert songs.warnings == ()
    assert songs.tracks[0].name == "song"
    for row, name in enumerate(("vocals", "drums")):
        assert np.array_equal(whole(songs, 0, row), signals[name])
        assert songs.tracks[0].audible[row].all()


def test_what_exceeds_full_scale_is_kept(album, ready):
    signals = album("song", "FLOAT", vocals=noise("v", level=3.0), drums=-noise("d", level=0.1))
    songs = ready("vocals", "drums")
    error = np.abs(whole(songs, 0, 0) - signals["vocals"]).max()
    assert error <= 0.51 * 3 * STEP


def test_rows_add_up_to_the_mixture(album, ready):
    one = album("one", **{name: noise(name) for name in ("vocals", "drums", "bass", "choir")})
    two = album("two", **{name: noise(name, 1.0) for name in ("vocals", "drums")})
    songs = ready("vocals", "accompaniment")
    assert songs.rows == 2
    assert np.allclose(whole(songs, 0, 1), one["drums"] + one["bass"] + one["choir"], atol=STEP)
    songs = ready("drums", "vocals")
    assert songs.has_rest
    assert songs.row_names == ("drums", "vocals", "rest")
    for track, signals in enumerate((one, two)):
        total = sum(whole(songs, track, row) for row in range(3))
        assert np.allclose(total, sum(signals.values()), atol=STEP)
    assert not songs.tracks[1].audible[2].any()


def test_excerpts_beyond_the_ends_are_silent(album, ready):
    signals = album("song", vocals=noise("v"))
    track = ready("vocals").tracks[0]
    part = track.read(0, -5, 20)
    assert part.dtype == torch.float32
    assert not part[:, :5].any()
    assert np.array_equal(part[:, 5:].numpy().T, signals["vocals"][:15])
    part = track.read(0, track.samples - 3, 10)
    assert np.array_equal(part[:, :3].numpy().T, signals["vocals"][-3:])
    assert not part[:, 3:].any()
    assert not track.read(0, track.samples + 4, 10).any()
    assert not track.read(0, -40, 10).any()


@pytest.mark.parametrize("rate", [8000, 16000, 11025])
def test_rates_and_channels_are_converted_file_by_file(album, ready, rate):
    signals = album("song", vocals=noise("v", 20.0))
    album("song", rate=16000, drums=noise("d", 40.0, channels=1))
    songs = ready("vocals", "drums", channels=1, rate=rate)
    assert songs.channels == 1
    assert songs.tracks[0].samples == 20 * rate
    mono = signals["vocals"].mean(axis=1, dtype=np.float32, keepdims=True).T
    expected = np.concatenate([*convert_blocks([mono], RATE, rate)], axis=1).T
    assert np.allclose(whole(songs, 0, 0), expected, atol=STEP)
    assert songs.tracks[0].audible[1].all()


def test_audible_pieces(album, ready):
    quiet = noise("v", 3.2)
    quiet[: 2 * RATE] *= 1e-3
    album("song", "FLOAT", vocals=quiet, drums=noise("d", 3.2) * 1e-5, bass=noise("b", 3.2))
    songs = ready("vocals", "bass")
    assert songs.tracks[0].audible.shape[1] == 7
    assert songs.tracks[0].audible[0].tolist() == [False] * 4 + [True] * 3
    assert not songs.tracks[0].audible[2].any()
    assert [tuple(piece) for piece in songs.audible[0]] == [(0, 4), (0, 5), (0, 6)]
    assert len(songs.any_audible) == 7


def test_the_second_time_nothing_is_decoded(album, ready, monkeypatch):
    album("one", vocals=noise("v"), drums=noise("d", 1.0))
    album("two", vocals=noise("w"))
    heard = []
    first = ready("vocals", "drums", progress=lambda *at: heard.append(at))
    assert heard[-1] == pytest.approx((5.0, 5.0))
    assert heard == sorted(heard)
    with monkeypatch.context() as patch:
        patch.setattr(StemFile, "open", None)
        again = ready("vocals", "drums", progress=lambda *at: pytest.fail("decodes"))
        assert np.array_equal(whole(again, 0, 1), whole(first, 0, 1))
        assert again.warnings == first.warnings != ()
        with pytest.raises(TypeError):  # other rows
            ready("vocals")
    path = album.root / "two/vocals.wav"
    album("two", vocals=noise("x"))
    os.utime(path, ns=(1, 1))
    assert np.array_equal(whole(ready("vocals", "drums"), 1, 0), noise("x"))


def test_damaged_caches_are_made_anew(album, ready, tmp_path):
    signals = album("song", vocals=noise("v"))
    for damage in ("audio.int16", "index.json"):
        ready("vocals")
        (place,) = (tmp_path / "ready").iterdir()
        (place / damage).write_bytes(b"{}")
        assert np.array_equal(whole(ready("vocals"), 0, 0), signals["vocals"])
    track = ready("vocals").tracks[0]
    shutil.rmtree(place)
    with pytest.raises(AudioReadError, match="start again"):
        track.read(0, 0, 10)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.ENOSPC, "no space")])
def test_interrupted_runs_leave_nothing(album, ready, tmp_path, monkeypatch, stop):
    signals = album("one", vocals=noise("v"))
    album("two", vocals=noise("w"))

    calls = []

    def interrupt(spool, block):
        calls.append(1)
        if len(calls) > 1:
            raise stop
        return add(spool, block)

    add = decode_track._add
    with monkeypatch.context() as patch:
        patch.setattr(decode_track, "_add", interrupt)
        error = AudioWriteError if isinstance(stop, OSError) else stop
        with pytest.raises(error) as caught:
            ready("vocals")
    if error is AudioWriteError:
        assert "ready: no space: make room there" in str(caught.value)
    left = [path for path in (tmp_path / "ready").iterdir() if path.suffix != ".lock"]
    assert [places(path) for path in left] == [["audio.int16", "index.json"]]  # the first track
    assert np.array_equal(whole(ready("vocals"), 0, 0), signals["vocals"])
    assert len(places(tmp_path / "ready")) == 2


def test_folders_of_killed_runs_are_swept_away(album, ready, tmp_path):
    album("song", vocals=noise("v"))
    killed, running = tmp_path / "ready/.partita-1", tmp_path / "ready/.partita-2"
    for folder in (killed, running):
        folder.mkdir(parents=True)
        (folder / "lock").touch()
    with filelock.FileLock(running / "lock"):
        ready("vocals")
    assert not killed.exists()
    assert running.exists()


def test_several_at_once(album, ready, tmp_path, monkeypatch):
    signals = [album(f"song {n}", vocals=noise(f"{n}"))["vocals"] for n in range(4)]
    decoded = []
    decode = decode_track.TrackDecoder.run

    def count(self, problems):
        decoded.append(self)
        return decode(self, problems)

    monkeypatch.setattr(decode_track.TrackDecoder, "run", count)
    results = []
    threads = [threading.Thread(target=lambda: results.append(ready("vocals"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for songs in results:
        for track, signal in enumerate(signals):
            assert np.array_equal(whole(songs, track, 0), signal)
    assert len(decoded) == 4
    assert len(places(tmp_path / "ready")) == 4


def test_all_problems_come_together(album, ready):
    for number in range(25):
        album(f"{number:02}", vocals=noise("v"))
    broken = noise("v")
    broken[70] = np.nan
    album("00", "FLOAT", vocals=broken)
    (album.root / "01/vocals.wav").write_bytes(b"RIFF, but no more")
    whole_file = (album.root / "02/vocals.wav").read_bytes()
    (album.root / "02/vocals.wav").write_bytes(whole_file[:9000])
    dataset = open_dataset(album.root, layout="tracks")
    with pytest.raises(AudioReadError) as caught:
        ready("vocals")
    lines = sorted(str(caught.value).splitlines())
    assert len(lines) == 3
    assert "vocals.wav: NaN or infinite samples from 0.009 s on" in lines[0]
    assert lines[1].startswith("01: ")
    assert "cut short" in lines[2]
    for track in dataset:
        track.stems["vocals"].path.write_bytes(b"nothing")
    with pytest.raises(AudioReadError) as caught:
        ready("vocals")
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 5 more"


def test_files_that_vanish(album, ready, tmp_path):
    album("song", vocals=noise("v"), drums=noise("d"))
    dataset = open_dataset(album.root, layout="tracks")
    (album.root / "song/drums.wav").unlink()
    with pytest.raises(AudioReadError, match=r"^song: .*drums\.wav: No such file"):
        decode_dataset(dataset, ["vocals"], sample_rate=RATE, channels=2, folder=tmp_path / "ready")


def test_lengths_that_differ_are_a_warning(album, ready):
    album("song", vocals=noise("v", 2.0), drums=noise("d", 1.9), bass=noise("b", 1.5))
    assert ready("vocals", "drums").warnings == ("song: bass ends 0.5 s early, silence follows",)


@pytest.mark.parametrize("has_mixture", [True, False])
def test_stems_that_are_not_there_are_silent(album, ready, has_mixture):
    album("one", vocals=noise("v"), bass=noise("b"))
    two = album("two", vocals=noise("w"), drums=noise("d"))
    if has_mixture:
        album("two", mixture=sum(two.values()))
    songs = ready("vocals", "bass")
    assert songs.warnings == ("two: no bass, counts as silence",)
    assert not whole(songs, 1, 1).any()


def test_mixtures_that_hold_more_than_the_stems(album, ready):
    album("one", vocals=noise("v"), bass=noise("b"))
    two = album("two", vocals=noise("w"))
    album("two", mixture=two["vocals"] + noise("more"))
    message = "^two: has no stem 'bass' and its mixture is not the sum of the other stems$"
    with pytest.raises(AudioReadError, match=message):
        ready("vocals", "bass")
    assert ready("vocals").warnings == ()  # nobody asks for the bass


def test_requests_that_make_no_sense(album, ready):
    album("song", vocals=noise("v"), drums=noise("d"), bass=0 * noise("b"))
    with pytest.raises(UnknownNameError, match="unknown stem 'drum'; did you mean drums"):
        ready("vocals", "drum")
    with pytest.raises(UsageError, match="'drums' is in two sources, drums and accompaniment"):
        ready("drums", "accompaniment")
    with pytest.raises(UsageError, match="in two sources"):
        ready("drums", "drums")
    with pytest.raises(UsageError, match="the stem 'bass' is silent in every track"):
        ready("vocals", "bass")
    with pytest.raises(UsageError, match="no sources"):
        ready()


def test_problems_of_the_data_set_are_warnings(album, ready):
    album("song", vocals=noise("v"))
    album("strange", mixture=noise("m"))
    (warning,) = ready("vocals").warnings
    assert warning.startswith("strange: has a mixture but no stems")


def test_no_room(album, ready, tmp_path, monkeypatch):
    album("song", vocals=noise("v", 20.0))
    usage = namedtuple("usage", "free")
    needed = 20 * RATE * 2 * (2 * 2 + 4)  # the source, the rest (none), and a spool
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(needed - 1))
    with pytest.raises(AudioWriteError, match=r"ready: 0\.0 GB are needed and 0\.0 GB free: make"):
        ready("vocals")
    assert places(tmp_path / "ready") == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(needed))
    ready("vocals")


def test_folders_that_cannot_be(album, ready, tmp_path):
    album("song", vocals=noise("v"))
    (tmp_path / "file").touch()
    with pytest.raises(
        AudioWriteError, match=r"cannot write the decoded data set to .*file/ready: Not a"
    ):
        ready("vocals", folder=tmp_path / "file/ready")


@pytest.mark.slow
def test_real_stems(tmp_path):
    song = SHARED / "multitracks/eif-7-francium"
    if not song.is_dir():
        pytest.skip("needs shared/multitracks")
    root = tmp_path / "album"
    (root / "song").mkdir(parents=True)
    for name in ("vocals", "drums"):  # Opus
        shutil.copy(song / f"{name}.opus", root / "song")
    dataset = open_dataset(root, layout="tracks")
    songs = decode_dataset(
        dataset, ["vocals"], sample_rate=44100, channels=2, folder=tmp_path / "ready"
    )
    track = songs.tracks[0]
    assert songs.has_rest
    for row, name in enumerate(("vocals", "drums")):
        audio = dataset.tracks[0].load(name, duration_s=20.0)  # at 48 kHz
        blocks = convert_blocks([audio.samples.numpy()], 48000, 44100)
        whole = np.concatenate(list(blocks), axis=1)[:, :-4410]  # but for where the excerpt ends
        part = track.read(row, 0, whole.shape[1]).numpy()
        assert np.abs(part - whole).max() <= track.scales[row]
    assert json.loads((track.audio.parent / "index.json").read_text())["samples"] == track.samples


def test_digests_are_of_what_is_heard(album, ready):
    signals = album("one", vocals=noise("a"), drums=noise("b"))
    album("two", vocals=noise("c"), drums=noise("d"))
    before = [track.digest for track in ready("vocals", "drums").tracks]
    assert len(set(before)) == 2
    album("one", rate=RATE, **signals)
    os.utime(album.root / "one/vocals.wav", (0, 0))
    assert [track.digest for track in ready("vocals", "drums").tracks] == before
    signals["drums"][100] += STEP
    album("one", **signals)
    os.utime(album.root / "one/drums.wav", (0, 0))
    after = [track.digest for track in ready("vocals", "drums").tracks]
    assert after[0] != before[0]
    assert after[1] == before[1]
