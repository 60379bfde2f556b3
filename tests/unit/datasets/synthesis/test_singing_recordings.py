"""A data set of tones whose key, tempo and phrases are known."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from partita.datasets.synthesis.score import Note, Part, Player, Score, Section
from partita.datasets.synthesis.singing import find_recordings, fit_vocals
from partita.datasets.synthesis.singing.recordings import tempo_ratio, transposition
from partita.errors import UsageError

RATE = 16000
TEMPO = 104.0
FIRST_BEAT_S = 0.2
BEAT_S = 60 / TEMPO
SUNG_BEATS = ((8, 6), (20, 8), (34, 5))  # first beat and length of each phrase
VOICE_HZ = 293.66  # D, the tonic


def tone(hertz, seconds, decay_s=10.0):
    times = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * hertz * k * times) / k for k in (1, 2, 3))
    edge = np.minimum(1, np.minimum(times, seconds - times) / 0.01)
    return (0.1 * wave * edge * np.exp(-times / decay_s)).astype(np.float32)


def put(out, samples, start_s):
    start = round(start_s * RATE)
    out[start : start + len(samples)] += samples[: len(out) - start]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One song in D major at 104 beats a minute, and one without vocals."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "LICENSE").write_text("\n# CC0 1.0\n\nmore\n", "utf-8")
    samples = round(30 * RATE)
    vocals, other, drums = np.zeros((3, samples), np.float32)
    for first, beats in SUNG_BEATS:
        put(vocals, tone(VOICE_HZ, beats * BEAT_S), FIRST_BEAT_S + first * BEAT_S)
    chords = ((0, 4, 7), (5, 9, 0), (7, 11, 2), (0, 4, 7))
    noise = np.random.default_rng(0).normal(0, 0.2, RATE // 20) * np.exp(
        -np.arange(RATE // 20) / 99
    )
    for beat in range(round(28 / BEAT_S)):
        start_s = FIRST_BEAT_S + beat * BEAT_S
        put(drums, noise.astype(np.float32), start_s)
        for degree in chords[beat // 4 % 4]:
            put(other, tone(146.83 * 2 ** (degree / 12), BEAT_S, 0.3), start_s)
    for track, stems in {
        "Song": {"vocals": vocals, "other": other, "drums": drums},
        "Instrumental": {"other": other, "drums": drums},
    }.items():
        (folder / track).mkdir()
        for stem, signal in stems.items():
            soundfile.write(folder / track / f"{stem}.wav", signal, RATE, "FLOAT")
    return folder


@pytest.fixture(scope="module")
def recording(root):
    (found,) = find_recordings(root)
    return found


def score(tempo=TEMPO, key=2, mode="major", duration_s=24.0, sections=None, sung=None):
    beats = np.arange(0, duration_s, 60 / tempo).tolist()
    notes = [Note(start, 0.5, 60, 90, "la") for start in sung or ()]
    return Score(
        style="test",
        tempo_bpm=tempo,
        key=key,
        mode=mode,
        duration_s=duration_s,
        beats_s=beats,
        chords=(),
        sections=sections or (Section("verse", 0.0, duration_s, 0.5),),
        parts=(Part(Player("vocals", "tenor"), notes),),
    )


def starts_s(samples, rate):
    """Return where it becomes loud after silence."""
    frame = round(0.01 * rate)
    count = samples.shape[1] // frame
    loud = np.abs(samples[0, : count * frame]).reshape(count, frame).max(axis=1) > 0.01
    quiet_before = np.array([not loud[max(0, i - 10) : i].any() for i in range(count)])
    return np.flatnonzero(loud & quiet_before) * 0.01


def test_analysis(recording):
    assert recording.name == "Song"
    assert recording.licence == "CC0 1.0"
    assert (recording.key, recording.mode) == (2, "major")
    assert recording.tempo_bpm == pytest.approx(TEMPO, rel=0.002)
    off_beats = (recording.first_beat_s - FIRST_BEAT_S) / BEAT_S
    assert off_beats == pytest.approx(round(off_beats), abs=0.05)
    found = [(phrase.start_s, phrase.duration_s) for phrase in recording.phrases]
    expected = [(FIRST_BEAT_S + first * BEAT_S, beats * BEAT_S) for first, beats in SUNG_BEATS]
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_no_vocals_is_an_error(root):
    with pytest.raises(UsageError, match="nobody sings"):
        find_recordings(root / "Instrumental")


@pytest.mark.parametrize("rate", [RATE, 44100])
@pytest.mark.parametrize("tempo", [TEMPO, 96.0, 2 * TEMPO])
def test_phrases_start_with_bars(recording, tempo, rate):
    song = score(tempo)
    samples = fit_vocals(recording, song, rate, np.random.default_rng(0))
    assert samples.shape == (1, round(song.duration_s * rate))
    assert samples.dtype == np.float32
    starts = starts_s(samples, rate)
    assert len(starts) >= 2
    bars = np.array(song.beats_s[::4])
    off = [np.abs(bars - start).min() for start in starts]
    assert max(off) < 0.08


@pytest.mark.parametrize(
    ("key", "mode", "semitones"),
    [
        (2, "major", 0),
        (5, "major", 3),
        (10, "major", -4),
        (11, "minor", 0),  # relative
        (0, "minor", 1),
        (7, "major", 0),  # a fourth is too far: D in G
        (9, "major", 0),
        (8, "major", 1),  # a tritone: E flat in A flat
    ],
)
def test_transposition(recording, key, mode, semitones):
    song = score(key=key, mode=mode)
    assert transposition(recording, song) == semitones
    samples = fit_vocals(recording, song, RATE, np.random.default_rng(0))
    first = round((starts_s(samples, RATE)[0] + 0.5) * RATE)
    power = np.abs(np.fft.rfft(samples[0, first : first + RATE] * np.hanning(RATE)))
    assert np.argmax(power) == pytest.approx(VOICE_HZ * 2 ** (semitones / 12), rel=0.01)


@pytest.mark.parametrize(
    ("tempo", "ratio"), [(104, 1), (114.4, 1.1), (52, 1), (200, 200 / 208), (140, 1.2), (78, 0.8)]
)
def test_tempo(recording, tempo, ratio):
    exact = replace(recording, tempo_bpm=TEMPO)
    assert tempo_ratio(exact, score(tempo)) == pytest.approx(ratio)


def test_only_where_singers_sing(recording):
    sections = (
        Section("intro", 0.0, 9.0, 0.5),
        Section("verse", 9.0, 9.0, 0.5),
        Section("outro", 18.0, 6.0, 0.5),
    )
    song = score(sections=sections, sung=(10.0, 12.0))
    samples = fit_vocals(recording, song, RATE, np.random.default_rng(1))
    assert np.abs(samples[:, 9 * RATE : 18 * RATE]).max() > 0.05
    assert not samples[:, : 8 * RATE].any()
    assert not samples[:, 20 * RATE :].any()


def test_chance_alone_decides(recording):
    first, again, other = (
        fit_vocals(recording, score(), RATE, np.random.default_rng(seed)) for seed in (0, 0, 5)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_a_song_shorter_than_a_phrase(recording):
    samples = fit_vocals(recording, score(duration_s=0.5), RATE, np.random.default_rng(0))
    assert samples.shape == (1, RATE // 2)
    assert np.isfinite(samples).all()
