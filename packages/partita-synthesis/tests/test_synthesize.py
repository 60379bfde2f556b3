"""``partita data synthesize``, and training on what it makes."""

import json
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
import torch

from partita.weights.checkpoint import load_checkpoint
from soundfont_file import tiny_soundfont

#: What our own synthesis can play: no SoundFont is needed.
OWN = ("--stems", "vocals,drums,bass,synth", "--duration", "2", "--rate", "16000")


def read(folder):
    return {path.stem: soundfile.read(path, dtype="int16")[0] for path in folder.glob("*.flac")}


def songs_in(out):
    return sorted(path for path in out.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthesized") / "album"
    command = [sys.executable, "-m", "partita", "data", "synthesize", "--out", out, "--songs", "2",
               "--seed", "5", *OWN]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_writes_a_data_set(run, album):
    out, printed = album
    assert "album: 2 songs, 0:04 in" in printed
    assert "partita's own synthesis: none needed" in printed
    songs = songs_in(out)
    assert len(songs) == 2
    for folder in songs:
        files = read(folder)
        assert set(files) == {"mixture", "vocals", "drums", "bass", "synth"}
        mixture = files.pop("mixture").astype(int)
        assert mixture.shape == (2 * 16000, 2)
        assert np.array_equal(mixture, sum(stem.astype(int) for stem in files.values()))
        assert np.abs(mixture).max() < 32768
        assert all(np.abs(stem).max() > 10 for stem in files.values())
    info = run("data", "info", out)
    assert info.status == 0, info.out


def test_manifest(album):
    out, _ = album
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"]["seed"] == 5
    assert manifest["settings"]["stems"] == ["vocals", "drums", "bass", "synth"]
    assert [song["name"] for song in manifest["songs"]] == [path.name for path in songs_in(out)]
    for song in manifest["songs"]:
        assert {player["stem"] for player in song["players"]} == {
            "vocals", "drums", "bass", "synth"
        }  # fmt: skip
        assert all(player["sound"] in manifest["licences"] for player in song["players"])


def test_same_seed_same_songs_in_any_number_of_processes(run, album, tmp_path):
    out, _ = album
    again = tmp_path / "again"
    result = run("data", "synthesize", "--out", again, "--songs", "2", "--seed", "5", *OWN,
                 "--jobs", "1")  # fmt: skip
    assert result.status == 0
    for one, other in zip(songs_in(out), songs_in(again), strict=True):
        assert one.name == other.name
        for path in one.iterdir():
            assert path.read_bytes() == (other / path.name).read_bytes(), path
    assert (out / "manifest.json").read_bytes() == (again / "manifest.json").read_bytes()


def test_goes_on_where_it_was(run, album, tmp_path):
    out = tmp_path / "album"
    options = ("--out", out, "--seed", "5", *OWN, "--jobs", "1")
    assert run("data", "synthesize", "--songs", "1", *options).status == 0
    (first,) = songs_in(out)
    before = (first / "mixture.flac").stat().st_mtime_ns
    assert run("data", "synthesize", "--songs", "2", *options).status == 0
    assert len(songs_in(out)) == 2
    assert (first / "mixture.flac").stat().st_mtime_ns == before
    other = run("data", "synthesize", "--songs", "2", *options, "--mono")
    assert other.status == 2
    assert "songs of other settings" in other.err


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--stems", "vocals,gitar"], "unknown stem 'gitar'; did you mean guitar"),
        (["--stems", ","], "no stems were named"),
        (["--stems", ""], "--stems is empty"),
        (["--duration", "0"], "--duration must be a finite number from 0.5 to 3,600, not 0"),
        (["--duration", "nan"], "--duration must be a finite number from 0.5 to 3,600, not nan"),
        (["--songs", "0"], "--songs must be at least 1, not 0"),
        (["--rate", "0"], "--rate must be a whole number from 8,000"),
        (["--style", "polka-core"], "unknown style 'polka-core'"),
        (["--soundfont", "none.sf2"], "none.sf2: no such SoundFont"),
        (["--midi", "nowhere"], "nowhere"),
        (["--recordings", "nowhere"], "nowhere"),
        (["--seed", "-1"], "--seed must be a whole number of 0 or more, not -1"),
        (["--midi", ".", "--style", "pop"], "leave --midi or --style out"),
    ],
)
def test_wrong_usage(run, tmp_path, options, what):
    out = tmp_path / "out"
    result = run("data", "synthesize", "--out", out, *options)
    assert (result.status, result.out) == (2, "")
    assert what in result.err
    assert len(result.err.splitlines()) == 1
    assert not out.exists()


