"""``--resume``: stems that are there do only where they are what was asked for."""

import json
import os

import numpy as np
import pytest
import soundfile
import torch

from common import SMALL_UNET
from partita.models import create_model
from partita.weights.checkpoint import save_checkpoint

STEMS = ("voice", "flute", "rest")


@pytest.fixture
def resume(run, tiny_model):
    """Separate with --resume; returns the status of the only song, and why it was redone."""

    def go(*arguments, model=tiny_model):
        result = run("separate", "--name", model, *arguments, "--resume", "--json")
        assert result.status == 0, result.err
        (line,) = result.out.splitlines()
        outcome = json.loads(line)
        return outcome["status"], outcome.get("redone", "")

    return go


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "separated/tiny/song"


def record(folder):
    (path,) = folder.glob(".stems-*.json")
    return path


def test_what_is_as_asked_for_is_kept(resume, run, tiny_model, write_song, folder):
    song = write_song()
    assert resume(song) == ("done", "")
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert resume(song) == ("skipped", "")
    # What does not change a sample is no reason: time stamps, seeds of nothing, where it runs.
    os.utime(song)
    for flags in (["--seed", "3"], ["--precision", "float32"], ["--device", "cpu"], ["-j", "2"]):
        assert resume(song, *flags) == ("skipped", "")
    for path in folder.glob("*.wav"):
        os.utime(path, ns=(0, times[path]))
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    result = run("separate", "-n", tiny_model, song, "--resume")
    assert "(finished earlier, skipped)" in result.out


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--start", "1"], "start"),
        (["--duration", "1"], "duration"),
        (["--segment", "1"], "segment"),
        (["--overlap", "0.5"], "overlap"),
        (["--shifts", "1", "--seed", "1"], "seed, shifts"),
        (["--precision", "bfloat16"], "precision"),
        (["--wiener", "1"], "wiener"),
        (["--sum-to-mix"], "sum-to-mix"),
        (["--keep-rate"], "keep-rate"),
        (["--bits", "24"], "bits"),
        (["--start", "0.5", "--overlap", "0.4"], "overlap, start"),
    ],
)
def test_other_options(resume, write_song, folder, flags, named):
    song = write_song()
    assert resume(song) == ("done", "")
    before = (folder / "flute.wav").read_bytes()
    assert resume(song, *flags) == ("done", f"other options: {named}")
    if named != "keep-rate":  # which changes nothing at 44.1 kHz in stereo
        assert (folder / "flute.wav").read_bytes() != before
    assert resume(song, *flags) == ("skipped", "")
    assert resume(song) == ("done", f"other options: {named}")


def test_other_bit_rates(resume, write_song):
    song = write_song()
    for bitrate in ("96k", "128k"):
        assert resume(song, "--format", "mp3", "--bitrate", bitrate)[0] == "done"
    assert resume(song, "--format", "mp3", "--bitrate", "128") == ("skipped", "")


def test_other_weights_under_the_same_name(resume, write_song, tmp_path):
    song, path = write_song(), tmp_path / "own.safetensors"
    config = {"sources": ["voice", "flute", "rest"], **SMALL_UNET}
    for seed in (1, 2):
        torch.manual_seed(seed)
        save_checkpoint(path, create_model("unet", config).eval())
        assert resume(song, model=path) == ("done", "other weights" if seed == 2 else "")
    assert resume(song, model=path) == ("skipped", "")


def test_another_model_into_the_same_files(resume, write_song):
    song, flags = write_song(), ["--filename", "{track}-{stem}.{ext}", "--stems", "vocals"]
    assert resume(song, *flags, model="repet") == ("done", "")
    assert resume(song, *flags, model="spleeter-2stems")[1] == "other model: repet"


def test_a_changed_song(resume, write_song, song):
    path = write_song()
    assert resume(path) == ("done", "")
    write_song(samples=song[:, ::-1])  # of the same size
    assert resume(path) == ("done", "the song changed")
    write_song(samples=song[:, :44100])
    assert resume(path) == ("done", "the song changed")
    assert resume(path) == ("skipped", "")


