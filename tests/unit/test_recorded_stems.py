"""``scripts/recorded_stems.py``, with packages that the test writes."""

import json
import sys

import numpy as np
import pytest
import soundfile

from common import load_script


@pytest.fixture
def script(monkeypatch):
    return load_script("recorded_stems", monkeypatch)


@pytest.fixture
def root(script, tmp_path):
    """Write every recording, short, at other rates, and too loud."""
    for recording in script.RECORDINGS:
        path = tmp_path / "root" / recording.file
        path.parent.mkdir(parents=True, exist_ok=True)
        times = np.arange(2205) / 22050
        soundfile.write(path, np.sin(2 * np.pi * 440 * times), 22050)
    return tmp_path / "root"


def test_each_recording_is_a_song_of_one_stem(script, root, tmp_path, monkeypatch, capsys):
    out = tmp_path / "more"
    monkeypatch.setattr(sys, "argv", ["recorded_stems.py", str(out), "--root", str(root)])
    script.main()
    assert "drums: 0.0 min" in capsys.readouterr().out
    assert len(list(out.iterdir())) == len(script.RECORDINGS)
    for recording in script.RECORDINGS:
        song = out / recording.name
        assert {path.name for path in song.iterdir()} == {f"{recording.stem}.flac", "manifest.json"}
        samples, rate = soundfile.read(song / f"{recording.stem}.flac")
        assert (rate, len(samples)) == (44100, 4410)
        assert 0.9 < np.abs(samples).max() <= 0.99
        manifest = json.loads((song / "manifest.json").read_text())
        assert manifest["licence"] == recording.licence
    before = (out / "loop amen" / "drums.flac").stat().st_mtime_ns
    script.main()
    assert (out / "loop amen" / "drums.flac").stat().st_mtime_ns == before


def test_packages_that_are_missing_are_named(script, root, tmp_path, monkeypatch, capsys):
    (root / script.RECORDINGS[-1].file).unlink()
    monkeypatch.setattr(sys, "argv", ["recorded_stems.py", str(tmp_path), "--root", str(root)])
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 2
    assert "apt-get install sonic-pi-samples" in capsys.readouterr().err


def test_all_licences_are_free(script, monkeypatch):
    is_free = load_script("free_licences", monkeypatch).is_free
    assert all(is_free(recording.licence) for recording in script.RECORDINGS)
