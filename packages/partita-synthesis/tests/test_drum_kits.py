import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import AudioReadError, UsageError
from partita_synthesis._drum_names import key_of, stand_in
from partita_synthesis.drum_kits import (
    CHARACTERS,
    DrumKit,
    Layer,
    find_kits,
    open_hydrogen_kit,
    play_kit,
    sonic_pi_kits,
)
from partita_synthesis.instruments import instruments
from partita_synthesis.score import Note, Part, Player

RATE = 16_000

DRUMKIT_XML = """<?xml version="1.0" encoding="UTF-8"?>
<drumkit_info{space}><name>Test kit</name><license>CC0</license><instrumentList>
<instrument><name>My Kick</name><volume>0.5</volume><filename>kick.wav</filename></instrument>
<instrument><name>Snare</name><instrumentComponent>
<layer><filename>soft.wav</filename><min>0</min><max>0.5</max></layer>
<layer><filename>../{folder}/hard.wav</filename><min>0.5</min><max>1</max><gain>0.25</gain></layer>
</instrumentComponent></instrument>
<instrument><name>Closed HH</name><layer><filename>closed.wav</filename></layer></instrument>
<instrument><name>Open HH</name><layer><filename>open.wav</filename></layer></instrument>
<instrument><name>17</name><layer><filename>kick.wav</filename></layer></instrument>
</instrumentList></drumkit_info>
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A kit whose hits are constant: how loud and how long they sound is easily read."""
    folder = tmp_path_factory.mktemp("kit")
    for name in ("kick", "soft", "hard", "closed"):
        soundfile.write(folder / f"{name}.wav", np.full(RATE // 10, 0.5), RATE, "FLOAT")
    soundfile.write(folder / "open.wav", np.full((RATE, 2), [0.5, 0.25]), RATE, "FLOAT")
    (folder / "drumkit.xml").write_text(DRUMKIT_XML.format(space="", folder=folder.name))
    return folder


@pytest.fixture(scope="module")
def kit(folder):
    return open_hydrogen_kit(folder)


def play(kit, notes, duration_s=1.0, rate=RATE, seed=0, **options):
    part = Part(Player("drums", "standard_kit"), notes)
    return play_kit(part, kit, duration_s, rate, np.random.default_rng(seed), **options)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Kick Lite 1", 36),
        ("BassDrum", 36),
        ("c3 - bass drum 1", 36),
        ("Pearl Side Stick", 37),
        ("Rim Click (Pearl Free Floating Maple 14x3.5)", 37),
        ("Snare Rimshot (Pearl Free Floating Maple 14x3.5)", 40),
        ("Snare Jazz", 38),
        ("Hand Clap", 39),
        ("Closed HH", 42),
        ("Pedal HH", 44),
        ('Hi-Hat Pedal (Paiste Alpha Metal edge 14")', 44),
        ("VariBreaks Hat 1 Pd", 44),
        ("Open HH", 46),
        ("Hat Op Dirty", 46),
        ("Sabian Hat Closed", 42),
        ("Floor Tom", 41),
        ("tomhi2", 50),
        ("middle tom", 47),
        ("ride-cup", 53),
        ("Paiste Bell", 53),
        ("Ride Jazz", 51),
        ("crash16inch", 49),
        ("Zildjian Splash", 55),
        ("Tambourine (Pearl PTM-10GH)", 54),
        ("Agogo Low (Pearl ECB-23)", 68),
        ("Snare Roll", None),
        ("Zap 1", None),
        ("17", None),
        ("", None),
    ],
)
def test_names_tell_the_key(name, key):
    assert key_of(name) == key


@given(key=st.integers(0, 127), present=st.frozensets(st.integers(35, 81)))
def test_only_what_is_there_stands_in(key, present):
    found = stand_in(key, present)
    assert found is None or found[0] in present
    if key in present:
        assert found == (key, 0.0)


