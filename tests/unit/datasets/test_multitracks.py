"""MoisesDB, Slakh2100 and MedleyDB, in small."""

import json

import numpy as np
import pytest

from partita.datasets import open_dataset
from partita.errors import AudioReadError

SLAKH = """\
UUID: 1a81ae092884234f3264e2f45927f00a
audio_dir: stems
normalized: true
stems:
  S00:
    audio_rendered: true
    inst_class: Guitar
    is_drum: false
    plugin_name: elektrik_guitar.nkm
  S01:
    inst_class: Guitar
  S02:
    inst_class: Strings (continued)
  S03:
    inst_class: Drums
    is_drum: true
  S04:
    audio_rendered: false
    inst_class: Piano
target_peak: -1.0
"""
MEDLEY = """\
album: None
artist: AClassicEducation
stems:
  S01:
    component: bass
    filename: AClassicEducation_NightOwl_STEM_01.wav
    instrument: electric bass
    raw:
      R01:
        filename: AClassicEducation_NightOwl_RAW_01_01.wav
        instrument: electric bass
  S02:
    instrument: drum set
  S03:
    instrument:
    - clean electric guitar
  S04:
    instrument: [male singer, female singer]
title: Night Owl
"""


@pytest.fixture
def slakh(tmp_path, write):
    for subset, name in (("train", "Track00001"), ("validation", "Track01501")):
        folder = f"data/{subset}/{name}"
        for stem in ("S00", "S01", "S02", "S03"):
            write(f"{folder}/stems/{stem}.flac")
        write(f"{folder}/mix.flac")
        (tmp_path / folder / "metadata.yaml").write_text(SLAKH)
    return tmp_path / "data"


@pytest.fixture
def medleydb(tmp_path, write):
    name = "AClassicEducation_NightOwl"
    for number in range(1, 5):
        write(f"data/Audio/{name}/{name}_STEMS/{name}_STEM_0{number}.wav")
        write(f"data/Audio/{name}/{name}_RAW/{name}_RAW_0{number}_01.wav")
    write(f"data/Audio/{name}/{name}_MIX.wav")
    (tmp_path / f"data/Audio/{name}/{name}_METADATA.yaml").write_text(MEDLEY)
    return tmp_path / "data"


@pytest.fixture
def moisesdb(tmp_path, write):
    for track in ("0a1b", "2c3d"):
        for name in ("vocals/lead", "vocals/backing", "drums/kick", "other_keys/organ"):
            write(f"data/moisesdb_v0.1/{track}/{name}.wav")
        facts = {"song": f"Song {track}", "artist": "Anna", "stems": [{"stemName": "vocals"}]}
        (tmp_path / f"data/moisesdb_v0.1/{track}/data.json").write_text(json.dumps(facts))
    return tmp_path / "data"


def test_slakh(slakh):
    data = open_dataset(slakh)
    assert (data.layout, data.problems) == ("slakh", ())
    assert [(track.name, track.subset) for track in data] == [
        ("Track00001", "train"), ("Track01501", "valid")
    ]  # fmt: skip
    track = data.tracks[0]
    assert list(track.stems) == ["drums", "guitar", "strings"]
    assert track.mixture.path.name == "mix.flac"
    assert [path.name for path in track.stems["guitar"].paths] == ["S00.flac", "S01.flac"]


def test_slakh_without_metadata_is_a_problem_of_that_track(slakh):
    (slakh / "train/Track00001/metadata.yaml").unlink()
    data = open_dataset(slakh)
    assert [track.name for track in data] == ["Track01501"]
    (problem,) = data.problems
    assert str(problem).startswith("Track00001: metadata.yaml: No such file")


def test_without_any_metadata_it_is_no_other_layout(slakh, medleydb):
    for path in slakh.parent.rglob("*.yaml"):
        path.unlink()
    for root, layout, count in ((slakh / "train", "slakh", 1), (medleydb / "Audio", "medleydb", 1)):
        data = open_dataset(root)
        assert (data.layout, len(data), len(data.problems)) == (layout, 0, count)
        assert "its stems have no names, left out" in str(data.problems[0])


def test_medleydb(medleydb):
    data = open_dataset(medleydb)
    assert (data.layout, data.problems) == ("medleydb", ())
    (track,) = data
    assert track.name == "AClassicEducation_NightOwl"
    assert list(track.stems) == ["vocals", "drums", "bass", "clean_electric_guitar"]
    assert track.mixture.path.name == "AClassicEducation_NightOwl_MIX.wav"


def test_moisesdb(moisesdb):
    data = open_dataset(moisesdb)
    assert (data.layout, data.problems) == ("moisesdb", ())
    assert [track.name for track in data] == ["Anna - Song 0a1b", "Anna - Song 2c3d"]
    assert list(data.tracks[0].stems) == ["vocals", "drums", "other_keys"]
    one = open_dataset(moisesdb / "moisesdb_v0.1/0a1b")
    assert (one.layout, one.is_one_track, len(one)) == ("moisesdb", True, 1)


