"""A data set of tones and hits whose key, tempo, bars and phrases are known."""

import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import soxr

from partita.errors import AudioReadError, UsageError
from partita_synthesis.recordings import can_follow, find_recordings, fit, recording
from partita_synthesis.recordings.alignment import tempo_ratio, transposition
from partita_synthesis.recordings.analysis import RATE as ANALYSIS_RATE
from partita_synthesis.recordings.analysis import find_beats
from partita_synthesis.score import Note, Part, Player, Score, Section

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


def hit(hertz, rng, seconds=0.05):
    times = np.arange(round(seconds * RATE)) / RATE
    noise = rng.normal(0, 0.2, len(times)) if hertz is None else np.sin(2 * np.pi * hertz * times)
    return (0.4 * noise * np.exp(-times / 0.02)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARTITA_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One song in D major at 104 beats a minute, and one without vocals."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "LICENSE").write_text("\n# CC0 1.0\n\nmore\n", "utf-8")
    rng = np.random.default_rng(0)
    samples = round(30 * RATE)
    vocals, other, drums = np.zeros((3, samples), np.float32)
    for first, beats in SUNG_BEATS:
        put(vocals, tone(VOICE_HZ, beats * BEAT_S), FIRST_BEAT_S + first * BEAT_S)
    chords = ((0, 4, 7), (5, 9, 0), (7, 11, 2), (0, 4, 7))
    for beat in range(round(28 / BEAT_S)):
        start_s = FIRST_BEAT_S + beat * BEAT_S
        put(drums, hit(None if beat % 2 else 60, rng), start_s)  # the bass drum begins
        put(drums, 0.2 * hit(None, rng, 0.02), start_s + BEAT_S / 2)
        for degree in chords[beat // 4 % 4]:
            put(other, tone(146.83 * 2 ** (degree / 12), BEAT_S, 0.3), start_s)
    for track, stems in {
        "Song": {"vocals": vocals, "other": other, "drums": drums},
        "Nobody": {"other": other, "drums": 0 * drums},
    }.items():
        (folder / track).mkdir()
        for stem, signal in stems.items():
            soundfile.write(folder / track / f"{stem}.wav", signal, RATE, "FLOAT")
    return folder


@pytest.fixture(scope="module")
def found(root):
    return {each.stem: each for each in find_recordings(root)}


@pytest.fixture(scope="module")
def vocals(found):
    return found["vocals"]


@pytest.fixture(scope="module")
def drums(found):
    return found["drums"]


def fitted(recording, song, rate=RATE, seed=0):
    return fit(recording, song, rate, np.random.default_rng(seed)).samples


def score(
    tempo=TEMPO, key=2, mode="major", duration_s=24.0, sections=None, sung=(), instrument="tenor"
):
    beats = np.arange(0, duration_s, 60 / tempo).tolist()
    notes = [Note(start, 0.5, 60, 90, "la") for start in sung]
    return Score(
        style="test",
        tempo_bpm=tempo,
        key=key,
        mode=mode,
        duration_s=duration_s,
        beats_s=beats,
        chords=(),
        sections=sections or (Section("verse", 0.0, duration_s, 0.5),),
        parts=(Part(Player("vocals", instrument), notes),),
    )


def starts_s(samples, rate):
    """Return where it becomes loud after silence."""
    frame = round(0.01 * rate)
    count = samples.shape[1] // frame
    loud = np.abs(samples[0, : count * frame]).reshape(count, frame).max(axis=1) > 0.01
    quiet_before = np.array([not loud[max(0, i - 10) : i].any() for i in range(count)])
    return np.flatnonzero(loud & quiet_before) * 0.01


def test_analysis(found):
    assert set(found) == {"vocals", "drums"}
    for each in found.values():
        assert (each.name, each.licence) == ("Song", "CC0 1.0")
        assert (each.key, each.mode) == (2, "major")
        assert each.tempo_bpm == pytest.approx(TEMPO, rel=0.001)
        beats = (np.array(each.beats_s) - FIRST_BEAT_S) / BEAT_S
        np.testing.assert_allclose(beats, np.rint(beats), atol=0.02)  # 12 ms
        assert np.rint(beats[0]) % 4 == 0  # begins a bar
        assert np.array_equal(np.diff(np.rint(beats)), np.ones(len(beats) - 1))
    spans = [(span.start_s, span.duration_s) for span in found["vocals"].spans]
    expected = [(FIRST_BEAT_S + first * BEAT_S, beats * BEAT_S) for first, beats in SUNG_BEATS]
    np.testing.assert_allclose(spans, expected, atol=0.1)
    (played,) = found["drums"].spans
    assert played.start_s == pytest.approx(FIRST_BEAT_S, abs=0.1)
    assert played.end_s > 27


def test_beats_without_a_click():
    """A drummer who wanders by 4 % in 40 s."""
    lengths_s = BEAT_S * (1 + 0.04 * np.sin(np.arange(64) / 20))
    beats_s = 0.3 + np.cumsum(lengths_s)
    rng = np.random.default_rng(0)
    played = np.zeros(round(40 * RATE), np.float32)
    for beat_s in beats_s:
        put(played, hit(None, rng), beat_s)
    found_s = find_beats(soxr.resample(played, RATE, ANALYSIS_RATE))
    off = np.array([np.abs(found_s - beat_s).min() for beat_s in beats_s])
    assert np.percentile(off, 90) < 0.03
    assert len(found_s) == pytest.approx(len(beats_s), abs=2)


def test_nothing_to_hear_has_no_beats():
    assert not len(find_beats(np.zeros(5 * ANALYSIS_RATE, np.float32)))
    assert not len(find_beats(np.ones(9, np.float32)))


def test_is_remembered_until_a_file_changes(root, found, monkeypatch):
    def listen(track):
        loaded.append(track.name)
        return []

    loaded = []
    monkeypatch.setattr(recording, "_listen", listen)
    assert {each.stem: each for each in find_recordings(root)} == found
    assert not loaded
    path = root / "Nobody" / "other.wav"
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1000))
    try:
        find_recordings(root)
    finally:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert loaded == ["Nobody"]


