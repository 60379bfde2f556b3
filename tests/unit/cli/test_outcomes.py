from collections import Counter
from pathlib import Path

import pytest

from partita.cli.outcomes import batch_summary, summary
from partita.separation.batch import Outcome
from partita.separation.estimates import StemFiles

STEMS = {stem: Path("separated/hpss/song") / f"{stem}.wav" for stem in ("harmonic", "percussive")}


def done(duration_s, elapsed_s, source="song.wav"):
    files = StemFiles(STEMS, 44100, 2, duration_s, -120.0, 0.0, elapsed_s, ())
    return Outcome(source, "done", files, STEMS)


@pytest.mark.parametrize(
    ("duration_s", "elapsed_s", "said"),
    [
        (200.0, 10.0, "3:20 in 10.0 s, 20× real time"),
        (3.0, 1.25, "0:03 in 1.2 s, 2.4× real time"),
        (0.5, 1.0, "0.5 s in 1.0 s, 0.5× real time"),
        (0.0123, 1.0, "0.012 s in 1.0 s, 0.012× real time"),
    ],
)
def test_figures_of_long_and_short_songs(duration_s, elapsed_s, said):
    assert said in summary(done(duration_s, elapsed_s))


def test_a_song_that_is_done():
    lines = summary(done(60.0, 6.0)).splitlines()
    assert lines[0] == "song.wav → separated/hpss/song/: harmonic.wav, percussive.wav"
    assert summary(done(60.0, 6.0, "-")).startswith("standard input → ")


def test_a_song_that_was_skipped_is_one_short_line():
    text = summary(Outcome("song.wav", "skipped", paths=STEMS))
    assert text == "song.wav → separated/hpss/song/ (finished earlier, skipped)"


def test_a_batch():
    assert (
        batch_summary(Counter(done=2, failed=1), 61.0) == "3 songs: 2 done, 1 failed; 1:01 in all"
    )
