"""Drawing excerpts."""

import contextlib
import functools
import itertools
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from partita.datasets import open_dataset
from partita.devices import intra_op_threads
from partita.training.augmentation import NO_AUGMENTATION, Augmentation
from partita.training.cache.decode_dataset import decode_dataset
from partita.training.excerpts import Excerpt, draw_excerpt, prefetch, spread_excerpts

RATE = 8000
SOURCES = ("vocals", "drums")
PLAIN = {"gains": (1, 1), "swap_channels": 0}


def write(root, **stems):
    """Write a track of stems: name → (level, seconds, the part of it that is heard)."""
    root.mkdir(parents=True)
    for name, (level, seconds, (first, last)) in stems.items():
        rng = np.random.default_rng(sum(str(root / name).encode()))
        signal = level * rng.uniform(0.5, 1, (round(seconds * RATE), 2))
        signal[: round(first * RATE)] = signal[round(last * RATE) :] = 0
        signal[:, 1] *= -0.5  # the right one can be told from the left
        soundfile.write(root / f"{name}.wav", signal, RATE)


def make(root, folder, channels=2, sources=SOURCES):
    dataset = open_dataset(root, layout="tracks")
    return decode_dataset(dataset, sources, sample_rate=RATE, channels=channels, folder=folder)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Three tracks, one without drums, one with vocals here and there; and a rest."""
    root = tmp_path_factory.mktemp("album")
    write(root / "a", vocals=(0.4, 6, (0, 6)), drums=(0.2, 6, (0, 6)), bass=(0.1, 6, (0, 6)))
    write(root / "b", vocals=(0.5, 8, (5, 6)), drums=(0.3, 8, (0, 8)))
    write(root / "c", vocals=(0.6, 3, (0, 3)))
    return root


@pytest.fixture(scope="module")
def songs(album, tmp_path_factory):
    return make(album, tmp_path_factory.mktemp("ready"))


augmentations = st.builds(
    Augmentation,
    remix=st.sampled_from([0.0, 0.5, 1.0]),
    pitch_semitones=st.sampled_from([0.0, 2.0, 12.0]),
    tempo_percent=st.sampled_from([0.0, 12.0, 50.0]),
    flip_polarity=st.sampled_from([0.0, 0.5]),
    speed_percent=st.sampled_from([0.0, 20.0, 50.0]),
    equaliser_db=st.sampled_from([0.0, 9.0]),
    silence=st.sampled_from([0.0, 0.5, 1.0]),
    pan=st.sampled_from([0.0, 0.5]),
    mono_mixtures=st.sampled_from([0.0, 0.5]),
    tilted_mixtures=st.sampled_from([0.0, 0.5]),
)


@given(
    augmentation=augmentations,
    samples=st.integers(1, 10 * RATE),  # longer than any track, too
    seed=st.integers(0, 2**63),
    index=st.integers(0, 2**40),
)
@example(
    augmentation=Augmentation(remix=0, tempo_percent=50, speed_percent=50),
    samples=1,
    seed=0,
    index=7,
)
def test_excerpts_depend_on_their_arguments_alone(songs, augmentation, samples, seed, index):
    first, again = (draw_excerpt(songs, samples, augmentation, seed, index) for _ in range(2))
    assert first.sources.shape == (3, 2, samples)
    assert first.sources.dtype == torch.float32
    assert torch.equal(first.sources, again.sources)
    assert first.places == again.places
    assert [place.split(":")[0] for place in first.places] == ["vocals", "drums", "rest"]


@given(seed=st.integers(0, 2**32), index=st.integers(0, 2**32))
def test_other_indices_and_seeds_are_other_excerpts(songs, seed, index):
    draw = functools.partial(draw_excerpt, songs, RATE, Augmentation())
    here = draw(seed, index).sources
    assert not torch.equal(here, draw(seed, index + 1).sources)
    assert not torch.equal(here, draw(seed + 1, index).sources)


def place(text):
    """Return ``(row, track, seconds)``."""
    row, rest = text.split(": ")
    track, at = rest.split(" at ")
    return row, track, float(at.removesuffix(" s"))


def test_excerpts_are_from_where_they_say(album, songs):
    samples = RATE
    for index in range(40):
        excerpt = draw_excerpt(songs, samples, NO_AUGMENTATION, 0, index)
        assert len({text.split(": ")[1] for text in excerpt.places}) == 1
        for source, text in zip(excerpt.sources, excerpt.places, strict=True):
            row, name, at_s = place(text)
            path = album / name / f"{'bass' if row == 'rest' else row}.wav"
            if not path.exists():
                assert not source.any()
                continue
            whole = soundfile.read(path, dtype="float32")[0].T
            starts = range(round((at_s - 0.051) * RATE), round((at_s + 0.051) * RATE))
            assert any(
                np.array_equal(whole[:, at : at + samples], source) for at in starts if at >= 0
            )


def test_remixes_take_each_source_from_where_it_is_heard(songs):
    augmentation = Augmentation(silence=0, **PLAIN)
    counts = {}
    pairs = set()
    for index in range(300):
        excerpt = draw_excerpt(songs, RATE // 2, augmentation, 0, index)
        assert excerpt.sources[:2].abs().amax(dim=(1, 2)).gt(0).all()
        tracks = [place(text)[1] for text in excerpt.places]
        pairs.add(tuple(tracks))
        for row, track in zip(("vocals", "drums", "rest"), tracks, strict=True):
            counts[row, track] = counts.get((row, track), 0) + 1
    assert len(pairs) == 3 * 2 * 3
    # By audible duration: vocals 6, 1 and 3 s, drums 6 and 8 s.
    assert counts["vocals", "a"] / 300 == pytest.approx(0.6, abs=0.1)
    assert counts["vocals", "b"] / 300 == pytest.approx(0.1, abs=0.06)
    assert counts["drums", "b"] / 300 == pytest.approx(8 / 14, abs=0.1)
    # The rest, which one track has, comes from anywhere, by the tracks' durations.
    assert set(counts) >= {("rest", "a"), ("rest", "b"), ("rest", "c")}


def test_silence_comes_as_often_as_asked_for(songs):
    def silent(share):
        augmentation = Augmentation(silence=share, **PLAIN)
        drawn = [draw_excerpt(songs, RATE // 4, augmentation, 0, n) for n in range(200)]
        return np.mean([not excerpt.sources[0].any() for excerpt in drawn])

    assert silent(0) == 0
    # Anywhere: 7 of 17 s are in none of the vocals.
    assert silent(1) == pytest.approx(7 / 17, abs=0.12)
    assert silent(0.5) == pytest.approx(7 / 34, abs=0.1)


def test_songs_are_drawn_by_their_durations_where_something_is_heard(tmp_path):
    write(tmp_path / "album/long", vocals=(0.4, 12, (9, 10)), drums=(0.1, 12, (9, 10)))
    write(tmp_path / "album/short", vocals=(0.4, 4, (0, 4)))
    songs = make(tmp_path / "album", tmp_path / "ready")
    augmentation = Augmentation(remix=0, silence=0, **PLAIN)
    drawn = [draw_excerpt(songs, RATE, augmentation, 0, index) for index in range(200)]
    long = [excerpt for excerpt in drawn if "long" in excerpt.places[0]]
    assert len(long) / 200 == pytest.approx(0.75, abs=0.1)
    assert all(excerpt.sources.any() for excerpt in drawn)
    anywhere = Augmentation(remix=0, silence=1, **PLAIN)
    drawn = [draw_excerpt(songs, RATE, anywhere, 0, index) for index in range(200)]
    assert np.mean([bool(excerpt.sources.any()) for excerpt in drawn]) < 0.6


@given(st.floats(0, 2), st.floats(0, 2), st.integers(0, 1000))
def test_gains_stay_in_their_range(songs, one, other, index):
    low, high = sorted((one, other))
    without = draw_excerpt(songs, 4000, Augmentation(**PLAIN), 0, index)
    augmented = draw_excerpt(
        songs, 4000, Augmentation(gains=(low, high), swap_channels=0), 0, index
    )
    assert augmented.places == without.places
    for before, after in zip(without.sources, augmented.sources, strict=True):
        at = before.abs().argmax()
        if not before.any():
            continue
        gain = float(after.flatten()[at] / before.flatten()[at])
        assert low - 1e-5 <= gain <= high + 1e-5
        assert torch.allclose(after, gain * before, atol=1e-6)


def test_channels_and_polarity_change_source_by_source(songs):
    options = {"silence": 0, "gains": (1, 1)}
    swapped = Augmentation(swap_channels=0.5, flip_polarity=0.5, **options)
    plain = Augmentation(swap_channels=0, **options)
    seen = []
    for index in range(60):
        before = draw_excerpt(songs, 100, plain, 0, index).sources
        after = draw_excerpt(songs, 100, swapped, 0, index).sources
        kinds = []
        for old, new in zip(before[:2], after[:2], strict=True):  # the rest may be silent
            forms = {(0, 0): old, (0, 1): -old, (1, 0): old.flip(0), (1, 1): -old.flip(0)}
            kinds += [kind for kind, form in forms.items() if torch.equal(form, new)]
        assert len(kinds) == 2
        seen.append(tuple(kinds))
    shares = np.array(seen).mean(axis=(0, 1))
    assert shares == pytest.approx([0.5, 0.5], abs=0.15)
    assert any(len(set(kinds)) > 1 for kinds in seen)


def test_what_distorts_mixtures_is_a_row_of_its_own(songs):
    """So sources stay as they were, and all rows add up to what the model gets."""
    options = {"noisy_mixtures": 0.3, "clipped_mixtures": 0.3, "coded_mixtures": 0.2}
    kinds = set()
    for index in range(20):
        plain = draw_excerpt(songs, RATE, Augmentation(), 0, index)
        distorted = draw_excerpt(songs, RATE, Augmentation(**options), 0, index)
        assert torch.equal(distorted.sources[:3], plain.sources)
        assert distorted.places[:3] == plain.places
        row, kind = distorted.places[3].split(": ")
        assert row == "distortion"
        assert distorted.sources[3].any() == (kind != "none")
        kinds.add(kind)
        mixture = distorted.sources.sum(dim=0)
        if kind == "clipped":
            limit = mixture.abs().max()
            assert (mixture.abs() > 0.999 * limit).sum() > 3
            assert torch.allclose(mixture, plain.sources.sum(dim=0).clamp(-limit, limit), atol=1e-6)
    assert kinds > {"none", "noise", "clipped"}


def test_mono(album, tmp_path):
    songs = make(album, tmp_path, channels=1)
    augmentation = Augmentation(swap_channels=1, gains=(1, 1))
    other = Augmentation(swap_channels=0, gains=(1, 1))
    for index in range(5):
        swapped = draw_excerpt(songs, RATE, augmentation, 0, index).sources
        assert swapped.shape == (3, 1, RATE)
        assert torch.equal(swapped, draw_excerpt(songs, RATE, other, 0, index).sources)


def test_speed_changes_pitch_and_length_alike(tmp_path):
    times = np.arange(6 * RATE) / RATE
    # A tone that is there for every other half second.
    tone = 0.3 * np.sin(2 * np.pi * 400 * times) * (times % 1 < 0.5)
    (tmp_path / "album/song").mkdir(parents=True)
    for name in ("vocals", "drums"):
        soundfile.write(tmp_path / f"album/song/{name}.wav", tone, RATE)
    songs = make(tmp_path / "album", tmp_path / "ready", channels=1)
    speeds = []
    for index in range(12):
        augmentation = Augmentation(speed_percent=20, remix=0, **PLAIN)
        rows = draw_excerpt(songs, 3 * RATE, augmentation, 0, index).sources[:2, 0]
        assert torch.equal(rows[0], rows[1])  # a song changes as a whole
        spectrum = torch.fft.rfft(rows[0], n=1 << 17).abs()
        pitch = float(spectrum.argmax()) * RATE / (1 << 17) / 400
        level = rows[0].unfold(0, RATE // 50, RATE // 50).square().mean(dim=1).sqrt() > 0.1
        period_s = float(torch.diff(torch.diff(level.int()).eq(1).nonzero()[:, 0])[0]) / 50
        assert period_s * pitch == pytest.approx(1, abs=0.06)
        speeds.append(pitch)
    assert 0.79 < min(speeds) < 0.92
    assert 1.08 < max(speeds) < 1.21


def test_the_equaliser_changes_levels_of_octaves_and_no_phases(tmp_path):
    noise = 0.1 * np.random.default_rng(0).normal(size=4 * RATE)
    (tmp_path / "album/song").mkdir(parents=True)
    for name in ("vocals", "drums"):
        soundfile.write(tmp_path / f"album/song/{name}.wav", noise, RATE, subtype="PCM_16")
    songs = make(tmp_path / "album", tmp_path / "ready", channels=1)
    options = {"remix": 0, "gains": (1, 1), "swap_channels": 0}
    levels = []
    for index in range(8):
        plain, equalised = (
            draw_excerpt(songs, RATE, Augmentation(equaliser_db=db, **options), 0, index)
            for db in (0.0, 6.0)
        )
        ratio = torch.fft.rfft(equalised.sources) / torch.fft.rfft(plain.sources)
        ratio = ratio[:2, 0, 20:-20]  # [sources, bins], without what 16 bits say nothing of
        assert ratio.angle().abs().max() < 1e-2
        levels.append(20 * ratio.abs().log10())
    levels = torch.stack(levels)
    assert levels.abs().max() < 6.01
    assert levels.std(dim=0).min() > 1  # every octave moves,
    assert (levels[:, 0] - levels[:, 1]).abs().max() > 3  # of each source by itself


def test_pitch_and_tempo_change_a_song_as_a_whole(tmp_path):
    times = np.arange(6 * RATE) / RATE
    for name, hertz in (("vocals", 400), ("drums", 600)):
        (tmp_path / "album/song").mkdir(parents=True, exist_ok=True)
        tone = 0.3 * np.sin(2 * np.pi * hertz * times)
        soundfile.write(tmp_path / f"album/song/{name}.wav", tone, RATE)
    songs = make(tmp_path / "album", tmp_path / "ready", channels=1)

    def shifts(remix, index):
        options = {"pitch_semitones": 4, "tempo_percent": 10, "remix": remix}
        excerpt = draw_excerpt(songs, 2 * RATE, Augmentation(**options, **PLAIN), 0, index)
        window = torch.hann_window(2 * RATE)
        peaks = torch.fft.rfft(excerpt.sources[:, 0] * window, n=1 << 17).abs().argmax(dim=1)
        return peaks * RATE / (1 << 17) / torch.tensor([400, 600])

    together = torch.stack([shifts(0, index) for index in range(12)])
    apart = torch.stack([shifts(1, index) for index in range(12)])
    assert torch.allclose(together[:, 0], together[:, 1], rtol=5e-3)
    assert (apart[:, 0] / apart[:, 1]).log2().abs().max() > 1 / 12
    for found in (together, apart):
        assert found.log2().abs().max() < 4.1 / 12
        assert found.log2().abs().max() > 2 / 12


def test_short_tracks_lie_in_the_excerpt_at_random(tmp_path):
    write(tmp_path / "album/song", vocals=(0.4, 1, (0, 1)), drums=(0.2, 1, (0, 1)))
    songs = make(tmp_path / "album", tmp_path / "ready")
    whole = songs.tracks[0].read(0, 0, RATE)
    for augmentation in (NO_AUGMENTATION, Augmentation(**PLAIN)):
        starts = set()
        for index in range(20):
            vocals = draw_excerpt(songs, 3 * RATE, augmentation, 0, index).sources[0]
            start = int(vocals[0].nonzero()[0, 0])
            starts.add(start)
            assert torch.equal(vocals[:, start : start + RATE], whole)
            assert int((vocals[0] != 0).sum()) == RATE
        assert len(starts) > 15
        assert max(starts) - min(starts) > RATE


def test_rows_that_are_never_heard_end_nothing(tmp_path):
    write(tmp_path / "album/song", vocals=(0.4, 2, (0, 2)), bass=(0, 2, (0, 2)))
    songs = make(tmp_path / "album", tmp_path / "ready", sources=["vocals"])
    assert songs.has_rest
    for remix in (0, 1):
        excerpt = draw_excerpt(songs, RATE, Augmentation(remix=remix, silence=0), 0, 0)
        assert excerpt.sources[0].any()
        assert not excerpt.sources[1].any()


def test_spread_excerpts(songs):
    spread = spread_excerpts(songs, RATE, 5)
    assert len(spread) == 5
    found = [(text[1], text[2]) for text in (place(each.places[0]) for each in spread)]
    # 17 s, all of them with something to hear.
    assert found == [("a", 1.2), ("a", 4.8), ("b", 2.2), ("b", 5.2), ("c", 0.8)]
    again = spread_excerpts(songs, RATE, 5)
    assert all(torch.equal(a.sources, b.sources) for a, b in zip(spread, again, strict=True))
    assert [each.places for each in spread[1:3]] == [spread[1].places, spread[2].places]
    assert spread[-1].sources.shape == (3, 2, RATE)


def test_spread_excerpts_prefer_what_is_heard(tmp_path):
    write(tmp_path / "album/song", vocals=(0.4, 20, (15, 17)), drums=(0.2, 20, (16, 18)))
    songs = make(tmp_path / "album", tmp_path / "ready")
    spread = spread_excerpts(songs, RATE // 2, 6)
    assert all(each.sources.any() for each in spread)
    assert len(spread) == 6
    long = spread_excerpts(songs, 30 * RATE, 6)  # they would all be the same
    assert len(long) == 1
    assert long[0].sources.shape == (2, 2, 30 * RATE)


def our_threads():
    return [each for each in threading.enumerate() if each.name.startswith("partita-excerpts")]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetched_batches_are_those_drawn(songs, workers):
    draw = functools.partial(draw_excerpt, songs, 1000, Augmentation(pitch_semitones=1), 7)
    indices = [[0, 1, 2], [3, 4, 5], [9], [8, 7]]
    before = torch.get_num_threads()
    batches = list(prefetch(draw, indices, workers))
    assert len(batches) == 4
    for batch, wanted in zip(batches, indices, strict=True):
        assert torch.equal(batch.sources, torch.stack([draw(n).sources for n in wanted]))
        assert batch.places == tuple(draw(n).places for n in wanted)
    assert not our_threads()
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux does")
def test_batches_are_made_without_threads_of_pytorch():
    """OpenMP's threads hardly spin once there are more than cores, which slows training down."""

    def threads():
        return len(list(Path("/proc/self/task").iterdir()))

    excerpt = Excerpt(torch.zeros(4, 2, 100_000), ("",))
    with intra_op_threads(2):
        before = threads()
        with contextlib.closing(prefetch(lambda _: excerpt, [range(4)] * 4, 2)) as batches:
            next(batches)
            ours = [each for each in threading.enumerate() if each.name.startswith("partita-")]
            assert threads() <= before + len(ours)


