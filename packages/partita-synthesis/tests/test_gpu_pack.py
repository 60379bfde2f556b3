"""``scripts/gpu_pack.py``, with sounds that the test writes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common import load_script
from partita_synthesis._soundfont_file import open_soundfont_file
from partita_synthesis.drum_kits import find_kits, open_hydrogen_kit
from partita_synthesis.instruments import instruments
from partita_synthesis.score import Note, Part, Player
from partita_synthesis.soundfonts import open_soundfont, play_part
from soundfont_file import tiny_soundfont

SCRIPTS = "packages/partita-synthesis/scripts"

RATE = 44100
PIANO, KIT = instruments()["grand_piano"], instruments()["standard_kit"]
XML = """<drumkit_info><name>Mine</name><license>CC0</license><instrumentList>
{}</instrumentList></drumkit_info>"""
HIT = "<instrument><name>{}</name><layer><filename>{}.flac</filename></layer></instrument>"


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "scripts"))
    return [load_script(name, monkeypatch, SCRIPTS) for name in ("gpu_pack", "gpu_soundfonts")]


@pytest.fixture
def font(tmp_path):
    return open_soundfont(tiny_soundfont(tmp_path / "tiny.sf2"))


@pytest.fixture
def data(tmp_path):
    """Three songs of 8 s; the bass of the second sounds in its last two seconds only."""
    rng = np.random.default_rng(0)
    for number in range(3):
        folder = tmp_path / "data" / f"song {number}"
        folder.mkdir(parents=True)
        for name in ("drums", "bass"):
            audio = 0.1 * rng.normal(size=(8 * RATE, 2))
            if (number, name) == (1, "bass"):
                audio[: 6 * RATE] = 0
            if name == "bass":
                audio = audio[:, [0, 0]]
            soundfile.write(folder / f"{name}.wav", audio, RATE)
    return tmp_path / "data"


@pytest.fixture
def kit(tmp_path):
    folder = tmp_path / "home/hydrogen/data/drumkits/Mine"
    folder.mkdir(parents=True)
    pieces = {"Kick": "kick", "Snare": "snare", "Closed Hat": "hat"}
    (folder / "drumkit.xml").write_text(
        XML.format("".join(HIT.format(name, file) for name, file in pieces.items()))
    )
    for hertz, file in enumerate(pieces.values(), 1):
        tone = 0.5 * np.sin(2 * np.pi * 100 * hertz * np.arange(3 * RATE) / RATE)
        soundfile.write(folder / f"{file}.flac", tone, RATE)
    return folder


def play(font, instrument, key=69):
    note = Note(0.1, 0.8, key, 100)
    return play_part(Part(Player("lead", instrument.name), [note]), instrument, font, 1.0, RATE)[0]


@pytest.mark.parametrize(("longest_s", "keeps_loop"), [(8.0, True), (0.3, False)])
def test_thinned_soundfonts_sound_alike(scripts, font, tmp_path, longest_s, keeps_loop):
    _, soundfonts = scripts
    file = open_soundfont_file(font.path)
    used = soundfonts.used_samples(file)
    path = tmp_path / "thin.sf3"
    path.write_bytes(soundfonts.thinned(file, used, 0.1 if not keeps_loop else longest_s))
    assert path.stat().st_size < font.path.stat().st_size / 3
    thin = open_soundfont(path)
    assert (thin.name, thin.licence, thin.programs, thin.kits) == (
        font.name, font.licence, font.programs, font.kits
    )  # fmt: skip
    for instrument in (PIANO, KIT):
        expected, found = play(font, instrument), play(thin, instrument)
        begin = slice(round(0.12 * RATE), round((0.8 if keeps_loop else 0.15) * RATE))
        error = np.square(expected[begin] - found[begin]).sum()
        assert error < 0.05 * np.square(expected[begin]).sum()
        sounds_on = np.abs(found[round(0.6 * RATE) : round(0.7 * RATE)]).max() > 0.01
        assert sounds_on == keeps_loop


def test_samples_that_nobody_plays_are_left_out(scripts, font, monkeypatch):
    _, soundfonts = scripts
    file = open_soundfont_file(font.path)
    all_bytes = len(soundfonts.thinned(file, soundfonts.used_samples(file), 8.0))
    monkeypatch.setattr(file, "presets", {(0, 100): 0, (0, 101): 0, (0, 102): 0})
    assert soundfonts.used_samples(file) == {}
    assert len(soundfonts.thinned(file, {}, 8.0)) < all_bytes - 500


def test_a_pack_keeps_its_limit(scripts, font, kit, data, tmp_path, monkeypatch, capsys):
    pack, _ = scripts
    monkeypatch.setattr(pack, "find_soundfonts", lambda: (font,))
    monkeypatch.setattr(pack, "find_kits", lambda: (open_hydrogen_kit(kit),))
    out = tmp_path / "pack"
    arguments = [out, "--songs", data, "--no-wheels", "--mib", "0.62"]
    monkeypatch.setattr(sys, "argv", ["gpu_pack", *map(str, arguments)])
    pack.main()
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert size < 0.62 * 2**20
    assert "songs to train on" in capsys.readouterr().out
    facts = json.loads((out / "pack.json").read_text())
    assert facts["soundfonts"] == [{"name": "Tiny", "licence": "nobody's"}]
    assert facts["songs"] == [f"data song {number}" for number in range(3)]
    # What it holds is found and plays.
    monkeypatch.setenv("XDG_DATA_HOME", str(out / "share"))
    (packed,) = [each for each in find_kits() if each.name == "Mine"]
    assert (packed.licence, packed.character) == ("CC0", "acoustic")
    assert [layer.path.suffix for piece in packed.pieces.values() for layers in piece
            for layer in layers] == [".opus"] * 3  # fmt: skip
    train = out / "songs/train"
    stems = {
        str(path.relative_to(train)): soundfile.read(path, always_2d=True)[0]
        for path in train.glob("*/*.opus")
    }
    names = [f"{song}/{stem}.opus" for song in facts["songs"] for stem in ("bass", "drums")]
    assert sorted(stems) == names
    bass = stems["data song 1/bass.opus"]
    assert bass.shape[1] == 1  # equal channels are coded once
    assert np.abs(bass[-48000:]).max() > 0.1  # the end of the song, where it sounds
    lengths = {len(stem) for stem in stems.values()}
    assert len(lengths) == 1
    assert 48000 < lengths.pop() < 8 * 48000
    # A second call replaces it, but no folder of something else.
    pack.main()
    (out / "pack.json").unlink()
    with pytest.raises(SystemExit):
        pack.main()


def test_what_does_not_fit_is_refused(scripts, font, tmp_path):
    pack, _ = scripts
    with pytest.raises(SystemExit, match="MiB are more than were asked for"):
        pack.build(
            tmp_path / "pack", fonts=[font], held_out="", kits=[], songs=[], limit=500, wheels=()
        )


def test_soundfonts_of_one_origin_are_packed_once(scripts, font):
    pack, _ = scripts
    names = ["FluidR3_GM.sf2", "MuseScore_General.sf3", "FluidR3Mono_GM.sf3", "own.sf2", "own.sf2"]
    import dataclasses

    fonts = [dataclasses.replace(font, path=Path(name)) for name in names]
    assert [each.path.name for each in pack._different(fonts)] == [
        "MuseScore_General.sf3", "own.sf2"
    ]  # fmt: skip


def test_the_fullest_place(scripts):
    pack, _ = scripts
    often, seldom = np.zeros((20 * 1000, 1), np.float32), np.zeros((18 * 2000, 2), np.float32)
    often[: 15 * 1000] = seldom[12 * 2000 : 14 * 2000] = 0.5
    stems = [(often, 1000), (seldom, 2000)]
    assert 10 <= pack.fullest_place(stems, 4) <= 11  # both stems sound, all of the seldom one
    assert pack.fullest_place(stems, 30) == 0
