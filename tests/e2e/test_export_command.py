"""Models exported and used from the command line."""

import json
import sys

import numpy as np
import pytest
import soundfile
import torch

from common import SMALL_UNMIX
from partita.models import create_model
from partita.weights.checkpoint import save_checkpoint
from partita.weights.exported.metadata import read_metadata, with_metadata

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")


def read(path):
    return soundfile.read(path, dtype="float32")[0].T


@pytest.fixture
def exported(run, tiny_model, tmp_path):
    path = tmp_path / "tiny.onnx"
    assert run("export", tiny_model, "--out", path).status == 0
    return path


def test_an_exported_file_gives_the_same_stems(
    exported, run, tiny_model, write_song, monkeypatch, tmp_path
):
    write_song()
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    said = read_metadata(exported)
    assert json.loads(said["sources"]) == ["voice", "flute", "rest"]
    options = ["--bits", "float", "--json"]
    cached = ["-n", tiny_model, "--runtime", "onnxruntime"]  # exported into the cache
    assert run("separate", "song.wav", "-n", tiny_model, "-o", "a", *options).status == 0
    for folder, name in ("b", ["-n", exported]), ("c", cached):
        done = run("separate", "song.wav", *name, "-o", folder, *options)
        assert done.status == 0, done.err
        assert json.loads(done.out)["null_depth_db"] < -100
        for stem in ("voice", "flute", "rest"):
            expected, found = (read(f"{each}/tiny/song/{stem}.wav") for each in ("a", folder))
            assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    (path,) = (tmp_path / "home/exported").rglob("*.onnx")
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])  # damaged: it is exported again
    done = run("separate", "song.wav", *cached, "-o", "d", *options)
    assert done.status == 0
    assert "cut short); exporting it again" in done.err
    assert path.read_bytes() == whole


def test_chains_with_a_part_that_has_no_network(run, band, tmp_path):
    refused = run("export", "band", "--out", "four")
    assert refused.status == 2
    assert refused.err == (
        "partita: repet cannot be exported: it has no network: it looks for the period of each "
        "song\n"
    )
    assert not (tmp_path / "four").exists()


def test_chains_and_ensembles_of_files(exported, run, tiny_model, write_song, tmp_path):
    write_song()
    name = f"{tiny_model}:rest+{tiny_model}"
    done = run("export", name, "--out", "two", "--quantise", "float16", "--check", "song.wav")
    assert done.status == 0, done.err
    assert "float16 weights, 30 s of 1 song, medians:" in done.out
    assert "dB SDR against the stem of float32 weights" in done.out
    assert [path.name for path in sorted((tmp_path / "two").iterdir())] == [
        "partita-model.json",
        "tiny.onnx",
    ]
    assert (tmp_path / "two/tiny.onnx").stat().st_size < 0.9 * exported.stat().st_size
    assert run("separate", "song.wav", "-n", name, "-o", "a", "--bits", "float").status == 0
    assert run("separate", "song.wav", "-n", "two", "-o", "b", "--bits", "float").status == 0
    (folder,) = (tmp_path / "a").iterdir()
    for path in (folder / "song").glob("*.wav"):
        expected, found = read(path), read(tmp_path / "b/two/song" / path.name)
        assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()
    again = run("export", name, "--out", "two")
    assert again.status == 2
    assert "need a new or empty folder; two exists" in again.err

    both = f"{tiny_model}:3,{exported}"
    done = run("export", both, "--out", "mean")
    assert done.status == 2
    assert "tiny.onnx is exported already" in done.err
    assert not (tmp_path / "mean").exists()


def outside(graph):
    """Return an ONNX file whose first weight is in a file outside its folder."""
    model = onnx.load_from_string(graph)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../secret")
    return model.SerializeToString()


