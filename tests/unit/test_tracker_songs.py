"""``scripts/tracker_songs.py``, with modules that the test writes."""

import ctypes.util
import json
import struct
import sys

import numpy as np
import pytest
import soundfile

from common import load_script

needs_library = pytest.mark.skipif(
    ctypes.util.find_library("openmpt") is None, reason="libopenmpt is not installed"
)
RATE = 22050
#: Periods of the Amiga's C-1, C-2, D-2, E-2, G-2, C-3.
C1, C2, D2, E2, G2, C3 = 856, 428, 381, 339, 285, 214


@pytest.fixture
def modules(monkeypatch):
    return load_script("tracker_modules", monkeypatch)


@pytest.fixture
def script(modules, monkeypatch):
    return load_script("tracker_songs", monkeypatch)


def kick():
    """A sine that falls from 150 to 50 Hz and fades, at the 8287 Hz of C-2."""
    seconds = np.arange(1600) / 8287
    phase = 2 * np.pi * np.cumsum(50 + 100 * np.exp(-seconds / 0.03)) / 8287
    return 120 * np.sin(phase) * np.exp(-seconds / 0.05)


def hat():
    rng = np.random.default_rng(0)
    return 80 * rng.uniform(-1, 1, 600) * np.exp(-np.arange(600) / 100)


def wave(samples, overtones):
    phase = 2 * np.pi * np.arange(samples) / samples
    return 60 * sum(np.sin(n * phase) / n for n in range(1, overtones + 1))