def test_relatives():
    assert stand_in(44, frozenset({42})) == (42, 0.0)
    assert stand_in(57, frozenset({49})) == (49, 0.0)
    assert stand_in(51, frozenset({49})) is None
    assert stand_in(50, frozenset({45})) == (45, 6.0)  # tuned up by three toms


@pytest.mark.parametrize("space", ["", ' xmlns="http://www.hydrogen-music.org/drumkit"'])
def test_kits_of_all_versions_are_read(folder, tmp_path, space):
    xml = DRUMKIT_XML.format(space=space, folder=folder.name)
    for path in folder.glob("*.wav"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "drumkit.xml").write_text(xml)
    kit = open_hydrogen_kit(tmp_path)
    assert (kit.name, kit.licence, kit.character) == ("Test kit", "CC0", "acoustic")
    assert set(kit.pieces) == {36, 38, 42, 46}
    assert kit.pieces[36] == ((Layer(tmp_path / "kick.wav", gain=0.5),),)
    # Nothing outside of the folder: only the last part of a name counts.
    assert [layer.path.parent for layer in kit.pieces[38][0]] == [tmp_path, tmp_path]
    assert [layer.gain for layer in kit.pieces[38][0]] == [1.0, 0.25]


def test_layers_follow_the_velocity(kit):
    soft, hard = (np.abs(play(kit, [Note(0, 0.1, 38, v)])).max() for v in (40, 120))
    assert hard < soft  # the hard layer has a quarter of the gain
    gentle, strong = (np.abs(play(kit, [Note(0, 0.1, 36, v)])).max() for v in (40, 120))
    assert strong > 4 * gentle


@given(start_s=st.floats(0, 0.8), rate=st.sampled_from([16_000, 44_100, 48_000]))
@settings(max_examples=20)
def test_hits_begin_when_they_are_written(kit, start_s, rate):
    audio = play(kit, [Note(start_s, 0.1, 42, 100)], rate=rate)
    first = np.flatnonzero(np.abs(audio).max(axis=0) > 0.1 * np.abs(audio).max())[0]
    assert first / rate == pytest.approx(start_s, abs=0.002)


@pytest.mark.parametrize("touch", [42, 44, 46])
def test_hats_choke_the_open_hat(kit, touch):
    audio = play(kit, [Note(0, 0.1, 46, 120), Note(0.5, 0.1, touch, 1)])
    after = np.abs(audio[:, int(0.53 * RATE) :]).max()
    before = np.abs(audio[:, int(0.4 * RATE) : int(0.49 * RATE)]).max()
    assert after < 0.05 * before


def test_other_pieces_do_not_choke_it(kit):
    audio = play(kit, [Note(0, 0.1, 46, 120), Note(0.5, 0.1, 38, 1)])
    assert np.abs(audio[:, int(0.8 * RATE)]).max() > 0.1


def test_stereo_keeps_its_sides(kit):
    audio = play(kit, [Note(0, 0.1, 46, 120)])
    assert not np.array_equal(audio[0], audio[1])


def test_tuning_shortens(kit):
    long, short = (
        np.flatnonzero(np.abs(play(kit, [Note(0, 0.1, 36, 99)], tuning_semitones=s)[0]) > 0.01)[-1]
        for s in (0.0, 12.0)
    )
    assert short == pytest.approx(long / 2, rel=0.02)