def test_works_where_nothing_can_be_remembered(root, vocals, monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(recording, "_listen", lambda track: [vocals])
    assert find_recordings(root)


def test_wrong_usage(root, tmp_path):
    with pytest.raises(UsageError, match=r"has no vocals or drums, .*: name a data set with stems"):
        find_recordings(root / "Nobody")
    with pytest.raises(UsageError, match="has no vocals, or"):
        find_recordings(root / "Nobody", ["vocals"])
    with pytest.raises(UsageError, match="nowhere"):
        find_recordings(tmp_path / "nowhere")


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "Song").mkdir()
    soundfile.write(tmp_path / "Song" / "drums.wav", np.zeros(RATE * 5), RATE)
    (tmp_path / "Song" / "vocals.wav").write_bytes(b"RIFF, not")
    with pytest.raises(AudioReadError, match=r"vocals\.wav"):
        find_recordings(tmp_path)


@pytest.mark.parametrize("rate", [RATE, 44100])
@pytest.mark.parametrize("tempo", [TEMPO, 96.0, 2 * TEMPO])
def test_phrases_start_with_bars(vocals, tempo, rate):
    song = score(tempo)
    samples = fitted(vocals, song, rate)
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
def test_transposition(vocals, key, mode, semitones):
    song = score(key=key, mode=mode)
    assert transposition(vocals, song) == semitones
    take = fit(vocals, song, RATE, np.random.default_rng(0))
    assert take.semitones == semitones
    first = round((starts_s(take.samples, RATE)[0] + 0.5) * RATE)
    power = np.abs(np.fft.rfft(take.samples[0, first : first + RATE] * np.hanning(RATE)))
    assert np.argmax(power) == pytest.approx(VOICE_HZ * 2 ** (semitones / 12), rel=0.01)


@pytest.mark.parametrize(
    ("tempo", "ratio"), [(104, 1), (114.4, 1.1), (52, 1), (200, 200 / 208), (140, 1.2), (78, 0.8)]
)
def test_tempo(vocals, tempo, ratio):
    exact = replace(vocals, tempo_bpm=TEMPO)
    assert tempo_ratio(exact, tempo) == pytest.approx(ratio)
    assert can_follow(exact, tempo) == (tempo not in (140, 78))