def mod(bass=(C2, D2, E2, G2)):
    """Kick, hat, bass and lead, one on each channel, 8 s."""
    sounds = [("boom", kick(), 0), ("", hat(), 0), ("", wave(128, 3), 1), ("", wave(16, 6), 1)]
    played = {
        0: dict.fromkeys(range(0, 64, 8), (C2, 1)),
        1: dict.fromkeys(range(0, 64, 2), (C2, 2)),
        2: {row: (bass[row // 4 % len(bass)], 3) for row in range(0, 64, 4)},
        3: {row: ((C3, G2, E2, C2, D2)[row // 2 % 5], 4) for row in range(0, 64, 2)},
    }
    heads, bodies = [], []
    for index in range(31):
        name, samples, loops = sounds[index] if index < len(sounds) else ("", np.zeros(0), 0)
        samples = samples[: len(samples) // 2 * 2].round().astype(np.int8)
        words = len(samples) // 2
        loop = (0, words) if loops else (0, 1)
        heads.append(struct.pack(">22sHBBHH", name.encode(), words, 0, 64, *loop))
        bodies.append(samples.tobytes())
    pattern = b""
    for row in range(64):
        for channel in range(4):
            period, sample = played[channel].get(row, (0, 0))
            pattern += bytes([period >> 8, period & 255, sample << 4, 0])
    orders = bytes([1, 127]) + bytes(128)
    return (
        b"tune".ljust(20, b"\0") + b"".join(heads) + orders + b"M.K." + pattern + b"".join(bodies)
    )


def xm(names=("one", "two")):
    """A pattern in which two instruments play a note each."""
    head = struct.pack("<HHHHHHHH", 1, 0, 2, 1, len(names), 1, 6, 125) + bytes(256)
    cells = [bytes([49, 1, 0, 0, 0, 49, 2, 0, 0, 0])] + [bytes(10)] * 15
    pattern = struct.pack("<IBHH", 9, 0, 16, 160) + b"".join(cells)
    content = b"Extended Module: " + b"tune".ljust(20) + b"\x1a" + b"test".ljust(20)
    content += struct.pack("<HI", 0x104, 20 + 256) + head + pattern
    for index, name in enumerate(names):
        samples = np.tile(np.repeat([100, -100], 20 + 10 * index), 20).astype(np.int8)
        coded = np.diff(samples, prepend=np.int8(0)).astype(np.int8).tobytes()
        instrument = struct.pack("<I22sBHI", 263, name.encode(), 0, 1, 40) + bytes(96 + 96)
        content += instrument.ljust(263, b"\0")
        content += struct.pack("<IIIBbBBbB22s", len(coded), 0, len(coded), 64, 0, 1, 128, 0, 0, b"")
        content += coded
    return content


def s3m():
    """Two samples, unsigned, one on each of two channels."""
    content = bytearray(b"tune".ljust(28, b"\0") + b"\x1a\x10\0\0")
    content += struct.pack("<HHHHHH4s", 2, 2, 1, 0, 0x1320, 2, b"SCRM")
    content += bytes([64, 6, 125, 0xB0, 0, 0]) + bytes(10) + bytes([0, 8]) + bytes([255] * 30)
    content += bytes([0, 255])
    content += struct.pack("<HHH", 16, 24, 32)
    for index, name in enumerate(("one", "two")):
        content = content.ljust(16 * (16 + 8 * index), b"\0")
        content += struct.pack(
            "<B12sBHIIIBBBB", 1, b"", 0, 48 + 64 * index, 800, 0, 800, 64, 0, 0, 1
        )
        content += struct.pack("<I12x28s4s", 8363, name.encode(), b"SCRS")
    content = content.ljust(16 * 32, b"\0")
    rows = bytes([0x20, 0x40, 1, 0x21, 0x40, 2, 0]) + bytes(63)
    content += struct.pack("<H", len(rows) + 2) + rows
    for index in range(2):
        content = content.ljust(16 * (48 + 64 * index), b"\0")
        content += (
            np.tile(np.repeat([228, 28], 20 + 20 * index), 20).astype(np.uint8).tobytes()[:800]
        )
    return bytes(content)


def it():
    """Two samples, signed, one on each of two channels."""
    head = b"IMPM" + b"tune".ljust(26, b"\0") + bytes([4, 16])
    head += struct.pack("<HHHHHHHH", 2, 0, 2, 1, 0x214, 0x200, 1, 0)
    head += bytes([128, 48, 6, 125, 128, 0]) + struct.pack("<HII", 0, 0, 0)
    head += bytes([0, 64] + [160] * 62) + bytes([64] * 64) + bytes([0, 255])
    first = len(head) + 12
    at = first + 160
    rows = bytes([0x81, 3, 60, 1, 0x82, 3, 60, 2, 0]) + bytes(31)
    pattern = struct.pack("<HH4x", len(rows), 32) + rows
    content = head + struct.pack("<III", first, first + 80, at)
    for index, name in enumerate((b"one", b"two")):
        place = at + len(pattern) + 800 * index
        content += b"IMPS" + bytes(13) + bytes([64, 0x11, 64]) + name.ljust(26, b"\0")
        content += (
            bytes([1, 0]) + struct.pack("<IIIIIII", 800, 0, 800, 8363, 0, 0, place) + bytes(4)
        )
    content += pattern
    for index in range(2):
        samples = np.tile(np.repeat([100, -100], 20 + 20 * index), 20)[:800]
        content += samples.astype(np.int8).tobytes()
    return content


WRITERS = {"mod": mod, "xm": xm, "s3m": s3m, "it": it}


@pytest.mark.parametrize("kind", WRITERS)
def test_finds_instruments(modules, kind):
    data = WRITERS[kind]()
    names = [unit.name for unit in modules.find_units(data)]
    assert names == (["boom", *[""] * 30] if kind == "mod" else ["one", "two"])
    assert modules.only(data, range(31)) == data


@needs_library
@pytest.mark.parametrize("kind", WRITERS)
def test_instruments_add_up_to_the_module(modules, kind):
    data = WRITERS[kind]()
    whole = modules.render(data, RATE)
    alone = [
        modules.render(modules.only(data, [index]), RATE)
        for index in range(4 if kind == "mod" else 2)
    ]
    assert all(np.abs(each).max() > 0.05 for each in alone)
    np.testing.assert_allclose(sum(alone), whole, atol=1e-5)
    assert not modules.render(modules.only(data, []), RATE).any()


@needs_library
def test_separation_moves_channels_to_the_middle(modules):
    data = modules.only(mod(), [0])
    wide, narrow, mono = (modules.render(data, RATE, percent) for percent in (100, 30, 0))
    ratios = [np.abs(each[1]).max() / np.abs(each[0]).max() for each in (wide, narrow)]
    np.testing.assert_allclose(ratios, [0.25 / 0.75, 0.425 / 0.575], rtol=0.03)
    np.testing.assert_allclose(mono[0], mono[1], atol=1e-6)


def test_refuses_what_cannot_be_taken_apart(modules):
    with pytest.raises(modules.ModuleError, match="no MOD"):
        modules.find_units(b"RIFF" * 500)
    with pytest.raises(modules.ModuleError, match="damaged"):
        modules.find_units(xm()[:500])
    with_instruments = bytearray(it())
    with_instruments[0x2C] |= 4
    with pytest.raises(modules.ModuleError, match="with instruments"):
        modules.find_units(bytes(with_instruments))


@needs_library
def test_library_refuses_what_is_no_module(modules):
    with pytest.raises(modules.ModuleError, match="cannot read"):
        modules.render(b"nothing", RATE)


@needs_library
def test_sorts_by_sound(script):
    stems = [each["stem"] for each in script.sort(mod(), {})]
    assert stems == ["drums", "drums", "bass", "other"]
    bass = script.sort(mod(), {})[2]
    assert (bass["notes"], bass["keys"]) == (16, 4)
    assert 60 < bass["hertz"] < 90  # of a loop of 128 samples at C-2, D-2, E-2 and G-2
    corrected = script.sort(mod(), {"3": "none"})[2]
    assert (corrected["stem"], corrected["reason"]) == ("none", "corrected by hand")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("BassDrum", "drums"),
        ("Drum.Bass.Future", "drums"),
        ("Hihat.Closed", "drums"),
        ("virveli2", "drums"),
        ("Fingered Bass", "bass"),
        ("ChipBass.looped", "bass"),
        ("Guitar.Bass.NewPoem2", "bass"),
        ("soolokitara1", "other"),
        ("Piano.HiGrand", "other"),
        ("what it is", "none"),
    ],
)
def test_sorts_by_name_first(script, name, stem):
    low = script.Measures(
        energy=0.1,
        notes=9,
        keys=2,
        low=0.9,
        percussive=0.1,
        flatness=0.0,
        periodic=1.0,
        hertz=80.0,
        seconds=1.0,
    )
    assert script.guess(name, low)[0] == stem


@pytest.fixture
def packages(tmp_path):
    folder = tmp_path / "packages" / "ballz-data" / "usr" / "share"
    folder.mkdir(parents=True)
    (folder / "tune.mod").write_bytes(mod())
    (tmp_path / "packages" / "rafkill-data").mkdir()
    (tmp_path / "packages" / "rafkill-data" / "song5.xm").write_bytes(b"left out by its licence")
    (tmp_path / "packages" / "unknown-data").mkdir()
    (tmp_path / "packages" / "unknown-data" / "tune.mod").write_bytes(b"nothing")
    return tmp_path / "packages"


def run(script, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["", *map(str, arguments)])
    script.main()


@needs_library
def test_writes_a_folder_for_each_module(script, packages, tmp_path, monkeypatch, capsys):
    out = tmp_path / "songs"
    run(script, monkeypatch, packages, out, "--table")
    assert [folder.name for folder in out.iterdir()] == ["ballz-tune"]
    song = out / "ballz-tune"
    manifest = json.loads((song / "manifest.json").read_text("utf-8"))
    assert manifest["licence"] == "BSD-3-Clause"
    assert 20 <= manifest["stereo_separation_percent"] <= 120
    assert [each["stem"] for each in manifest["instruments"]] == ["drums", "drums", "bass", "other"]
    stems = {}
    for stem in script.STEMS:
        stems[stem], rate = soundfile.read(song / f"{stem}.flac")
        assert rate == 44100
        assert stems[stem].shape == stems["drums"].shape
        assert np.abs(stems[stem]).max() > 0.05
    assert np.abs(sum(stems.values())).max() == pytest.approx(0.9, abs=0.01)
    assert "drums: 0.1 min" in capsys.readouterr().out
    bass = np.abs(np.fft.rfft(stems["bass"][:, 0])) ** 2
    assert bass[: round(250 * len(stems["bass"]) / 44100)].sum() > 0.9 * bass.sum()

    before = (song / "bass.flac").stat().st_mtime_ns
    (song / "other.flac").unlink()
    (song / "manifest.json").unlink()  # broken off before the end
    run(script, monkeypatch, packages, out)
    assert (song / "other.flac").is_file()
    again = (song / "bass.flac").stat().st_mtime_ns
    assert again != before
    run(script, monkeypatch, packages, out)
    assert (song / "bass.flac").stat().st_mtime_ns == again


@needs_library
def test_modules_that_cannot_be_sorted_are_left_out(
    script, modules, packages, tmp_path, monkeypatch, capsys
):
    """A low tone that never changes may be a drum or a bass."""
    doubtful = modules.only(mod(bass=[C2]), [2])
    (packages / "ballz-data" / "usr" / "share" / "tune.mod").write_bytes(doubtful)
    run(script, monkeypatch, packages, tmp_path / "songs")
    assert not (tmp_path / "songs").exists()
    assert "skipped: tune.mod" in capsys.readouterr().out


@needs_library
def test_says_which_module_is_broken(script, packages, tmp_path, monkeypatch):
    (packages / "ballz-data" / "broken.mod").write_bytes(b"nothing")
    with pytest.raises(SystemExit, match=r"broken\.mod: this is no MOD"):
        run(script, monkeypatch, packages, tmp_path / "songs")
