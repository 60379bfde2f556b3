"""``scripts/lmms_songs.py`` and what it is made of, with projects that the test writes."""

import hashlib
import json
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common import load_script
from partita.errors import PartitaError

RATE = 44100
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
PROJECT = """<?xml version="1.0"?>
<lmms-project type="song" creator="LMMS" creatorversion="1.2.2" version="1.0">
 <head timesig_numerator="4" timesig_denominator="4" bpm="240" mastervol="100" masterpitch="0"/>
 <song><trackcontainer type="song">
  <track type="0" name="Bass" muted="0"><instrumenttrack basenote="57" vol="100" pan="0" fxch="0">
   <instrument name="tripleoscillator"><tripleoscillator vol0="33" vol1="33" vol2="33"/>
   </instrument></instrumenttrack>
   <pattern type="1" pos="0" muted="0" steps="16" name="">
    <note key="33" pos="0" len="96" vol="100" pan="0"/>
    <note key="36" pos="96" len="96" vol="100" pan="0"/></pattern></track>
  <track type="0" name="not heard" muted="1"><instrumenttrack/></track>
  <track type="1" name="Beat" muted="0"><bbtrack><trackcontainer type="bbtrackcontainer">
   <track type="0" name="Kick" muted="0"><instrumenttrack basenote="57" vol="100" pan="0" fxch="0">
    <instrument name="kicker"><kicker startfreq="150" endfreq="40" decay="200"/></instrument>
    </instrumenttrack>
    <pattern type="0" pos="0" muted="0" steps="16" name="">
     <note key="57" pos="0" len="-192" vol="100" pan="0"/></pattern></track>
  </trackcontainer></bbtrack><bbtco pos="0" len="192" muted="0" name="Beat"/></track>
  <track type="1" name="Break" muted="0"><bbtrack/></track>
  <track type="2" name="Voice" muted="0"><sampletrack/></track>
  <track type="5" name="Automation track" muted="0"/>
 </trackcontainer></song>
</lmms-project>"""
COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: somebody
License: GPL-2+

Files: data/projects/demos/Sold-*
 data/projects/shorties/Sold*
Copyright:
 2011 somebody else
License: CC-BY-NC-3

License: GPL-2+
 Text.