@pytest.mark.parametrize(("stem", "instrument"), [("vocals", "alto"), ("drums", "jazz_kit")])
def test_only_where_they_are_in_the_score(found, stem, instrument):
    sections = (
        Section("intro", 0.0, 9.0, 0.5),
        Section("verse", 9.0, 9.0, 0.5),
        Section("outro", 18.0, 6.0, 0.5),
    )
    song = score(sections=sections, sung=np.arange(9.3, 18, 0.5), instrument=instrument)
    samples = fitted(found[stem], song, seed=1)
    assert np.abs(samples[:, 9 * RATE : 18 * RATE]).max() > 0.05
    assert not samples[:, : 8 * RATE].any()
    assert not samples[:, 20 * RATE :].any()


@pytest.mark.parametrize("rate", [RATE, 44100])
@pytest.mark.parametrize("tempo", [TEMPO, 0.85 * TEMPO, 1.04 * TEMPO, 1.9 * TEMPO, 0.52 * TEMPO])
def test_drums_are_on_the_beat(drums, tempo, rate):
    song = score(tempo)
    samples = fitted(drums, song, rate)
    assert samples.shape == (1, round(song.duration_s * rate))
    octave = round(TEMPO / tempo * 2) / 2  # recorded beats to a beat
    rises = attacks_s(samples, rate)
    beats = np.arange(0, song.duration_s - 0.1, 60 / tempo / octave)
    off = np.array([rises[np.abs(rises - beat).argmin()] - beat for beat in beats])
    assert np.abs(off).max() < 0.015
    low = np.array([loudness(samples, beat, 60, rate) for beat in beats])
    assert low[::2].min() > 2 * low[1::2].max()  # bass drums at the start and the middle of bars


def attacks_s(samples, rate):
    """Return where it becomes ten times as loud."""
    frame = round(0.0025 * rate)
    count = samples.shape[1] // frame
    power = np.square(samples[0, : count * frame]).reshape(count, frame).mean(axis=1)
    before = np.array([power[max(0, i - 4) : i].max(initial=0) for i in range(count)])
    return np.flatnonzero(power > 10 * before + 1e-4) * frame / rate


def loudness(samples, time_s, hertz, rate):
    """Return how strong a frequency is in the 50 ms from a time on."""
    excerpt = samples[0, round(time_s * rate) :][: round(0.05 * rate)]
    wave = np.exp(-2j * np.pi * hertz / rate * np.arange(len(excerpt)))
    return abs(excerpt @ wave)


def test_drums_in_their_own_tempo_stay_as_they_are(root, drums):
    exact = replace(drums, beats_s=tuple(FIRST_BEAT_S + np.arange(48) * BEAT_S))
    sections = (Section("verse", 0.0, 4 * BEAT_S * 3, 0.5),)
    song = score(duration_s=12 * BEAT_S, sections=sections)
    samples = fitted(exact, song)[0, : round(11.9 * BEAT_S * RATE)]
    recorded = soundfile.read(root / "Song" / "drums.wav", dtype="float32")[0]
    errors = []
    for bar in range(9):
        start = round((FIRST_BEAT_S + 4 * bar * BEAT_S) * RATE)
        excerpt = recorded[start - 2 : start + len(samples) + 2]
        errors += [np.abs(excerpt[i : i + len(samples)] - samples).max() for i in range(5)]
    assert min(errors) < 0.2 * np.abs(samples).max()


def test_drums_that_cannot_follow_stay_away(drums):
    rng = np.random.default_rng(0)
    assert fit(drums, score(1.35 * TEMPO), RATE, rng) is None
    assert fit(drums, score(), RATE, rng, beats_in_bar=3) is None


@pytest.mark.parametrize("stem", ["vocals", "drums"])
def test_the_seed_alone_decides(found, stem):
    song = score(duration_s=12)
    first, again, *others = (fitted(found[stem], song, seed=seed) for seed in (0, 0, 1, 2, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert max(np.abs(first - other).max() for other in others) > 0.01


@pytest.mark.parametrize("stem", ["vocals", "drums"])
@pytest.mark.parametrize("duration_s", [0.03, 0.5])
def test_very_short_songs(found, stem, duration_s):
    take = fit(found[stem], score(duration_s=duration_s), RATE, np.random.default_rng(0))
    if take is not None:
        assert take.samples.shape == (1, round(duration_s * RATE))
        assert np.isfinite(take.samples).all()
