"""``partita mix`` as people type it."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mix_songs import RATE, noise_stems, read, write_stems

STEMS = noise_stems(22050, level=0.05)


@pytest.fixture
def song(tmp_path):
    return write_stems(tmp_path / "separated" / "A song", STEMS)


def test_a_mix(run, song, tmp_path):
    result = run("mix", song, "--gain", "drums=-12,bass=+3dB", "--mute", "vocals", "-o", "a.flac")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[0] == f"{song} → a.flac"
    assert "× real time" in result.out
    wanted = STEMS["drums"] * 10 ** (-12 / 20) + STEMS["bass"] * 10 ** (3 / 20) + STEMS["other"]
    assert read(tmp_path / "a.flac") == pytest.approx(wanted, abs=1e-4)


def test_the_example_of_the_manual(run, song, tmp_path):
    pytest.importorskip("python_stretch", reason="the extra mix is not installed")
    options = ["--gain", "drums=-12", "--mute", "vocals", "--pan", "bass=-0.3"]
    result = run("mix", song, *options, "--speed", "0.8", "--pitch", "-2", "--out", "a.mp3")
    assert result.status == 0, result.err
    assert read(tmp_path / "a.mp3").shape == (2, round(22050 / 0.8))


def test_recipes_and_where_their_files_go(run, song, tmp_path):
    assert run("mix", song, "--recipe", "karaoke").status == 0
    assert (tmp_path / "mixed" / "A song (karaoke).wav").is_file()
    result = run("mix", song, "-r", "practice-pack", "--format", "ogg", "-o", "packs")
    assert result.status == 0
    assert "other.ogg, practice_vocals.ogg, practice_drums.ogg" in result.out
    assert "warning: " in result.err  # the song is too short for beats
    assert "without a click" in result.err
    assert len(list((tmp_path / "packs" / "A song").iterdir())) == 9
    assert run("mix", song, "-r", "dj-pack", "-o", "dj.zip").status == 0
    with zipfile.ZipFile(tmp_path / "dj.zip") as archive:
        assert len(archive.namelist()) == 6
    (tmp_path / "mine.toml").write_text('solo = ["bass"]\n')
    assert run("mix", song, "-r", "mine.toml", "--minus-one", "drums", "-o", "own").status == 0
    names = {path.name for path in (tmp_path / "own" / "A song").iterdir()}
    assert names == {"mix.wav", "no_drums.wav"}
    listed = run("mix", "--list-recipes")
    assert listed.status == 0
    assert "practice-STEM  STEM 12 dB quieter" in listed.out


def test_json(run, song, tmp_path):
    result = run("mix", song, "-r", "karaoke", "--loudness", "-20", "--json")
    (line,) = result.out.splitlines()
    facts = json.loads(line)
    assert facts["status"] == "done"
    assert facts["recipe"] == "karaoke"
    assert facts["files"] == {"mix": str(Path("mixed/A song (karaoke).wav"))}
    assert facts["loudness_lufs"] == -20
    assert facts["duration_s"] == 22050 / RATE
    failed = run("mix", song, "none", "-r", "karaoke", "--json")
    assert failed.status == 1
    errors = [json.loads(line) for line in failed.out.splitlines()]
    assert [each["status"] for each in errors] == ["failed", "failed"]
    assert "exists already; --overwrite replaces it" in errors[0]["error"]
    wrong = run("mix", song, "--gain", "flute=3", "--json")
    assert wrong.status == 2
    assert "there are vocals, drums" in json.loads(wrong.out)["error"]


def test_several_songs_go_on_after_one_that_fails(run, song, tmp_path):
    bad = STEMS["drums"].copy()
    bad[0, 100] = np.nan
    write_stems(tmp_path / "separated" / "Bad", {**STEMS, "drums": bad})
    write_stems(tmp_path / "separated" / "C", noise_stems(5000, ("flute", "drums")))
    (tmp_path / "separated" / "empty").mkdir()
    folders = sorted((tmp_path / "separated").iterdir())
    result = run("mix", *folders, "--gain", "vocals=-3", "-o", "out")
    assert result.status == 1
    errors = result.err.splitlines()
    assert len(errors) == 3
    assert "NaN or infinite samples" in errors[0]
    assert "no stem 'vocals'; there are drums, flute" in errors[1]
    assert "there are no stems in it" in errors[2]
    assert "4 songs: 1 done, 3 failed" in result.out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["A song.wav"]


def test_a_stem_that_no_song_has_is_wrong_usage(run, song, tmp_path):
    other = write_stems(tmp_path / "separated" / "B", STEMS)
    result = run("mix", song, other, "--solo", "flute")
    assert result.status == 2
    assert [line.count("no stem 'flute'") for line in result.err.splitlines()] == [1, 1]


def test_songs_of_one_name_do_not_replace_each_other(run, song, tmp_path):
    other = write_stems(tmp_path / "other" / "A song", STEMS)
    result = run("mix", song, other, "--overwrite")
    assert result.status == 1
    assert f"its files would replace those of {song}" in result.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gain", "drms=3"], "--gain: no stem 'drms'; there are vocals, drums, bass, other"),
        (["--gain", "drums"], "--gain drums is not of the form STEM=NUMBER"),
        (["--gain", "drums=loud"], "--gain drums=loud is not of the form STEM=NUMBER"),
        (["--gain", "drums=99"], "gain of drums must be a finite number from -120 to 24"),
        (["--pan", "drums=2"], "pan of drums must be"),
        (["--speed", "3"], "speed must be a finite number from 0.5 to 1.5"),
        (["--mute", "no_vocals,vocals"], "the mix would be silent: --mute and --solo leave no"),
        (["--recipe", "practise-bass"], "unknown recipe 'practise-bass'"),
        (["--recipe", "none.toml"], "none.toml: cannot be read"),
        (["-o", "a.aiff"], "unknown format 'aiff'"),
        (["-o", "a.mp3", "--format", "wav"], "--format wav and --out a.mp3 contradict"),
        (["-o", "a.mp3", "-r", "dj-pack"], "is one file, but there are 6 tracks"),
        (["--minus-one", "flute", "-o", "x"], "no stem"),
    ],
)
def test_wrong_usage_is_one_line(run, song, tmp_path, options, message):
    result = run("mix", song, *options)
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["separated"]


def test_one_file_for_several_songs(run, song, tmp_path):
    result = run("mix", song, write_stems(tmp_path / "b", STEMS), "-o", "a.wav")
    assert (result.status, len(result.err.splitlines())) == (2, 1)
    assert "takes one song, not 2: name a folder" in result.err


def test_out_is_never_an_input(run, song):
    before = (song / "drums.wav").read_bytes()
    result = run("mix", song, "--overwrite", "-o", song / "drums.wav")
    assert result.status == 1
    assert "would overwrite an input" in result.err
    assert (song / "drums.wav").read_bytes() == before


def test_out_in_a_place_that_is_none(run, song, tmp_path):
    (tmp_path / "file").write_text("x")
    for out in ("file/a.wav", "file/a.zip"):
        result = run("mix", song, "-o", out)
        assert (result.status, len(result.err.splitlines())) == (1, 1)
        assert "cannot write" in result.err


def test_quiet(run, song):
    result = run("mix", song, "-q")
    assert (result.status, result.out, result.err) == (0, "", "")
