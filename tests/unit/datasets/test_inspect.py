import numpy as np
import pytest
import torch

import example_song
from partita.audio.signal import Audio
from partita.datasets import open_dataset
from partita.datasets.inspect import inspect_dataset

pytestmark = pytest.mark.slow

RATE = 8000


@pytest.fixture
def inspect(tmp_path):
    """Inspect the data set in the test's folder; returns report and problems as lines."""

    def inspect_data(**options):
        report = inspect_dataset(open_dataset(tmp_path / "data"), **options)
        return report, [str(problem) for problem in report.problems]

    return inspect_data


def test_good_data_set(inspect, write_track):
    write_track("data/train/A", ("vocals", "rest"), mixture=True, seed=1)
    write_track("data/test/B", ("vocals", "rest"), seed=2)
    report, problems = inspect()
    assert problems == []
    assert report.warnings == []
    first, second = report.tracks
    assert (first.name, first.subset, first.has_mixture) == ("A", "train", True)
    assert (second.sample_rate, second.channels, second.duration_s) == (RATE, 2, 1.0)
    assert second.stems == ("vocals", "rest")


def test_problems_of_opening_are_listed(inspect, write_track):
    write_track("data/train/A", seed=1)
    write_track("data/test/A", seed=2)
    _, problems = inspect(deep=False)
    assert problems == ["A: two tracks have this name (train and test), the second is left out"]


def test_missing_stems(inspect, write_track):
    for seed, name in enumerate("ABC"):
        write_track(f"data/{name}", ("vocals", "drums", "other"), seed=seed)
    write_track("data/D", ("vocals", "flute"), seed=9)
    _, problems = inspect(deep=False)
    assert problems == ["D: lacks drums, other, which most tracks have"]


def test_files_that_do_not_fit_each_other(inspect, write, noise):
    write("data/Rate/vocals.wav")
    write("data/Rate/drums.wav", rate=16000)
    write("data/Channels/vocals.wav")
    write("data/Channels/drums.wav", noise(channels=1))
    write("data/Length/vocals.wav", noise(1, 20000))
    write("data/Length/drums.wav", noise(2, 20000 - 8193))
    write("data/Padding/vocals.wav", noise(3, 20000))
    write("data/Padding/drums.wav", noise(4, 20000 - 8192))
    _, problems = inspect()
    assert problems == [
        "Channels: different channel counts: 1 (drums), 2 (vocals)",
        "Length: different lengths: 11807 samples (drums), 20000 samples (vocals)",
        "Rate: different sample rates: 8000 Hz (vocals), 16000 Hz (drums)",
    ]


def test_broken_and_empty_files(inspect, tmp_path, write):
    write("data/A/vocals.wav")
    write("data/A/drums.wav")
    (tmp_path / "data/A/drums.wav").write_bytes(b"noise" * 100)
    (tmp_path / "data/A/bass.wav").touch()
    report, problems = inspect()
    assert len(problems) == 2
    assert "drums.wav: not an audio file that can be decoded" in problems[0]
    assert "bass.wav: the file is empty (0 bytes)" in problems[1]
    assert report.tracks[0].duration_s == 1.0


def test_a_track_of_which_nothing_can_be_read(inspect, tmp_path):
    for name in ("vocals", "drums"):
        path = tmp_path / f"data/A/{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    report, problems = inspect()
    assert len(problems) == 2
    assert report.tracks[0].sample_rate is report.tracks[0].duration_s is None


def test_nan(inspect, write, noise):
    bad = noise(1)
    bad[:, 4000] = np.nan
    write("data/A/vocals.wav", bad)
    write("data/A/drums.wav")
    _, problems = inspect(deep=False)
    assert problems == []
    _, (problem,) = inspect()
    assert "vocals.wav: NaN or infinite samples from 0.500 s on" in problem


def test_damaged_file(inspect, tmp_path, write, noise):
    path = write("data/A/vocals.wav", noise(1, 40000))
    write("data/A/drums.wav", noise(2, 40000))
    path.write_bytes(path.read_bytes()[:-20000])
    _, problems = inspect()
    assert any("vocals.wav: cut short" in problem for problem in problems)


def test_silent_stem_is_a_warning(inspect, write, noise):
    write("data/A/vocals.wav", noise(1) * 0)
    write("data/A/drums.wav", noise(2))
    report, problems = inspect()
    assert problems == []
    assert [str(warning) for warning in report.warnings] == ["A: stem 'vocals' is silent"]


def test_silent_mixture_is_a_problem(inspect, write, write_track, noise):
    write_track("data/A")
    write("data/A/mixture.wav", noise() * 0)
    assert inspect()[1] == ["A: the mixture is silent"]


def test_mixture_that_is_not_the_sum(inspect, write, write_track):
    for name, gain in (("Fine", 1.01), ("Louder", 1.1)):
        signals = write_track(f"data/{name}", seed=len(name))
        write(f"data/{name}/mixture.wav", sum(signals.values()) * np.float32(gain))
    assert inspect()[1] == [
        "Louder: the mixture is not the sum of its stems: they differ by -20.8 dB of the mixture "
        "(up to -30 dB would do)"
    ]


def test_lossy_mixture_may_differ_more(inspect, tmp_path, write_stem_mp4):
    write_stem_mp4("data/A.stem.mp4")
    assert inspect()[1] == []


def test_the_same_recording_in_train_and_test(inspect, tmp_path):
    stems = {name: torch.from_numpy(each) for name, each in example_song.render(8.0).items()}
    late = round(0.6 * 44100)
    for name, stem in stems.items():
        for track in ("train/Original", "test/Copy"):
            (tmp_path / "data" / track).mkdir(parents=True, exist_ok=True)
        Audio(stem, 44100).save(tmp_path / f"data/train/Original/{name}.flac")
        Audio(stem[:, late:], 44100).save(tmp_path / f"data/test/Copy/{name}.mp3", bitrate="128k")
    _, (problem,) = inspect()
    assert problem.startswith(
        "Copy (test): is the same recording as 'Original', which is in train: the subsets overlap"
    )


def test_progress(inspect, write_track):
    write_track("data/A", seed=1)
    write_track("data/B", seed=2)
    calls = []
    inspect(progress=lambda *call: calls.append(call))
    assert calls == [(1.0, 2.0), (2.0, 2.0)]
    inspect(deep=False, progress=lambda *call: calls.append(call))
    assert len(calls) == 2


def test_the_real_file_has_no_problems(shared_audio):
    data = open_dataset(shared_audio / "music-delta-80s-rock.stem.mp4")
    report = inspect_dataset(data)
    assert (report.problems, report.warnings) == ([], [])
