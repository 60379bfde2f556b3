import io
import math
import sys
import threading
import zipfile

import numpy as np
import pyloudnorm
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import partita
from common import little_room
from mix_songs import RATE, noise_stems, read, write_stems
from partita.audio.tags import read_tags
from partita.errors import AudioReadError, AudioWriteError, UsageError
from partita.mixing.mix import mix_song
from partita.mixing.output import find_target
from partita.mixing.recipe import Recipe
from partita.mixing.song import find_song
from partita.mixing.tempo_key import TempoKey

STEMS = noise_stems()
SAMPLES = STEMS["vocals"].shape[1]
FACTOR = 10 ** (-12 / 20)


@pytest.fixture
def song(tmp_path):
    return write_stems(tmp_path / "A song", STEMS)


@pytest.fixture
def stretch():
    pytest.importorskip("python_stretch", reason="the extra mix is not installed")


def _beats(beats_s=(0.0, 0.1)):
    return TempoKey(
        tempo_bpm=300.0, is_tempo_sure=True, beats_s=beats_s, key=None, is_key_sure=False
    )


def test_all_stems_are_the_mixture(song, tmp_path):
    made = partita.mix(song, tmp_path / "a.wav", bits="float")
    assert read(tmp_path / "a.wav") == pytest.approx(sum(STEMS.values()), abs=1e-6)
    assert (made.paths, made.gain_db) == ({"mix": tmp_path / "a.wav"}, 0.0)
    assert (made.sample_rate, made.channels) == (RATE, 2)
    assert made.duration_s == SAMPLES / RATE


@pytest.mark.slow
def test_stems_that_add_up_to_the_mixture_are_mixed_back(tiny_model, tmp_path, song):
    mixture = sum(STEMS.values())
    soundfile.write(tmp_path / "m.wav", mixture.T, RATE, subtype="FLOAT")
    separator = partita.Separator(tiny_model, sum_to_mix=True)
    stems = separator.separate(tmp_path / "m.wav", tmp_path / "out", bits="float").paths
    partita.mix(next(iter(stems.values())).parent, tmp_path / "back.wav", bits="float")
    assert read(tmp_path / "back.wav") == pytest.approx(mixture, abs=1e-5)


@pytest.mark.slow
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gains=st.dictionaries(st.sampled_from(list(STEMS)), st.floats(-40, 6)),
    mute=st.lists(st.sampled_from(list(STEMS)), max_size=3),
)
def test_mixes_are_sums_of_stems(song, tmp_path, gains, mute):
    partita.mix(song, tmp_path / "b.wav", gain=gains, mute=mute, bits="float", overwrite=True)
    wanted = sum(
        (samples * 10 ** (gains.get(stem, 0) / 20) for stem, samples in STEMS.items()
         if stem not in mute), np.zeros_like(STEMS["vocals"]))  # fmt: skip
    assert read(tmp_path / "b.wav") == pytest.approx(wanted, abs=1e-5)


