"""A Separator as people use it: files, audio and arrays in, files and audio out."""

import json
import pickle

import numpy as np
import pytest
import torch

from partita import Audio, Estimates, Separator, load_audio
from partita.errors import AudioReadError, AudioWriteError, UsageError
from partita.models import create_model


@pytest.fixture(scope="module")
def separator():
    return Separator("hpss")


def test_files_audio_and_arrays_are_one_mixture(separator, write_song, song):
    path = write_song(subtype="FLOAT")
    expected = separator(song, 44100)
    for mixture in (path, str(path), load_audio(path)):
        found = separator(mixture)
        assert list(found) == ["harmonic", "percussive", "residual"]
        for stem in found:
            assert torch.equal(found[stem].samples, expected[stem].samples)
    seen = []
    excerpt = separator(
        path, start_s=1, duration_s=0.5, keep_rate=True, progress=lambda *at: seen.append(at)
    )
    assert excerpt["harmonic"].duration_s == 0.5
    assert seen[-1] == (0.5, 0.5)
    assert separator(Audio(torch.from_numpy(song), 44100), 44100)["percussive"].channels == 2


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.zeros((2, 9), np.float32),), {}, "an array needs `sample_rate`"),
        ((Audio(torch.zeros(2, 9), 8000), 44100), {}, "the audio is at 8000 Hz"),
        ((Audio(torch.zeros(2, 9), 8000),), {"start_s": 1.0}, "are for files"),
        ((np.zeros((2, 9), np.float32), 8000), {"stream": 1}, "are for files"),
        ((np.zeros((2, 9), np.float32), 44100.5), {}, "must be a positive integer"),
        (([1, 2],), {}, "an array needs"),
    ],
)
def test_what_does_not_fit_is_one_line(separator, arguments, options, message):
    with pytest.raises(UsageError, match=message):
        separator(*arguments, **options)


def test_a_files_own_rate(separator, write_song):
    path = write_song()
    assert separator(path, 44100)["harmonic"].sample_rate == 44100
    with pytest.raises(UsageError, match=r"song\.wav is at 44100 Hz, not 8000"):
        separator(path, 8000)


def test_models_fit_into_a_line(separator):
    (model,) = separator.models
    assert repr(model).startswith("WindowedModel('hpss': windows of ")
    (whole,) = Separator("repet").models
    assert repr(whole) == "WindowedModel('repet': whole tracks, cpu)"


def test_a_stem_keeps_no_other_one(separator, song):
    stem = separator(song, 44100)["harmonic"]
    bytes_of_one = song.size * 4
    assert stem.samples.untyped_storage().nbytes() == bytes_of_one
    assert len(pickle.dumps(stem)) < bytes_of_one + 2000
    again = pickle.loads(pickle.dumps(stem))
    assert np.array_equal(again, stem)


@pytest.mark.slow
def test_files_in_files_out_as_the_command_does(separator, write_song, song, tmp_path, run):
    path = write_song(samples=song[:, :88200])
    seen = []
    result = separator.separate(path, tmp_path / "out", format="flac", bits=24,
                                progress=lambda *at: seen.append(at))  # fmt: skip
    assert (result.status, result.name) == ("done", str(path))
    assert result.paths["harmonic"] == tmp_path / "out/hpss/song/harmonic.flac"
    assert repr(result) == f"Outcome({str(path)!r} done: harmonic, percussive, residual)"
    assert repr(result.files).startswith("StemFiles(harmonic, percussive, residual: 2.000 s, 441")
    assert seen[-1] == (2.0, 2.0)
    assert result.files.null_depth_db < -80
    command = ("separate", path, "-n", "hpss", "--format", "flac", "--bits", "24", "--out")
    assert run(*command, "other").status == 0
    for stem, made in result.paths.items():
        assert made.read_bytes() == (tmp_path / f"other/hpss/song/{stem}.flac").read_bytes()
    # What made them is recorded in the same words.
    told = run(*command, "out", "--resume", "--json")
    assert json.loads(told.out)["status"] == "skipped"
    again = separator.separate(path, tmp_path / "other", format="flac", bits=24, resume=True)
    assert again.status == "skipped"
    other = Separator("hpss", shifts=1).separate(path, "other", format="flac", resume=True)
    assert other.redone == "other options: bits, seed, shifts"