@given(
    notes=st.lists(
        st.builds(
            Note, st.floats(-1, 3), st.floats(0, 1), st.integers(0, 127), st.integers(1, 127)
        ),
        max_size=20,
    ),
    duration_s=st.sampled_from([0.001, 0.5, 2.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=50)
def test_anything_is_played_without_harm(kit, notes, duration_s, seed):
    before = list(notes)
    audio = play(kit, notes, duration_s, seed=seed)
    assert audio.shape == (2, round(duration_s * RATE))
    assert audio.dtype == np.float32
    assert np.isfinite(audio).all()
    assert np.array_equal(audio, play(kit, notes, duration_s, seed=seed))
    assert notes == before


def test_silence_is_silent(kit):
    assert not play(kit, []).any()
    assert not play(kit, [Note(0, 1, 81, 100)]).any()  # it has no triangle


def test_round_robin_never_repeats_a_layer(folder):
    layers = tuple(
        Layer(folder / f"{name}.wav", gain=g) for name, g in (("kick", 1), ("soft", 0.1))
    )
    kit = DrumKit("two", "", "percussion", {36: (layers,)})
    notes = [Note(0.2 * i, 0.1, 36, 100) for i in range(5)]
    audio = np.abs(play(kit, notes)[0])
    loud = [bool(audio[int((0.2 * i + 0.05) * RATE)] > 0.1) for i in range(5)]
    assert loud in ([True, False, True, False, True], [False, True, False, True, False])


def test_a_sample_that_cannot_be_decoded_is_named(folder, tmp_path):
    (tmp_path / "x.wav").write_bytes(b"no audio")
    kit = DrumKit("bad", "", "percussion", {36: ((Layer(tmp_path / "x.wav"),),)})
    with pytest.raises(AudioReadError, match=r"x\.wav"):
        play(kit, [Note(0, 1, 36, 100)])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no element"),
        (b"<drumkit_info>", "no element"),
        (b'<!DOCTYPE x [<!ENTITY a "aa">]><drumkit_info>&a;</drumkit_info>', "entities"),
        ("<drumkit_info/>".encode("utf-16"), "entities"),
        (b"<drumkit_info/>", "none of its pieces"),
        (bytes(range(1, 200)), "."),
        (b"<drumkit_info>" + b" " * (1 << 24), "larger than any"),
        (
            b"<drumkit_info><instrument><name>Kick</name><filename>%s</filename></instrument>"
            b"</drumkit_info>" % (b"x" * 5000),
            "none of its pieces",
        ),
    ],
    ids=range(8),
)
def test_broken_kits_are_refused_in_a_line(tmp_path, content, why):
    (tmp_path / "drumkit.xml").write_bytes(content)
    with pytest.raises(UsageError, match=f"as a drum kit: .*{why}") as caught:
        open_hydrogen_kit(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_kit_is_refused(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        open_hydrogen_kit(tmp_path / "none")


def test_characters_decide_who_plays(kit):
    brush, standard, machine = (
        instruments()[name] for name in ("brush_kit", "standard_kit", "drum_machine")
    )
    assert kit.can_play(standard)
    assert not kit.can_play(machine)
    assert not kit.can_play(brush)
    assert not kit.can_play(instruments()["grand_piano"])


def test_folders_are_searched(folder, tmp_path, monkeypatch):
    kits = tmp_path / "hydrogen/data/drumkits"
    kits.mkdir(parents=True)
    (kits / "mine").symlink_to(folder)
    (kits / "broken").mkdir()
    (kits / "broken/drumkit.xml").write_text("<")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert "Test kit" in [kit.name for kit in find_kits()]


def test_sonic_pi_samples_make_kits(tmp_path):
    for name in ("drum_bass_soft", "drum_bass_hard", "drum_snare_soft", "drum_cymbal_closed"):
        (tmp_path / f"{name}.flac").touch()
    kit = next(kit for kit in sonic_pi_kits(tmp_path) if kit.name == "Sonic Pi acoustic")
    assert kit.licence == "CC0-1.0"
    assert set(kit.pieces) == {36, 42}  # half a snare is none
    assert [layer.loudest for layer in kit.pieces[36][0]] == [0.5, 1.0]
    assert sonic_pi_kits(tmp_path / "none") == []


def test_installed_kits_can_be_played():
    kits = [kit for kit in find_kits() if kit.name != "Test kit"]
    if not kits:
        pytest.skip("needs Debian's package hydrogen-drumkits or sonic-pi-samples")
    for kit in kits:
        assert kit.character in CHARACTERS
        keys = list(kit.pieces) if kit.character == "percussion" else [36, 38, 42]
        audio = play(kit, [Note(0.1 * i, 0.1, key, 100) for i, key in enumerate(keys)], 3.0)
        assert 0.02 < np.abs(audio).max() < 8