def test_a_long_song_changed_in_its_middle(resume, write_song, song):
    samples = np.tile(song, 12)
    path = write_song(samples=samples)
    assert resume(path, "--duration", "1") == ("done", "")
    samples = np.array(samples)
    samples[:, samples.shape[1] // 2 :] *= 0.5
    write_song(samples=samples)
    assert resume(path, "--duration", "1") == ("done", "the song changed")


def test_another_song_of_one_name(resume, write_song, song):
    assert resume(write_song("a/song.wav")) == ("done", "")
    other = write_song("b/song.wav", song[:, ::-1])
    assert resume(other) == ("done", "the song changed")
    flac = write_song("c/song.flac")
    assert resume(flac) == ("done", "made of song.wav")


@pytest.mark.parametrize("damage", ["empty", "cut", "replaced", "missing"])
def test_stems_that_changed_since(resume, write_song, folder, damage):
    song = write_song()
    assert resume(song) == ("done", "")
    path = folder / "flute.wav"
    content = path.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(content[:-1000])
    elif damage == "replaced":
        path.write_bytes((folder / "voice.wav").read_bytes())
        assert path.stat().st_size == len(content)
    else:
        path.unlink()
    reason = "flute.wav is missing" if damage == "missing" else "flute.wav changed"
    assert resume(song) == ("done", reason)
    assert path.read_bytes() == content


def test_formats_side_by_side(resume, write_song):
    song = write_song()
    for form in ("wav", "flac"):
        assert resume(song, "--format", form) == ("done", "")
    for form in ("wav", "flac"):
        assert resume(song, "--format", form) == ("skipped", "")


def test_stems_of_two_runs_are_no_set(resume, run, tiny_model, write_song):
    song = write_song()
    assert resume(song) == ("done", "")
    only = ["--stems", "flute", "--overlap", "0.5", "--overwrite"]
    assert run("separate", "-n", tiny_model, song, *only).status == 0
    status, reason = resume(song)
    assert status == "done"
    assert reason == "stems of several runs"


@pytest.mark.parametrize(
    "template", ["{track}-{stem}.{ext}", "{stem}/{track}.{ext}", "{track}/{stem}", "{stem} {track}"]
)
def test_a_record_for_each_song(run, tiny_model, write_song, song, template, tmp_path):
    for index in range(3):
        write_song(f"album/{index}.wav", song[:, : 20000 + index])
    write_song("album/disc 2/0.wav", song[:, :30000])
    flags = ["album", "--filename", template, "--json", "--resume"]
    for status in ("done", "skipped"):
        result = run("separate", "-n", tiny_model, *flags)
        assert [json.loads(line)["status"] for line in result.out.splitlines()] == [status] * 4
    assert len(list((tmp_path / "separated").rglob(".stems-*.json"))) == 4


def test_one_file_for_all_stems(resume, write_song, tmp_path):
    song, flags = write_song(), ["--format", "stem.mp4", "--filename", "{track}.{ext}"]
    assert resume(song, *flags) == ("done", "")
    assert resume(song, *flags) == ("skipped", "")
    assert resume(song, *flags, "--stems", "voice,rest") == ("done", "other options: stems")
    record(tmp_path / "separated").unlink()
    assert resume(song, *flags) == ("skipped", "")


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_stems_without_a_record_are_kept_where_they_fit(resume, write_song, folder, form):
    song, flags = write_song(), ["--format", form]
    assert resume(song, *flags) == ("done", "")
    record(folder).unlink()
    assert resume(song, *flags) == ("skipped", "")
    assert resume(song, *flags, "--duration", "2")[1].startswith(f"voice.{form} is 4.0 s long")


@pytest.mark.parametrize("damage", ["empty", "cut", "short", "text"])
def test_stems_without_a_record_are_redone_where_they_do_not_fit(
    resume, write_song, folder, damage
):
    song = write_song()
    assert resume(song) == ("done", "")
    record(folder).unlink()
    path = folder / "rest.wav"
    content = path.read_bytes()
    samples, rate = soundfile.read(path)
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "short":
        soundfile.write(path, samples[:-10000], rate)
    else:
        path.write_text("not audio")
    status, reason = resume(song)
    assert status == "done"
    assert reason.startswith("rest.wav ")
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "partita-stems-1", "sets": [{}]}'])
def test_a_damaged_record(resume, write_song, folder, content):
    song = write_song()
    assert resume(song) == ("done", "")
    record(folder).write_text(content)
    assert resume(song) == ("done", "the record beside the stems is damaged")
    assert resume(song) == ("skipped", "")


def test_overwrite_replaces_and_records(resume, run, tiny_model, write_song, folder):
    song = write_song()
    assert run("separate", "-n", tiny_model, song).status == 0
    stem = folder / "voice.wav"
    stem.write_bytes(b"mine")
    refused = run("separate", "-n", tiny_model, song)
    assert refused.status == 1
    assert "exists already; --overwrite replaces it, --resume skips" in refused.err
    assert stem.read_bytes() == b"mine"
    assert run("separate", "-n", tiny_model, song, "--overwrite", "--overlap", "0.5").status == 0
    assert len(stem.read_bytes()) > 1000
    assert resume(song, "--overlap", "0.5") == ("skipped", "")


def test_what_fails_leaves_stems_and_record_as_they_were(resume, run, tiny_model, write_song, song):
    path = write_song()
    assert resume(path) == ("done", "")
    content = path.read_bytes()
    path.write_bytes(b"no audio")
    failed = run("separate", "-n", tiny_model, path, "--resume")
    assert failed.status == 1
    path.write_bytes(content)
    assert resume(path) == ("skipped", "")


def test_pictures_that_are_missing(run, write_song, tmp_path):
    flags = ["separate", write_song(), "--model", "hpss", "--duration", "0.5", "--resume"]
    assert run(*flags).status == 0
    result = run(*flags, "--figures")
    assert "(redone: spectrograms.png is missing)" in result.out
    assert "skipped" in run(*flags, "--figures").out
    assert "skipped" in run(*flags).out


def test_no_weights_are_loaded_to_skip_songs(resume, write_song, tmp_path, tiny_model):
    song, model = write_song(), tmp_path / "tiny.safetensors"
    model.write_bytes(tiny_model.read_bytes())
    assert resume(song, model=model) == ("done", "")
    content = bytearray(model.read_bytes())
    content[-4:] = b"\xff\xff\xff\xff"  # a NaN: loading would find it
    model.write_bytes(bytes(content))
    assert resume(song, model=model) == ("skipped", "")
