"""The default weights reach what docs/research/results.md says of the song that anyone can make."""

import numpy as np
import pytest
import torch

import example_song
import partita

#: SDR of BSS Eval v4 in dB, medians over windows, of `example_song.render()`.
RECORDED = {"vocals": 14.93, "drums": 6.30, "bass": 11.13, "other": 11.13}


@pytest.fixture(scope="module")
def song():
    return example_song.render()


@pytest.mark.usefixtures("spleeter")
def test_the_recorded_score_is_reached(song):
    separator = partita.Separator("four-stems")
    assert separator.sources == ("vocals", "drums", "bass", "other")
    estimates = separator(sum(song.values()), 44100)
    assert estimates.null_depth_db < -100
    medians = partita.evaluate(song, estimates, sample_rate=44100).medians()
    found = {name: medians[name]["SDR"] for name in song}
    assert found == pytest.approx(RECORDED, abs=0.05)


def odd_mixtures(song):
    whole = sum(song.values())[:, :50000]
    mid = whole.mean(axis=0, keepdims=True)
    left = np.float32([[1], [0]])
    return {
        "silence": np.zeros((2, 30000), np.float32),
        "one sample": np.float32([[0.5], [-0.2]]),
        "a short mono file": np.full((1, 500), 0.1, np.float32),
        "DC": np.full((2, 30000), 0.3, np.float32),
        "DC to the left": 0.3 * left * np.ones((1, 30000), np.float32),
        "one channel": mid,
        "equal channels": np.repeat(mid, 2, axis=0),
        "left only": whole * left,
        "opposite polarity": np.float32([[1], [-1]]) * mid,
    }


@pytest.mark.usefixtures("spleeter")
@pytest.mark.parametrize("keep_rate", [False, True])
def test_odd_mixtures_are_taken_apart_too(song, keep_rate):
    separator = partita.Separator("four-stems")
    for name, mixture in odd_mixtures(song).items():
        estimates = separator(mixture, 44100, keep_rate=keep_rate)
        stems = {stem: audio.samples.numpy() for stem, audio in estimates.items()}
        assert all(np.isfinite(stem).all() for stem in stems.values()), name
        total = sum(stems.values())
        np.testing.assert_allclose(
            total, np.broadcast_to(mixture, total.shape), atol=1e-5, err_msg=name
        )
        peak = np.abs(mixture).max()
        assert all(np.abs(stem).max() <= 1.5 * peak for stem in stems.values()), name
        if name == "left only":
            assert all(np.abs(stem[1]).max() < 1e-4 for stem in stems.values())
        if name == "equal channels":
            assert all(np.abs(stem[0] - stem[1]).max() < 1e-3 for stem in stems.values())


@pytest.mark.usefixtures("spleeter")
def test_mono_files_have_all_stems(song, tmp_path):
    mid = sum(song.values()).mean(axis=0, keepdims=True)
    partita.Audio(torch.from_numpy(mid), 44100).save(tmp_path / "song.wav", bits="float")
    separator = partita.Separator("four-stems")
    estimates = separator(tmp_path / "song.wav", keep_rate=True)
    levels = {}
    for stem, audio in estimates.items():
        assert audio.samples.shape == mid.shape
        true = song[stem].mean(axis=0)
        error = np.square(audio.samples.numpy()[0] - true).sum()
        levels[stem] = 10 * np.log10(np.square(true).sum() / error)
    assert min(levels.values()) > 3, levels
    again = separator(mid, 44100, keep_rate=True)
    for stem, audio in estimates.items():
        np.testing.assert_array_equal(again[stem].samples, audio.samples)
