"""The example that separates songs with exported models, without PyTorch and partita."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import example_song
import partita

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

PROGRAM = Path(__file__).resolve().parents[2] / "examples/separate_onnx.py"
RUN = """
import runpy, sys
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    assert not {"torch", "partita"} & sys.modules.keys()
"""
LEAST_DB = 60.0


def separate(*arguments):
    code = f"import sys; sys.argv = {[str(each) for each in (PROGRAM, *arguments)]!r}{RUN}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def assert_agreement(estimates, folder):
    names = {path.stem for path in folder.glob("*.wav")}
    assert names == set(estimates)
    for name, audio in estimates.items():
        expected = audio.samples.numpy()
        found = soundfile.read(folder / f"{name}.wav", dtype="float32")[0].T
        assert found.shape == expected.shape
        error = np.square(found - expected).sum()
        agreement_db = 10 * np.log10(np.square(expected).sum() / max(error, 1e-20))
        assert agreement_db > LEAST_DB, name


@pytest.fixture(scope="module")
def four_stems(spleeter, tmp_path_factory):
    from partita.export.export import export_model
    from partita.weights.resolve import resolve

    folder = tmp_path_factory.mktemp("exported") / "whole"
    export_model(resolve("four-stems"), folder, whole=True)
    return folder


@pytest.mark.parametrize(("seconds", "channels"), [(15.0, 2), (3.0, 1)])
def test_stems_are_those_of_partita(four_stems, seconds, channels, tmp_path):
    mixture = example_song.mixture(example_song.render(seconds))
    if channels == 1:
        mixture = mixture.mean(axis=0, keepdims=True)
    soundfile.write(tmp_path / "song.wav", mixture.T, 44100, subtype="FLOAT")
    done = separate(four_stems, tmp_path / "song.wav", tmp_path / "stems")
    assert (done.returncode, done.stderr) == (0, "")
    assert_agreement(partita.Separator("four-stems")(mixture, 44100), tmp_path / "stems")


@pytest.mark.parametrize("count", [1, 5000, 44100, 4 * 44100])
def test_one_model_and_songs_of_any_length(count, tiny_model, run, tmp_path):
    assert run("export", tiny_model, "-o", "whole.onnx", "--whole").status == 0
    rng = np.random.default_rng(0)  # ordinary stereo: mostly in the centre
    mixture = 0.1 * rng.standard_normal((1, count)) + 0.03 * rng.standard_normal((2, count))
    mixture = mixture.astype(np.float32)
    soundfile.write(tmp_path / "song.wav", mixture.T, 44100, subtype="FLOAT")
    done = separate(tmp_path / "whole.onnx", tmp_path / "song.wav", tmp_path / "stems")
    assert (done.returncode, done.stderr) == (0, "")
    assert_agreement(
        partita.Separator(str(tmp_path / "whole.onnx"))(mixture, 44100), tmp_path / "stems"
    )


def test_what_cannot_be_separated(tiny_model, song, run, tmp_path):
    for options, name in ([], "part.onnx"), (["--whole"], "whole.onnx"):
        assert run("export", tiny_model, "-o", name, *options).status == 0
    soundfile.write(tmp_path / "song.wav", song.T, 44100)
    soundfile.write(tmp_path / "other.wav", song.T, 48000)
    for model, name, fault in (
        ("part.onnx", "song.wav", "not a stereo model with windows, written by partita export"),
        ("whole.onnx", "other.wav", "2 channels at 48000 Hz: convert it to stereo at 44100 Hz"),
    ):
        done = separate(tmp_path / model, tmp_path / name, tmp_path / "stems")
        assert done.returncode == 1
        assert fault in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "stems").exists()