def test_two_batches_are_drawn_ahead():
    drawn = []

    def draw(index):
        drawn.append(index)
        return Excerpt(torch.full((1, 1, 1), float(index)), (str(index),))

    batches = prefetch(draw, ([2 * n, 2 * n + 1] for n in itertools.count()), 1)
    for number in range(5):
        assert next(batches).sources.flatten().tolist() == [2 * number, 2 * number + 1]
        deadline = time.monotonic() + 5
        while len(drawn) < 2 * number + 6 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.01)
        assert drawn == list(range(2 * number + 6))
    batches.close()
    assert not our_threads()


def test_errors_reach_the_consumer_in_their_place():
    def draw(index):
        if index == 3:
            raise OSError("gone")
        return Excerpt(torch.zeros(1, 1, 1), ("",))

    batches = prefetch(draw, ([n] for n in itertools.count()), 2)
    for _ in range(3):
        next(batches)
    with pytest.raises(OSError, match="gone"):
        next(batches)
    assert not our_threads()


def test_closing_early_is_prompt():
    started = threading.Event()

    def draw(index):
        if index:
            started.set()
            time.sleep(0.05)
        return Excerpt(torch.zeros(1, 1, 1), ("",))

    batches = prefetch(draw, [[0], *[range(1, 1000)] * 3], 2)
    next(batches)
    started.wait(5)
    begin = time.monotonic()
    batches.close()
    assert time.monotonic() - begin < 1
    assert not our_threads()


def test_waiting_for_a_batch_ends_when_it_is_cancelled():
    """However long the excerpts take."""
    cancel, release = threading.Event(), threading.Event()

    def draw(index):
        if index:
            release.wait(20)
        return Excerpt(torch.zeros(1, 1, 1), ("",))

    batches = prefetch(draw, ([n] for n in itertools.count()), 2, cancel.is_set)
    next(batches)
    threading.Timer(0.1, cancel.set).start()
    begin = time.monotonic()
    with pytest.raises(InterruptedError):
        next(batches)
    batches.close()
    assert time.monotonic() - begin < 5
    release.set()