"""


@pytest.fixture
def songs(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return load_script("lmms_songs", monkeypatch)


@pytest.fixture
def write_project(tmp_path):
    def write(name, text=PROJECT, folder="demos"):
        path = tmp_path / "projects" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = text.encode()
        if path.suffix == ".mmpz":
            content = len(content).to_bytes(4, "big") + zlib.compress(content)
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def write_rendered(tmp_path):
    """Write tracks as if LMMS had rendered them, a bass, a recording and a kick."""

    def write(project, signals, gain=1.0):
        folder = tmp_path / "out-tracks" / project.stem
        folder.mkdir(parents=True)
        digest = hashlib.sha256(project.read_bytes()).hexdigest()
        (folder / "facts.json").write_text(json.dumps({"project": digest, "gain": gain}))
        for index, signal in enumerate(signals):
            soundfile.write(folder / f"{index + 1}.flac", signal, RATE, "PCM_24")
        mix = np.sum(signals, axis=0)
        soundfile.write(folder / "mix.flac", mix, RATE, "PCM_24")
        return folder

    return write


def tone(hertz, seconds=2.0):
    times = np.arange(round(seconds * RATE)) / RATE
    return np.stack([0.3 * np.sin(2 * np.pi * hertz * times)] * 2, axis=1)


def hits(seconds=2.0, seed=0):
    """Return noise that begins four times a second and decays at once."""
    times = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).uniform(-1, 1, (len(times), 2))
    return 0.5 * noise * np.exp(-60 * (times % 0.25))[:, None]


@pytest.mark.parametrize("name", ["Song.mmp", "Song.mmpz"])
def test_tracks_are_those_that_lmms_renders(songs, write_project, name):
    from lmms_project import read_project

    bass, voice, kick = read_project(write_project(name))
    assert (bass.name, bass.plugin, bass.in_beat, bass.keys) == (
        "Bass",
        "tripleoscillator",
        False,
        (45, 48),
    )
    assert (voice.name, voice.plugin) == ("Voice", "")
    assert (kick.name, kick.in_beat, kick.keys) == ("Kick", True, (69,))


@pytest.mark.parametrize("content", [b"", b"no project", b"<lmms-project/>"])
def test_what_is_no_project_is_refused(songs, tmp_path, content):
    from lmms_project import read_project

    for name in ("a.mmp", "a.mmpz"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(PartitaError, match=name):
            read_project(path)


def test_measures_tell_low_from_high_and_hits_from_tones(songs):
    from track_stems import measure

    low, high, drum = (measure([x.astype("f4")]) for x in (tone(80), tone(1000), hits()))
    assert low.low_share > 0.95
    assert high.low_share < 0.05
    assert high.centroid_hz == pytest.approx(1000, rel=0.05)
    assert drum.percussive_share > 0.8
    assert max(low.percussive_share, high.percussive_share) < 0.2
    assert drum.attack_share > 3 * high.attack_share
    assert low.energy == pytest.approx(np.square(tone(80)).sum(), rel=1e-4)
    assert measure([]).energy == measure([np.zeros((5, 2), "f4")]).energy == 0


@pytest.mark.parametrize(
    ("stem", "name", "plugin", "sample", "keys", "low", "percussive"),
    [
        # what people and files are called
        ("drums", "BD 03", "audiofileprocessor", "drums/bassdrum03.ogg", (69,), 0.99, 0.5),
        ("drums", "Closed HihHat", "audiofileprocessor", "", (69,), 0.0, 1.0),
        ("drums", "bassdrum_acoustic01.ogg", "audiofileprocessor", "", (69,), 0.9, 0.9),
        ("drums", "Build Snare Low", "kicker", "", (72,), 0.4, 0.3),
        ("bass", "Bass Slap 02", "audiofileprocessor", "instruments/a.ogg", (61, 72), 0.9, 0.4),
        ("bass", "gated sub", "tripleoscillator", "", (45,), 0.9, 0.2),
        ("bass", "Synth Bass", "sid", "", (45,), 0.9, 0.2),
        ("other", "bassoon", "sf2player", "", (45, 50), 0.4, 0.1),
        ("other", "Strings (low)", "audiofileprocessor", "", (50, 67), 0.6, 0.1),
        ("other", "FX 1 Zip", "audiofileprocessor", "drums/zap03.ogg", (66, 93), 0.0, 0.6),
        ("", "zap03.ogg", "audiofileprocessor", "drums/zap03.ogg", (62, 69), 0.4, 0.99),
        ("other", "Lead High", "kicker", "", (64, 73), 0.1, 0.6),
        # left out: names that do not go with what is heard
        ("", "techno bass", "sid", "", (81, 84), 0.1, 0.1),
        ("", "latin_guitar03.ogg", "audiofileprocessor", "latin/x.ogg", (48, 81), 0.91, 0.1),
        ("", "Progressive Pluck", "zynaddsubfx", "", (49, 90), 0.55, 0.3),
        ("other", "Piano", "zynaddsubfx", "", (49, 90), 0.45, 0.3),
        # names that LMMS gives: the sample, its folder, then what is played and heard
        ("drums", "Default preset", "audiofileprocessor", "drumsynth/r_n_b/x.ds", (69,), 0, 0),
        ("bass", "x", "audiofileprocessor", "basses/rave01.ogg", (57, 60), 0.8, 0.2),
        ("other", "x", "audiofileprocessor", "drumsynth/misc_fx/hollow.ds", (36, 72), 0.3, 0.2),
        ("drums", "Default preset", "zynaddsubfx", "", (69, 69), 0.2, 0.8),
        ("bass", "Default preset", "zynaddsubfx", "", (41, 62, 45), 0.93, 0.1),
        ("bass", "Default preset", "lb302", "", (41, 41), 0.54, 0.7),
        ("bass", "Default preset", "zynaddsubfx", "", (58, 80, 70), 0.92, 0.1),
        ("", "Default preset", "zynaddsubfx", "", (58, 80, 70), 0.72, 0.1),
        ("", "Default preset", "zynaddsubfx", "", (41, 41), 0.72, 0.7),
        ("", "Default preset", "zynaddsubfx", "", (54, 54), 0.95, 0.2),
        ("bass", "Default preset", "zynaddsubfx", "", (41, 41), 0.95, 0.4),
        ("drums", "Default Kicker Preset", "kicker", "", (69,), 0.9, 0.6),
        ("other", "Standard-Preset", "sid", "", (45, 50), 0.2, 0.1),
        ("", "", "", "", (), 0.8, 0.1),
    ],
)
def test_where_tracks_go(songs, stem, name, plugin, sample, keys, low, percussive):
    from lmms_project import Track
    from track_stems import Measures, stem_of

    track = Track(name, plugin, sample, in_beat=False, keys=tuple(sorted(keys)))
    found, reason = stem_of(track, Measures(1.0, low, 500.0, percussive, 0.2))
    assert (found, bool(reason)) == (stem, True)


def test_stems_are_sums_of_tracks(songs, write_project, write_rendered, tmp_path):
    project = write_project("Song.mmp")
    tracks = (tone(60), np.zeros((2 * RATE, 2)), hits())
    write_rendered(project, tracks, gain=0.5)
    manifest = songs.make_song(project, "MIT", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Song"]
    for stem, expected in zip(("bass", "other", "drums"), tracks, strict=True):
        samples, rate = soundfile.read(tmp_path / "out" / "Song" / f"{stem}.flac")
        assert rate == RATE
        np.testing.assert_allclose(samples, expected, atol=2e-4)
    assert [track["stem"] for track in manifest["tracks"]] == ["bass", "", "drums"]
    assert manifest["tracks"][1]["reason"] == "silent"
    assert manifest["tracks"][0]["keys"] == [45, 48, 2]
    assert (manifest["gain"], manifest["seconds"], manifest["licence"]) == (0.5, 2.0, "MIT")
    assert manifest["sum_to_mix_db"] < -60
    assert manifest["bands_to_mix_db"] == 0
    assert manifest["stems"]["bass"]["low_share"] > 0.9
    assert manifest["stems"]["other"]["energy_db"] == -120


def test_no_stem_and_no_sum_clips(songs, write_project, write_rendered, tmp_path):
    project = write_project("Loud.mmp")
    loud = 3 * tone(60)
    folder = write_rendered(project, (loud, 3 * tone(500), hits()), gain=1.0)
    soundfile.write(folder / "mix.flac", loud, RATE, "PCM_24")
    manifest = songs.make_song(project, "MIT", tmp_path / "out")
    stems = [soundfile.read(path)[0] for path in (tmp_path / "out" / "Loud").glob("*.flac")]
    assert np.abs(sum(stems)).max() == pytest.approx(0.99, abs=0.01)
    assert manifest["gain"] < 0.6
    assert -12 < manifest["sum_to_mix_db"] < 3  # a track more than the mix has


def test_other_noise_changes_samples_but_hardly_the_bands(songs):
    first, second = (hits(seed=seed) for seed in (1, 2))
    assert songs.error_db(first, second) > 0
    assert 0.1 < songs.bands_error_db(first, second) < 3
    assert songs.bands_error_db(2 * first, first) == pytest.approx(6, abs=0.1)
    assert songs.bands_error_db(first[:0], first[:0]) == 0


def test_doubtful_tracks_are_left_out(songs, write_project, write_rendered, tmp_path):
    project = write_project("Song.mmp")
    write_rendered(project, (tone(2000), tone(800), hits()))
    manifest = songs.make_song(project, "MIT", tmp_path / "out")
    bass, voice, _ = manifest["tracks"]
    assert (bass["stem"], bass["reason"]) == (
        "",
        "left out: name Bass, but 0% below 250 Hz, 0% percussive",
    )
    assert voice["stem"] == "other"
    assert not soundfile.read(tmp_path / "out" / "Song" / "bass.flac")[0].any()
    assert manifest["sum_to_mix_db"] < -60  # all tracks, also those left out


def test_command_leaves_out_what_is_not_free_and_goes_on(
    songs, write_project, write_rendered, tmp_path, monkeypatch, capsys
):
    for name in ("Free.mmpz", "Sold-1.mmpz"):
        write_rendered(write_project(name), (tone(60), tone(900), hits()))
    write_project("Sold.mmp", folder="shorties")
    write_project("Broken.mmp", "not xml")
    (tmp_path / "copyright").write_text(COPYRIGHT)
    arguments = ["lmms_songs.py", str(tmp_path / "out"), "--projects", str(tmp_path / "projects")]
    monkeypatch.setattr(sys, "argv", [*arguments, "--copyright", str(tmp_path / "copyright")])
    written = []
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            songs.main()
        assert ended.value.code == 1
        output = capsys.readouterr()
        assert output.err.count("\n") == 1
        assert "Broken.mmp: not an LMMS project" in output.err
        assert "Sold-1: skipped: its licence is CC-BY-NC-3" in output.out
        assert "Sold: skipped" in output.out
        assert "Bass (tripleoscillator)" in output.out
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["Free"]
        written.append((tmp_path / "out" / "Free" / "bass.flac").stat().st_mtime_ns)
    assert written[0] == written[1]  # what is there is kept


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("CC0-1.0", True),
        ("CC-BY-SA-4", True),
        ("Artistic-2", True),
        ("BSD-2-clause", True),
        ("Expat and GPL-2+", True),
        ("LGPL-2.1+ or proprietary", True),
        ("CC-BY-NC-SA-3.0", False),
        ("CC-BY-ND-4", False),
        ("GPL-2+ and CC-BY-NC-4", False),
        ("proprietary", False),
        ("", False),
    ],
)
def test_free_licences(monkeypatch, licence, free):
    assert load_script("free_licences", monkeypatch).is_free(licence) is free


@pytest.mark.skipif(shutil.which("lmms") is None, reason="lmms is not installed")
def test_lmms_renders_each_track(songs, write_project, tmp_path):
    manifest = songs.make_song(write_project("Song.mmp"), "MIT", tmp_path / "out")
    stems = {track["name"]: track["stem"] for track in manifest["tracks"]}
    assert stems == {"Bass": "bass", "Voice": "", "Kick": "drums"}
    assert manifest["sum_to_mix_db"] < -40
    assert manifest["stems"]["bass"]["low_share"] > 0.5