@pytest.mark.slow
def test_one_gain_against_clipping(tmp_path):
    stems = {name: 8 * samples for name, samples in STEMS.items()}
    song = write_stems(tmp_path / "loud", stems)
    made = partita.mix(song, tmp_path / "out", Recipe(stems=("*",)), bits=24)
    assert made.gain_db < -6
    gain = 10 ** (made.gain_db / 20)
    for stem, samples in stems.items():
        assert read(made.paths[stem]) == pytest.approx(gain * samples, abs=1e-5)
    mixed = read(made.paths["mix"])
    assert np.abs(mixed).max() == pytest.approx(1.0, abs=1e-5)
    whole = partita.mix(song, tmp_path / "float.wav", bits="float")
    assert whole.gain_db == 0
    assert read(tmp_path / "float.wav") == pytest.approx(sum(stems.values()), abs=1e-5)


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_every_format_has_length_and_position(song, tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    made = partita.mix(song, path, "karaoke")
    rate = made.sample_rate
    # libsndfile reads ogg with the codec's own library.
    mixed = soundfile.read(path)[0].T if suffix == "ogg" else read(path)
    assert mixed.shape[1] == round(SAMPLES * rate / RATE)
    if rate == RATE:
        wanted = sum(STEMS[stem] for stem in STEMS if stem != "vocals")
        correlation = np.sum(mixed * wanted) / np.linalg.norm(mixed) / np.linalg.norm(wanted)
        assert correlation > 0.7  # of white noise: a sample off, it is 0
    title = read_tags(path).text["title"]
    assert title == "A song (karaoke)"


@pytest.mark.slow
def test_practice_tracks_and_what_they_are_called(song, tmp_path):
    made = partita.mix(song, tmp_path / "out", "practice-pack", format="wav", bits="float")
    assert list(made.paths) == ["mix", *STEMS, *(f"practice_{stem}" for stem in STEMS)]
    assert "without a click" in made.warnings[0]  # the song is shorter than a bar
    assert made.paths["practice_bass"] == tmp_path / "out" / "A song" / "practice_bass.wav"
    wanted = sum(STEMS.values()) - (1 - FACTOR) * STEMS["bass"]
    assert read(made.paths["practice_bass"]) == pytest.approx(wanted, abs=1e-6)
    alone = partita.mix(song, tmp_path / "out", "practice-bass", bits="float")
    assert alone.paths["mix"] == tmp_path / "out" / "A song (practice-bass).wav"
    assert read(alone.paths["mix"]) == pytest.approx(wanted, abs=1e-6)


def test_a_click_of_its_own_and_in_the_mix(song, tmp_path):
    beats = (0.0, 0.1, 0.2)
    recipe = Recipe(click=True, click_db=-20.0, bpm=310.0)
    target = find_target(tmp_path / "out", bits="float")
    made = mix_song(find_song(song), target, recipe, tempo=_beats(beats))
    assert list(made.paths) == ["mix", "click"]
    assert made.tempo_bpm == 300
    click = read(made.paths["click"])
    assert click.shape == STEMS["vocals"].shape
    for beat in beats:
        start = round(beat * RATE)
        assert np.abs(click[:, start : start + 100]).max() == pytest.approx(0.501, abs=1e-3)
    wanted = sum(STEMS.values()) + click * 10 ** (-14 / 20)
    assert read(made.paths["mix"]) == pytest.approx(wanted, abs=1e-6)


def test_a_click_that_cannot_be_made(song, tmp_path, monkeypatch):
    made = partita.mix(song, tmp_path / "a.wav", Recipe(click=True))
    assert list(made.paths) == ["mix"]
    assert "without a click" in made.warnings[0]
    with pytest.raises(UsageError, match="nothing to write but a click"):
        partita.mix(song, tmp_path / "b.wav", Recipe(click=True, mix=False))
    with pytest.raises(UsageError, match="not click: choose another `format`"):
        mix_song(find_song(song), find_target("a.stem.mp4"), Recipe(click=True), tempo=_beats())
    monkeypatch.setitem(sys.modules, "sonara", None)
    with pytest.raises(UsageError, match=r"`click` need the extra mix"):
        partita.mix(song, tmp_path / "c.wav", click=True)
    made = partita.mix(song, tmp_path / "c.wav", Recipe(click=True))
    assert "`click` need the extra mix" in made.warnings[0]


@pytest.mark.slow
def test_dj_packs_in_an_archive(song, tmp_path):
    made = partita.mix(song, tmp_path / "a.zip", "dj-pack", bits="float")
    assert {*made.paths.values()} == {tmp_path / "a.zip"}
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names == [f"A song/{each}.wav" for each in ("acapella", "instrumental", *STEMS)]
        assert list(made.names.values()) == names
        content = {name: soundfile.read(io.BytesIO(archive.read(name)))[0].T for name in names}
    wanted = sum(STEMS.values()) - STEMS["vocals"]
    assert content["A song/instrumental.wav"] == pytest.approx(wanted, abs=1e-6)
    assert np.array_equal(content["A song/acapella.wav"], content["A song/vocals.wav"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["A song", "a.zip"]


@pytest.mark.slow
def test_stem_files_hold_what_is_heard(song, tmp_path):
    recipe = Recipe(gain={"drums": -12.0}, mute=("other",), pan={"bass": -1.0})
    path = tmp_path / "a.stem.mp4"
    partita.mix(song, path, recipe, bits=24)
    drums, bass, other, vocals = (read(path, stream) for stream in (1, 2, 3, 4))
    assert drums == pytest.approx(FACTOR * STEMS["drums"], abs=1e-5)
    assert bass[0] == pytest.approx(STEMS["bass"].sum(axis=0), abs=1e-5)
    assert np.abs(bass[1]).max() < 1e-5
    assert np.abs(other).max() == 0
    assert read(path, 0) == pytest.approx(drums + bass + vocals, abs=1e-5)
    with pytest.raises(UsageError, match="holds the mix and its stems, not no_vocals"):
        partita.mix(song, tmp_path / "b.stem.mp4", tracks={"no_vocals": "no_vocals"})
    five = write_stems(tmp_path / "five", noise_stems(2000, "abcde"))
    with pytest.raises(UsageError, match="holds four stems, not 5: leave out some with `mute`"):
        partita.mix(five, tmp_path / "b.stem.mp4")
    partita.mix(five, tmp_path / "b.stem.mp4", mute="c")


def test_mono_songs_become_stereo_where_something_is_panned(tmp_path):
    song = write_stems(tmp_path / "mono", noise_stems(3000, ("a", "b"), channels=1))
    assert partita.mix(song, tmp_path / "a.wav").channels == 1
    assert partita.mix(song, tmp_path / "b.wav", pan={"a": 0.5}).channels == 2


@pytest.mark.slow
def test_loudness(tmp_path):
    stems = noise_stems(RATE, level=0.05)
    song = write_stems(tmp_path / "song", stems)
    made = partita.mix(song, tmp_path / "a.wav", loudness=-20, bits=24)
    mixed = read(tmp_path / "a.wav")
    loudness = pyloudnorm.Meter(RATE).integrated_loudness(mixed.T)
    assert loudness == pytest.approx(-20, abs=0.1)
    assert made.loudness_lufs == pytest.approx(-20)
    assert made.true_peak_db >= 20 * math.log10(np.abs(mixed).max()) - 1e-3
    assert made.gain_db != 0
    limited = partita.mix(song, tmp_path / "b.wav", loudness=-5)
    assert np.abs(read(tmp_path / "b.wav")).max() == pytest.approx(1, abs=1e-4)
    assert "instead of -5: more would clip" in limited.warnings[0]
    whole = partita.mix(song, tmp_path / "c.wav", loudness=-5, bits="float")
    assert (whole.loudness_lufs, whole.warnings) == (pytest.approx(-5), ())


def test_silence_has_no_loudness(tmp_path):
    song = write_stems(tmp_path / "song", {"a": np.zeros((2, 9000), np.float32)})
    made = partita.mix(song, tmp_path / "a.wav", loudness=-14)
    assert made.warnings == ("too soft or too short for a loudness: the level stays",)
    assert made.gain_db == 0


@pytest.mark.usefixtures("stretch")
@pytest.mark.parametrize("suffix", ["wav", "mp3", "m4a"])
def test_speed_and_pitch(song, tmp_path, suffix):
    made = partita.mix(song, tmp_path / f"a.{suffix}", speed=0.8, pitch=-2)
    assert read(tmp_path / f"a.{suffix}").shape == (2, round(SAMPLES / 0.8))
    assert made.duration_s == round(SAMPLES / 0.8) / RATE


@pytest.mark.usefixtures("stretch")
def test_stems_of_a_slower_mix_add_up_to_it(song, tmp_path):
    partita.mix(song, tmp_path / "a.stem.mp4", speed=0.9, bits=24)
    mixture, *stems = (read(tmp_path / "a.stem.mp4", stream) for stream in range(5))
    assert np.square(mixture - sum(stems)).sum() < 1e-6 * np.square(mixture).sum()


@pytest.mark.usefixtures("stretch")
def test_tags_follow_speed_and_pitch(tmp_path):
    (tmp_path / "song").mkdir()
    form = partita.audio.formats.stem_format("flac")
    partita.audio.encode.encode_file(
        tmp_path / "song" / "vocals.flac", [STEMS["vocals"]], form, sample_rate=RATE, channels=2,
        frames=SAMPLES, tags=partita.audio.tags.Tags({"title": "Hey (vocals)", "bpm": "120",
                                                      "key": "Am", "artist": "X"}),
    )  # fmt: skip
    partita.mix(tmp_path / "song", tmp_path / "a.flac")
    text = {"title": "Hey", "bpm": "120", "key": "Am", "artist": "X"}
    assert read_tags(tmp_path / "a.flac").text == text
    partita.mix(tmp_path / "song", tmp_path / "b.flac", speed=0.9)
    assert read_tags(tmp_path / "b.flac").text == {**text, "bpm": "108"}
    partita.mix(tmp_path / "song", tmp_path / "c.flac", pitch=1)
    assert "key" not in read_tags(tmp_path / "c.flac").text


def nothing_left(folder):
    return {path.name for path in folder.iterdir()} == {"A song"}


def test_a_full_disk_leaves_nothing(song, tmp_path):
    for out in ("a.wav", "a.zip"):
        with little_room(30_000), pytest.raises(AudioWriteError, match="cannot write"):
            partita.mix(song, tmp_path / out)
        assert nothing_left(tmp_path)


def test_damage_leaves_nothing(song, tmp_path):
    bad = STEMS["drums"].copy()
    bad[0, -1] = np.nan
    write_stems(song, {"drums": bad})
    for out in ("a.wav", "a.zip"):
        with pytest.raises(AudioReadError, match=r"drums.wav: NaN or infinite"):
            partita.mix(song, tmp_path / out)
        assert nothing_left(tmp_path)


def test_cancelling_leaves_nothing(song, tmp_path):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(InterruptedError):
        partita.mix(song, tmp_path / "a.wav", cancel=cancel)
    assert nothing_left(tmp_path)


def test_progress_reaches_the_end(song, tmp_path):
    told = []
    partita.mix(song, tmp_path / "a.wav", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (pytest.approx(SAMPLES / RATE), pytest.approx(SAMPLES / RATE))


def test_wrong_settings(song, tmp_path):
    with pytest.raises(UsageError, match="no stem 'flute'; there are vocals, drums, bass, other"):
        partita.mix(song, tmp_path / "a.wav", gain={"flute": 1.0})
    with pytest.raises(UsageError, match="unknown setting of a mix 'gains'"):
        partita.mix(song, tmp_path / "a.wav", gains={})
    with pytest.raises(AudioWriteError, match="would overwrite an input"):
        partita.mix(song, song / "drums.wav", overwrite=True)
    assert repr(partita.mix(song, tmp_path / "a.wav")) == "MixFiles(mix: 0.454 s, wav)"
