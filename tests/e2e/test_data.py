"""``partita data``."""

import json

import numpy as np
import pytest
import soundfile


@pytest.fixture
def album(tmp_path):
    """Write a data set of three tracks, with one problem on request."""

    def write(*, broken=False):
        for index, name in enumerate(("Anna - One", "Berta - [Two]", "Carla - Three")):
            generator = np.random.default_rng(index)
            for stem in ("vocals", "drums"):
                path = tmp_path / "album" / "train" / name / f"{stem}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, generator.uniform(-0.1, 0.1, (16000, 2)), 8000)
        if broken:
            (tmp_path / "album/train/Anna - One/drums.wav").unlink()
        return tmp_path / "album"

    return write


def test_info(run, album):
    result = run("data", "info", album())
    assert (result.status, result.err) == (0, "")
    header, first, second, _, _, totals, verdict = result.out.splitlines()
    assert header.split() == ["track", "subset", "stems", "rate", "channels", "length"]
    assert first.split() == ["Anna", "-", "One", "train", "vocals,", "drums", "8000", "Hz", "2",
                             "0:02"]  # fmt: skip
    assert second.startswith("Berta - [Two]")
    assert totals.endswith("album: layout tracks · 3 tracks (3 train) · 0:06 · 8000 Hz")
    assert verdict == "no problems found"


def test_problems_give_status_1(run, album):
    result = run("data", "info", album(broken=True), "--layout", "tracks")
    assert result.status == 1
    assert "· 1 problem\n" in result.out
    assert result.out.splitlines()[-1] == (
        "problem: Anna - One: lacks drums, which most tracks have"
    )


def write_sources(folder, names):
    for seed, name in enumerate(names):
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        generator = np.random.default_rng(seed)
        soundfile.write(path, generator.uniform(-0.1, 0.1, (8000 * (1 + seed), 2)), 8000)


def test_a_folder_a_source_with_unrelated_files(run, tmp_path):
    write_sources(tmp_path / "own", ["vocals/x", "vocals/y", "vocals/z", "drums/a"])
    result = run("data", "info", "own")
    assert (result.status, result.err) == (0, "")
    assert "own: layout unaligned · 4 tracks" in result.out
    assert "each folder is a source with unrelated files" in result.out
    scored = run("benchmark", "--data", "own", "-n", "mixture")
    assert scored.status == 2
    assert "there are no songs to score" in scored.err


def test_unusual_sources_need_the_layout_named(run, tmp_path):
    write_sources(tmp_path / "own", ["theremin/x", "theremin/y", "kazoo/a", "kazoo/b"])
    result = run("data", "info", "own")
    assert "say so: --layout unaligned" in result.out
    named = run("data", "info", "own", "--layout", "unaligned")
    assert (named.status, named.err) == (0, "")
    assert "warning" not in named.out


def test_quick_reads_headers_only(run, album):
    root = album()
    samples, rate = soundfile.read(root / "train/Anna - One/drums.wav")
    soundfile.write(root / "train/Anna - One/drums.wav", samples * np.nan, rate, "FLOAT")
    assert "NaN or infinite" in run("data", "info", root).out
    result = run("data", "info", root, "--quick")
    assert result.status == 0
    assert result.out.endswith("no problems found in the headers\n")


def test_json(run, album):
    result = run("data", "info", album(broken=True), "--json")
    assert (result.status, result.err) == (1, "")
    facts = json.loads(result.out)
    assert facts["layout"] == "tracks"
    assert facts["problems"] == [
        {"where": "Anna - One", "what": "lacks drums, which most tracks have"}
    ]
    assert facts["tracks"][1] == {
        "name": "Berta - [Two]",
        "subset": "train",
        "stems": ["vocals", "drums"],
        "has_mixture": False,
        "sample_rate": 8000,
        "channels": 2,
        "duration_s": 2.0,
    }


def test_broken_stem_mp4(run, tmp_path):
    (tmp_path / "A - B.stem.mp4").write_bytes(b"no mp4" * 100)
    result = run("data", "info", ".")
    assert result.status == 1
    assert "0 tracks" in result.out
    assert "problem: A - B.stem.mp4: cannot be decoded, left out" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["empty"], "empty: the folder is empty"),
        (["notes.txt"], "notes.txt: is a file, not a data set"),
        (["songs.csv"], "songs.csv: has no column 'track'"),
        (["empty", "--layout", "nus"], "unknown layout 'nus'; known: auto, csv"),
        ([], "ROOT"),
    ],
)
def test_wrong_usage(run, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("?")
    (tmp_path / "songs.csv").write_text("song\n")
    result = run("data", "info", *arguments)
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert result.out == ""


def test_an_empty_song_folder_is_told(run, album, tmp_path):
    """A warning: everything else is as it should be."""
    root = album()
    (root / "Empty").mkdir()
    told = "warning: Empty: holds no audio, left out"
    result = run("data", "info", root)
    assert (result.status, result.err) == (0, "")
    assert told in result.out.splitlines()
    for flags in (["benchmark", "--data", root, "-n", "mixture"], ["evaluate", root, root]):
        result = run(*flags, "--quiet")
        assert result.err == ""
        result = run(*flags)
        assert f"partita: {told}" in result.err.splitlines()
