"""What the README tells people to type works as it stands there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from partita.weights.cards import get_card
from partita.weights.places import is_cached

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
COMMANDS = [
    line.removeprefix("$ partita ").split("  #")[0]
    for block in re.findall(r"```console\n(.*?)```", README, re.S)
    for line in block.splitlines()
    if line.startswith("$ partita ")
]
LARGE = "htdemucs"  # a download of 98 MB, and seconds for a second of music
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.fixture
def folder(tmp_path, song, stems, spleeter):
    import soundfile

    (tmp_path / "references/song").mkdir(parents=True)
    for name, samples in stems.items():
        path = tmp_path / f"references/song/{name}.wav"
        soundfile.write(path, np.tile(samples, 2).T, 44100)

    soundfile.write(tmp_path / "song.mp3", np.tile(song, 2).T, 44100, format="MP3")
    (tmp_path / "album").mkdir()
    for name in ("one.flac", "two.ogg"):
        soundfile.write(tmp_path / "album" / name, song[:, :44100].T, 44100)
    return tmp_path


def test_commands(run, folder):
    assert len(COMMANDS) >= 6
    for command in COMMANDS:
        if LARGE in command:
            continue
        result = run(*shlex.split(command))
        assert result.status == 0, (command, result.err)
    for path in (
        "separated/four-stems/song/bass.wav",
        "stems/four-stems/song/no_vocals.flac",
        "separated/four-stems/two/drums.wav",
    ):
        assert (folder / path).exists(), path


@pytest.mark.slow
def test_commands_with_large_weights(run, write_song, song):
    if not is_cached(get_card(LARGE)):
        pytest.skip(f"the weights of {LARGE} are not in the cache")
    commands = [command for command in COMMANDS if LARGE in command]
    assert commands
    write_song("song.mp3", song[:, :22050])
    for command in commands:
        result = run(*shlex.split(command))
        assert result.status == 0, (command, result.err)


def test_python(folder, stems, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert len(PYTHON) == 1
    names = {"references": stems}
    exec(compile(PYTHON[0], "README.md", "exec"), names)
    assert (folder / "stems/vocals.flac").exists()
    assert capsys.readouterr().out.endswith(" dB\n")
    assert set(names["estimates"]) == {"vocals", "drums", "bass", "other"}


def test_make_targets_exist():
    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text()
    for target in re.findall(r"^\$ make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