def test_errors_of_one_file_are_raised(separator, write_song, tmp_path):
    with pytest.raises(AudioReadError, match=r"missing\.wav: no such file"):
        separator.separate(tmp_path / "missing.wav", tmp_path / "out")
    with pytest.raises(AudioReadError, match="is a web address: download the song first"):
        separator.separate("https://example.org/song.mp3", tmp_path / "out")
    path = write_song("album/song.wav")
    separator.separate(path, tmp_path / "out")
    with pytest.raises(AudioWriteError, match="`overwrite=True` replaces it"):
        separator.separate(path, tmp_path / "out")
    with pytest.raises(UsageError, match="album is not a single file: use separate_many"):
        separator.separate(path.parent, tmp_path / "out")
    for options, message in (
        ({"resume": True, "overwrite": True}, "`resume` and `overwrite` exclude each other"),
        ({"duration_s": 0}, "`duration_s` 0 is not"),
        ({"filename": "{x}"}, "unknown field {x}"),
        ({"format": "wma"}, "unknown format 'wma'"),
    ):
        with pytest.raises(UsageError, match=message):
            separator.separate(path, tmp_path / "out", **options)


def test_options_of_the_command_are_options_here():
    with pytest.raises(UsageError, match=r"umxl is not clearly free for commercial use.*`commerc"):
        Separator("umxl", commercial_only=True)
    assert Separator("hpss", commercial_only=True).sources
    with pytest.raises(UsageError, match="`config` describes a checkpoint file"):
        Separator("hpss", config="hpss.yaml")


def test_many_files(separator, write_song, tmp_path, song):
    for name in ("a", "b"):
        write_song(f"album/{name}.wav", song[:, :22050])
    (tmp_path / "broken.wav").write_text("no audio")
    seen = []
    results = separator.separate_many([tmp_path / "album", tmp_path / "broken.wav"],
                                      tmp_path / "out", jobs=2,
                                      progress=lambda *at: seen.append(at))  # fmt: skip
    first = next(results)
    assert (first.status, first.paths["harmonic"].is_file()) == ("done", True)
    second, failed = results
    assert (second.status, failed.status) == ("done", "failed")
    assert isinstance(failed.exception, AudioReadError)
    assert seen[-1] == (1.0, None)
    again = separator.separate_many(str(tmp_path / "album"), tmp_path / "out", resume=True)
    assert [result.status for result in again] == ["skipped", "skipped"]
    with pytest.raises(UsageError, match="`jobs` 0"):
        separator.separate_many([tmp_path / "album"], tmp_path / "out", jobs=0)


def test_models_in_memory_separate_files(write_song, tmp_path, song):
    path = write_song(samples=song[:, :22050])
    model = create_model("hpss", {"sources": ["harmonic", "percussive", "residual"]})
    result = Separator(model).separate(path, tmp_path)
    assert result.paths["residual"] == tmp_path / "hpss/song/residual.wav"
    assert Separator(model).separate(path, tmp_path, resume=True).status == "skipped"


def test_saved_stems_fit_into_a_line(tmp_path):
    loud = Audio(torch.full((1, 100), 2.0), 8000)
    saved = Estimates({"a": loud, "b": loud}, None).save(tmp_path)
    paths = f"{tmp_path / 'a.wav'}, {tmp_path / 'b.wav'}"
    assert repr(saved) == f"SavedStems({paths}; gain {saved.gain_db:.2f} dB)"
    assert saved.gain_db < -6