def test_files_that_cannot_be_used(exported, run, write_song, tmp_path, monkeypatch):
    write_song()
    whole = exported.read_bytes()
    said = dict(read_metadata(exported))
    graph = whole[: whole.index(b"format") - 4]
    kept = {key: value for key, value in said.items() if key not in ("format", "sha256")}
    other = whole.replace(b"partita-onnx-1", b"partita-onnx-9")
    damaged = bytearray(whole)
    damaged[len(whole) // 3] ^= 1
    for content, fault in {
        whole[: len(whole) // 2]: "not a readable ONNX file (it is cut short)",
        whole[:-10]: "not a readable ONNX file (it is cut short)",
        b"": "not a readable ONNX file (it is empty)",
        b"RIFF" + whole: "not a readable ONNX file",
        bytes(damaged): "damaged: its SHA-256 is another one",
        other: "another version of partita exported it (partita-onnx-9, this one reads",
        graph: "partita did not export it, and it is not the HTDemucs with four sources",
        graph[:2]: "not a readable ONNX file (it holds no network)",
        with_metadata(graph, {**kept, "config": "[]"}): "not an exported model",
        with_metadata(graph, {**kept, "model": "nothing"}): "there is no model 'nothing'",
        with_metadata(graph, {**kept, "sources": '["../x"]'}): "its sources are no names",
        with_metadata(graph, {"model": "unet"}): "not an exported model (it lacks config)",
        with_metadata(b":\x00", kept): "cannot load it",
        with_metadata(outside(graph), kept): "some of its weights are in other files",
    }.items():
        (tmp_path / "bad.onnx").write_bytes(content)
        done = run("separate", "song.wav", "-n", "bad.onnx", "-o", "bad")
        assert done.status in (1, 2), fault
        assert fault in done.err
        assert done.err.count("\n") == 1, done.err
        assert not (tmp_path / "bad/bad").exists()
    done = run("separate", "song.wav", "-n", exported, "--runtime", "torch")
    assert "is an exported model: --runtime onnxruntime runs it" in done.err
    done = run("separate", "song.wav", "-n", exported, "--precision", "bfloat16")
    assert "--precision: exported models are computed in float32" in done.err
    done = run("separate", "song.wav", "--runtime", "tensorflow")
    assert "--runtime tensorflow is not one of auto, torch, onnxruntime" in done.err
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = run("separate", "song.wav", "-n", exported)
    assert "exported models need ONNX Runtime: pip install 'partita[onnx]'" in done.err


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["hpss", "--out", "x.onnx"], "hpss cannot be exported: it has no network: it filters"),
        (["nmf", "--out", "x.onnx"], "nmf cannot be exported: it factorises each mixture anew"),
        (["MODEL", "--out", "x.bin"], "--out x.bin is not the name of a file that ends in .onnx"),
        (["MODEL", "--out", "x.onnx", "--format", "tf"], "--format tf is not one of onnx, pt2"),
        (["MODEL", "--out", "x.onnx", "--quantise", "int3"], "--quantise int3 is not one of"),
        (["MODEL", "--out", "x.pt2", "--format", "pt2", "--quantise", "int8"], "is for ONNX files"),
        (["MODEL", "--out", "x.onnx", "--check", "."], "--check measures what --quantise"),
    ],
)
def test_wrong_usage(arguments, fault, run, tiny_model, tmp_path):
    done = run("export", *[tiny_model if each == "MODEL" else each for each in arguments])
    assert done.status == 2
    assert fault in done.err
    assert done.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_int8_weights(run, tiny_model, exported, write_song):
    write_song()
    done = run(
        "export", tiny_model, "-o", "small.onnx", "--quantise", "int8", "--check", "song.wav"
    )
    assert done.status == 0, done.err
    assert read_metadata(exported)["weights"] == "float32"
    decibels = [float(line.split()[1]) for line in done.out.splitlines() if "dB SDR" in line]
    assert min(decibels) > 20


def test_whole_models(run, tiny_model, write_song, tmp_path):
    write_song()
    done = run("export", tiny_model, "-o", "whole.onnx", "--whole")
    assert done.status == 0, done.err
    whole = onnx.load(tmp_path / "whole.onnx").graph
    assert [each.name for each in whole.input] == ["mixture"]
    assert [each.name for each in whole.output] == ["estimates"]
    assert read_metadata(tmp_path / "whole.onnx")["core"] == "whole"
    for folder, name in ("a", tiny_model), ("b", "whole.onnx"):
        done = run("separate", "song.wav", "-n", name, "-o", folder, "--bits", "float")
        assert done.status == 0, done.err
    for stem in ("voice", "flute", "rest"):
        expected, found = read(f"a/tiny/song/{stem}.wav"), read(f"b/whole/song/{stem}.wav")
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_models_that_are_more_than_a_graph(run, tmp_path):
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "wiener.safetensors", create_model("open-unmix", SMALL_UNMIX))
    done = run("export", "wiener.safetensors", "-o", "x.onnx", "--whole")
    assert done.status == 2
    assert "open-unmix cannot be exported with --whole: what it does around" in done.err
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize("options", [[], ["--whole"], ["--quantise", "int8"]])
def test_without_onnx(options, run, tiny_model, monkeypatch, tmp_path):
    for name in [each for each in sys.modules if each.partition(".")[0] == "onnx"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "partita.export.whole", raising=False)
    done = run("export", tiny_model, "-o", "x.onnx", *options)
    assert done.status == 2
    assert done.err == "partita: exporting needs ONNX: pip install 'partita[onnx]'\n"
    assert not list(tmp_path.iterdir())
