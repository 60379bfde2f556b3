"""The default weights are as good as docs/results.md says of the song that anyone can make."""

import numpy as np
import pytest

import example_song
import partita
from partita.evaluation.aggregate import track_medians

#: SDR of BSS Eval v4 in dB, medians over windows, of `example_song.render()`.
RECORDED = {"vocals": 14.93, "drums": 5.34, "bass": 10.36, "other": 11.74}


@pytest.fixture(scope="module")
def song():
    return example_song.render()


@pytest.mark.usefixtures("spleeter")
def test_the_recorded_score_is_reached(song):
    separator = partita.Separator("four-stems")
    assert separator.sources == ("vocals", "drums", "bass", "other")
    estimates = separator(sum(song.values()), 44100)
    assert estimates.null_depth_db < -100
    medians = track_medians(partita.evaluate(song, estimates, sample_rate=44100))
    found = {name: medians[name]["SDR"] for name in song}
    assert found == pytest.approx(RECORDED, abs=0.05)


@pytest.mark.usefixtures("spleeter")
def test_silence_and_mono_are_taken_apart_too():
    separator = partita.Separator("four-stems")
    for mixture in (np.zeros((2, 30000), np.float32), np.full((1, 500), 0.1, np.float32)):
        estimates = separator(mixture, 44100)
        total = sum(audio.samples.numpy() for audio in estimates.values())
        np.testing.assert_allclose(total, np.broadcast_to(mixture, total.shape), atol=1e-5)