def test_broken_soundfont(run, tmp_path):
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(b"RIFF\x10\x00\x00\x00sfbkLIST")
    result = run("data", "synthesize", "--out", tmp_path / "out", "--soundfont", broken, *OWN)
    assert result.status == 2
    assert "broken.sf2" in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_folder_with_something_else(run, tmp_path):
    (tmp_path / "my songs").mkdir()
    (tmp_path / "my songs" / "song.mp3").write_bytes(b"precious")
    result = run("data", "synthesize", "--out", tmp_path / "my songs", *OWN)
    assert result.status == 2
    assert "holds song.mp3, which is no synthesised song" in result.err
    assert (tmp_path / "my songs" / "song.mp3").read_bytes() == b"precious"


def test_interrupted(tmp_path):
    out = tmp_path / "album"
    command = [sys.executable, "-m", "partita", "data", "synthesize", "--out", out, *OWN,
               "--songs", "500", "--jobs", "2"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (out.exists() and any(out.glob("0-*"))) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.splitlines() == ["partita: interrupted"]
    songs = list(out.iterdir())
    assert 0 < len(songs) < 500
    for folder in songs:
        assert len(list(folder.iterdir())) == 6  # every song is whole


def test_training_on_songs_made_meanwhile(run, tmp_path):
    plan = tmp_path / "songs.toml"
    plan.write_text(
        'stems = ["drums", "bass"]\nduration_s = 2.0\npool_songs = 2\nexcerpts_per_song = 4\n'
        "valid_songs = 1\n"
    )
    small = ["hidden=8", "fft_samples=512", "hop_samples=256", "epochs=2", "steps_per_epoch=2",
             "batch_size=4", "excerpt_s=1", "sources=drums,bass", "bandwidth_hz=8000",
             "sample_rate=16000", "workers=1"]  # fmt: skip
    options = [part for setting in small for part in ("--set", setting)]
    result = run("train", "umx-tiny", "--data", plan, "--out", tmp_path / "whole", *options)
    assert result.status == 0, result.err
    assert not list(tmp_path.glob("**/*.flac"))
    # broken off after an epoch, it goes on to the same weights
    half = tmp_path / "half"
    first = [option.replace("epochs=2", "epochs=1") for option in options]
    assert run("train", "umx-tiny", "--data", plan, "--out", half, *first).status == 0
    result = run("train", "umx-tiny", "--data", plan, "--out", half, "--resume", *options)
    assert result.status == 0, result.err
    whole, resumed = (
        load_checkpoint(folder / "model.safetensors").state_dict()
        for folder in (tmp_path / "whole", half)
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_soundfont_of_ones_own(run, tmp_path):
    font = tiny_soundfont(tmp_path / "tiny.sf2")
    out = tmp_path / "album"
    result = run("data", "synthesize", "--out", out, "--songs", "2", "--stems", "piano,vocals",
                 "--soundfont", font, "--duration", "2", "--rate", "16000", "--mono",
                 "--jobs", "1")  # fmt: skip
    assert result.status == 0, result.err
    assert "Tiny: nobody's" in result.out
    for folder in songs_in(out):
        assert set(read(folder)) == {"mixture", "piano", "vocals"}
    missing = run("data", "synthesize", "--out", tmp_path / "no", "--stems", "flute,drums",
                  "--soundfont", font)  # fmt: skip
    assert missing.status == 2
    assert "nothing here can play the stem 'flute'" in missing.err
    assert "fluid-soundfont-gm" in missing.err
    assert not (tmp_path / "no").exists()


def test_full_disk(tmp_path):
    """A limit on the size of files acts like a disk that fills up while something is written."""
    command = [sys.executable, "-m", "partita", "data", "synthesize", "--out", tmp_path / "album",
               *OWN, "--songs", "2", "--jobs", "1"]  # fmt: skip
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list((tmp_path / "album").iterdir())


def test_broken_midi(run, tmp_path):
    (tmp_path / "midi").mkdir()
    (tmp_path / "midi/broken.mid").write_bytes(b"MThd\0\0\0\6\0\1\0\2")
    result = run("data", "synthesize", "--out", tmp_path / "out", "--midi", tmp_path / "midi")
    assert result.status == 1
    assert "broken.mid" in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