def test_several_files_a_stem_without_data_json(tmp_path, write):
    for song in ("One", "Two"):
        for name in ("vocals/lead", "vocals/choir", "drums/kick", "mixture"):
            write(f"data/{song}/{name}.wav")
    data = open_dataset(tmp_path / "data")
    assert data.layout == "moisesdb"
    assert [list(track.stems) for track in data] == [["vocals", "drums"]] * 2
    assert data.tracks[0].mixture is not None


@pytest.mark.parametrize("make", ["slakh", "medleydb", "moisesdb"])
def test_never_one_track_named_mix(make, request):
    data = open_dataset(request.getfixturevalue(make))
    assert not {"mix", "mixture"} & {track.name for track in data}
    assert not {"mix", "mixture"} & {stem for track in data for stem in track.stems}


def test_slakh_without_its_mix_is_the_sum_of_its_stems(slakh):
    (slakh / "train/Track00001/mix.flac").unlink()
    data = open_dataset(slakh)
    assert (data.layout, data.problems) == ("slakh", ())
    assert [track.mixture is None for track in data] == [True, False]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (["mix", "MIDI/S00"], "has a mixture but no stems"),
        (["A_B_MIX"], "has no folder A_B_STEMS"),
        (["A_B_MIX", "A_B_RAW/A_B_RAW_01_01"], "has no folder A_B_STEMS"),
        (["A_B_MIX", "A_B_stems/A_B_STEM_01"], "its stems have no names"),
        (["stems/S00", "stems/S01"], "its stems have no names"),
    ],
)
def test_what_lacks_a_piece_is_no_song_called_mix(tmp_path, write, files, problem):
    for name in files:
        if "MIDI" in name:
            (tmp_path / f"data/A_B/{name}.mid").parent.mkdir(parents=True)
            (tmp_path / f"data/A_B/{name}.mid").touch()
        else:
            write(f"data/A_B/{name}.wav")
    data = open_dataset(tmp_path / "data")
    assert len(data) == 0
    (found,) = data.problems
    assert problem in str(found)


def test_moisesdb_whose_data_json_is_broken(tmp_path, write):
    for song in ("0a1b", "2c3d"):
        write(f"data/{song}/vocals/lead.wav")
        (tmp_path / f"data/{song}/data.json").write_text('{"song":')
    data = open_dataset(tmp_path / "data")
    assert [(track.name, list(track.stems)) for track in data] == [
        ("0a1b", ["vocals"]), ("2c3d", ["vocals"])
    ]  # fmt: skip


def test_a_stem_is_the_sum_of_its_files(tmp_path, write, noise):
    one, other, mono = noise(1), noise(2, samples=5000), noise(3, channels=1)
    for name, samples in (("a", one), ("b", other), ("c", mono)):
        write(f"data/Song/vocals/{name}.wav", samples)
    write("data/Song/drums/x.wav", noise(4))
    (track,) = open_dataset(tmp_path / "data", layout="moisesdb")
    expected = one + np.pad(other, ((0, 0), (0, 3000))) + mono
    assert track.stems["vocals"].header.samples == 8000
    np.testing.assert_allclose(track.load("vocals").samples, expected, atol=1e-7)
    late = track.load("vocals", start_s=0.75, duration_s=0.125).samples
    np.testing.assert_allclose(late, expected[:, 6000:7000], atol=1e-7)
    mixture = track.load("mixture").samples
    np.testing.assert_allclose(mixture, expected + noise(4), atol=1e-7)


def test_files_of_one_stem_at_different_rates(tmp_path, write):
    write("data/Song/vocals/a.wav")
    write("data/Song/vocals/b.wav", rate=16000)
    write("data/Song/drums/x.wav")
    (track,) = open_dataset(tmp_path / "data", layout="moisesdb")
    with pytest.raises(AudioReadError, match="different sample rates: 8000 Hz and 16000 Hz"):
        track.load("vocals")


@pytest.mark.parametrize(
    "text", ["", "stems:", "\0\xff" * 1000, "  S00:\n" * 100_000, "- - - [[[", "stems: &a [*a, *a]"]
)
def test_broken_metadata_is_one_line(slakh, text):
    (slakh / "train/Track00001/metadata.yaml").write_text(text, "latin-1")
    data = open_dataset(slakh)
    assert [track.name for track in data] == ["Track01501"]
    assert "does not name S00, left out" in str(data.problems[0])


@pytest.mark.parametrize("make", ["slakh", "medleydb", "moisesdb"])
def test_folders_that_are_no_track_are_told(make, request):
    root = request.getfixturevalue(make)
    tracks = len(open_dataset(root))
    (root / "Empty").mkdir()
    data = open_dataset(root)
    assert (data.layout, len(data), data.problems) == (make, tracks, ())
    assert [str(warning) for warning in data.warnings] == [
        "Empty: holds no track of this layout, left out"
    ]
