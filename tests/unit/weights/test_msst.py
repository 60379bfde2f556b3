"""Checkpoints of MSST: which files a name means, what their YAML says, what is refused."""

import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from msst_files import assert_same, msst_config, msst_state, small_model, write_msst, write_yaml
from partita.errors import UsageError, WeightsCorruptError, WeightsUnavailableError
from partita.weights.checkpoint import save_checkpoint
from partita.weights.external_checkpoints import external_checkpoint, name_with_config
from partita.weights.resolve import resolve
from partita.weights.store import load_model

VARIANTS = {
    "BS": ("bs-roformer", {}),
    "BS, one target": ("bs-roformer", {"residual": True}),
    "BS, linear attention": ("bs-roformer", {"linear_depth": 1}),
    "BS, polar": ("bs-roformer", {"positions": "polar", "head_features": 6}),
    "BS, shared biases": ("bs-roformer", {"shared_bias": True}),
    "BS, mono": ("bs-roformer", {"channels": 1}),
    "BS, values": ("bs-roformer", {"value_residual": True, "layers": 3}),
    "Mel": ("mel-band-roformer", {}),
    "Mel, deeper": ("mel-band-roformer", {"mask_layers": 2, "time_depth": 2, "mask_expansion": 2}),
    "Mel, six stems": ("mel-band-roformer", {"sources": list("abcdef")}),
}


@pytest.mark.parametrize(("name", "config"), VARIANTS.values(), ids=VARIANTS)
def test_checkpoints_become_the_models_that_they_are_of(name, config, tmp_path):
    model = small_model(name, **config)
    path = write_msst(tmp_path, model)
    found = load_model(str(path))
    assert found.registry_name == name
    assert found.config == model.config or found.config.to_dict() == {
        **model.config.to_dict(),
        "bands_rate": 44100,
    }
    assert_same(found, model)
    assert resolve(str(path)).sources == model.sources


def test_settings_that_the_yaml_leaves_out_come_from_the_tensors(tmp_path):
    model = small_model(mask_expansion=3, time_depth=2)
    path = write_msst(tmp_path, model)
    settings = {"stft_n_fft": 256, "stft_hop_length": 64}
    config = {**msst_config(model), "model": settings}
    write_yaml(tmp_path / "model.yaml", config)
    assert_same(load_model(str(path)), model)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state": state},
        lambda state: {"state_dict": state, "epoch": 3, "best_metric": np.float64(9.5)},
        lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {}}},
        lambda state: {"ema": state},
        lambda state: {"ema_state_dict": {f"module.{k}": v for k, v in state.items()}},
        lambda state: {"model_ema": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"state": {}}},
        lambda state: {"state": {"state_dict": state}},
        lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}},
        lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
        lambda state: {
            "n_averaged": torch.tensor(3),
            **{f"module.{k}": v for k, v in state.items()},
        },
        lambda state: {name: tensor.half() for name, tensor in state.items()},
    ],
)
def test_state_dicts_stand_in_many_places(wrap, tmp_path):
    model = small_model()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(tensor.half())
    path = write_msst(tmp_path, model, state=wrap(msst_state(model)))
    assert_same(load_model(str(path)), model)


def test_the_optimisers_state_is_not_taken_for_the_models(tmp_path):
    model = small_model()
    state = {"optimizer_state_dict": {"state": {0: 1.0}}, "model_state_dict": msst_state(model)}
    assert_same(load_model(str(write_msst(tmp_path, model, state=state))), model)


def test_a_target_of_several_heads_is_taken_alone(tmp_path):
    model = small_model(sources=["vocals", "drums", "other"])
    path = write_msst(tmp_path, model, training={"target_instrument": "drums"})
    found = load_model(str(path))
    assert found.sources == resolve(str(path)).sources == ("drums", "residual")
    mixture = 0.1 * torch.randn(1, 2, 9000)
    with torch.inference_mode():
        drums, residual = found(mixture)[0]
        assert torch.equal(drums, model(mixture)[0, 1])
        assert torch.equal(residual, mixture[0] - drums)


@pytest.mark.parametrize(
    ("instruments", "target", "sources"),
    [
        (["vocals", "other"], "vocals", ("vocals", "other")),
        (["other", "vocals"], "vocals", ("vocals", "other")),
        (["No Reverb", "reverb"], "No Reverb", ("No_Reverb", "reverb")),
        (["vocals"], None, ("vocals", "residual")),
        (["a", "b", "c"], "b", ("b", "residual")),
    ],
)
def test_one_stem_comes_with_what_it_leaves(instruments, target, sources, tmp_path):
    model = small_model(sources=["x", "y"], residual=True)
    training = {"instruments": instruments, "target_instrument": target}
    path = write_msst(tmp_path, model, training=training)
    found = load_model(str(path))
    assert found.sources == resolve(str(path)).sources == sources
    assert_same(found, model)


@pytest.mark.parametrize(("count", "overlap"), [(1, 0), (2, 6400), (4, 9600), (8, 11200)])
def test_num_overlap_counts_windows(count, overlap, tmp_path):
    path = write_msst(tmp_path, small_model(), inference={"num_overlap": count})
    window = load_model(str(path)).window
    assert (window.length, window.overlap) == (12800, overlap)


def test_a_window_may_be_its_own_in_inference(tmp_path):
    path = write_msst(tmp_path, small_model(), inference={"chunk_size": 6400, "num_overlap": 2})
    assert load_model(str(path)).window.length == 6400


def test_names_of_both_files(tmp_path):
    folder = tmp_path / "a model"
    folder.mkdir()
    path = write_msst(folder, small_model(), "vocals")
    config = folder / "vocals.yaml"
    found = external_checkpoint(str(path))
    assert (found.path, found.config) == (path, config)
    assert external_checkpoint(str(folder)) == found
    assert resolve(str(path)).label == "vocals"
    assert resolve(str(folder)).label == "a model"
    config.rename(folder / "config_vocals.yaml")
    (folder / "another.yaml").write_text("a: 1")
    assert external_checkpoint(str(path)).config.name == "config_vocals.yaml"
    (folder / "config_vocals.yaml").rename(tmp_path / "elsewhere.yml")
    (folder / "third.yaml").touch()
    with pytest.raises(WeightsCorruptError, match="several configurations are beside it"):
        external_checkpoint(str(path))
    name = name_with_config(str(path), tmp_path / "elsewhere.yml")
    assert load_model(name).sources == resolve(name).sources == ("vocals", "other")
    assert resolve(name).label == "vocals"
    assert name_with_config(str(folder), tmp_path / "elsewhere.yml") == name
    for wrong in ("umxhq", str(tmp_path)):
        with pytest.raises(UsageError, match="`config`"):
            name_with_config(wrong, tmp_path / "elsewhere.yml")
    with pytest.raises(UsageError, match="not a YAML file"):
        name_with_config(str(path), path)


def test_partitas_own_checkpoints_stay_its_own(tmp_path):
    save_checkpoint(tmp_path / "model.safetensors", small_model())
    (tmp_path / "state.pt").touch()
    (tmp_path / "settings.yaml").write_text("a: 1")
    for name in (tmp_path, tmp_path / "model.safetensors"):
        assert external_checkpoint(str(name)) is None
        assert load_model(str(name)).sources == ("vocals", "other")


def test_others_may_be_safetensors_too(tmp_path):
    from safetensors.torch import save_file

    model = small_model()
    state = {name: tensor.clone() for name, tensor in msst_state(model).items()}
    save_file(state, tmp_path / "model.safetensors")
    write_yaml(tmp_path / "model.yaml", msst_config(model))
    assert_same(load_model(str(tmp_path / "model.safetensors")), model)
    assert_same(load_model(str(tmp_path)), model)


def test_digests_tell_checkpoints_and_configurations_apart(tmp_path):
    path = write_msst(tmp_path, small_model())
    first = resolve(str(path)).digest
    shutil.copy(path, tmp_path / "copy.ckpt")
    assert resolve(f"{tmp_path / 'copy.ckpt'}@{tmp_path / 'model.yaml'}").digest == first
    write_msst(tmp_path, small_model(), inference={"num_overlap": 2})
    assert resolve(str(path)).digest != first


def test_stems_are_known_without_pytorch(tmp_path):
    path = write_msst(tmp_path, small_model())
    code = (
        "import sys; from partita.weights.resolve import resolve; "
        f"print(*resolve({str(path)!r}).sources); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "vocals other\n"


def refused(path, *says, error=WeightsCorruptError):
    with pytest.raises(error) as caught:
        load_model(str(path))
    for text in says:
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_nothing_says_is_listed(tmp_path):
    path = write_msst(tmp_path, small_model())
    (tmp_path / "model.yaml").unlink()
    says = ("a checkpoint of BS-RoFormer", "model.stft_hop_length, training.instruments")
    refused(path, *says, "`config`")
    write_yaml(tmp_path / "model.yaml", {"model": {"stft_hop_length": 64, "stft_n_fft": 256}})
    assert "stft_hop_length" not in refused(path, "training.instruments", "model.yaml")


def test_a_wrong_yaml_names_the_first_mismatches(tmp_path):
    path = write_msst(tmp_path, small_model())
    other = small_model("bs-roformer", features=12, sources=["a", "b", "c"])
    write_yaml(tmp_path / "model.yaml", msst_config(other))
    message = refused(path, "does not fit", "model.yaml", "band_split.to_features.0.1.bias: [8]")
    assert message.count("; it ") == 2
    assert "more" in message


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": {"num_residual_streams": 4}}, "model.num_residual_streams 4"),
        ({"model": {"use_hyperace": True}}, "model.use_hyperace (True) is no setting"),
        ({"model": {"dim": "8"}}, "model.dim must be a whole number, not '8'"),
        ({"model": {"heads": True}}, "model.heads must be a whole number, not True"),
        ({"model": {"freqs_per_bands": [2, 3]}}, "band_bins have 5 bins"),
        ({"model": {"num_bands": 60}}, "num_bands (60) is no setting that partita knows for BS-"),
        ({"model": {"stft_hop_length": 10**9}}, "does not describe a BS-RoFormer"),
        (
            {"inference": {"num_overlap": "4"}},
            "inference.num_overlap must be a whole number of 1 or more, not '4'",
        ),
        (
            {"inference": {"num_overlap": 0}},
            "num_overlap must be a whole number of 1 or more, not 0",
        ),
        ({"audio": {"chunk_size": -1}}, "audio.chunk_size must be a whole number of 1"),
        ({"audio": {"sample_rate": 0}}, "audio.sample_rate must be a whole number of 1"),
        ({"inference": {"num_overlap": 10**7}}, "num_overlap 10000000"),
        (
            {"training": {"instruments": "vocals"}},
            "training.instruments must be a list of texts, not 'vocals'",
        ),
        ({"training": {"instruments": ["a", "a"]}}, "names one twice"),
        (
            {"training": {"instruments": ["a", 3]}},
            "training.instruments must be a list of texts, not ['a', 3]",
        ),
        ({"training": {"target_instrument": "x"}}, "is not one of its instruments"),
        ({"training": {"instruments": ["a", "b", "c"]}}, "target_instrument must name one"),
    ],
)
def test_bad_settings_are_named(changes, says, tmp_path):
    refused(write_msst(tmp_path, small_model(), **changes), says)


#: Some hundred bytes that stand for ten to the power of eleven.
BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
BOMB += "training: {instruments: *a11}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: !!python/object/apply:os.system ['touch pwned']", "line 1: could not determine"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("a: [1, 2", "not a readable YAML file"),
        ("- 1\n- 2", "not a configuration"),
        ("", "not a configuration"),
        ("model: 3\ntraining: {instruments: [a, b]}", "model is not a table"),
        ("a: " + "[" * 5000, "not a readable YAML file"),
        ("x" * 210_000, "too large"),
        (BOMB, "too large for a configuration with its aliases"),
        ("training: &a {instruments: [a, b], b: *a}", "with its aliases"),
    ],
)
def test_yaml_that_is_none_or_wants_more(text, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_msst(tmp_path, small_model())
    (tmp_path / "model.yaml").write_text(text)
    refused(path, "model.yaml", says)
    assert not (tmp_path / "pwned").exists()


class Executes:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("place", ["alone", "beside", "within"])
def test_nothing_is_executed(place, legacy, tmp_path):
    model, bad = small_model(), Executes(tmp_path / "pwned")
    state = {"alone": bad, "beside": {"state": msst_state(model), "hyper": bad}}.get(
        place, {**msst_state(model), "x": bad}
    )
    path = write_msst(tmp_path, model, state={})
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    refused(path, "posix.system", "nothing was run")
    assert not (tmp_path / "pwned").exists()


def test_plain_pickles_are_none_of_ours(tmp_path):
    path = write_msst(tmp_path, small_model())
    path.write_bytes(pickle.dumps(Executes(tmp_path / "pwned")))
    refused(path)
    assert not (tmp_path / "pwned").exists()


def test_damaged_files(tmp_path):
    model = small_model()
    path = write_msst(tmp_path, model)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:100], b"", b"\0" * 1000):
        path.write_bytes(content)
        refused(path, "model.ckpt: not a file of tensors")
    state = msst_state(model)
    state["final_norm.gamma"] = torch.full_like(state["final_norm.gamma"], torch.nan)
    refused(write_msst(tmp_path, model, state=state), "weights in final_norm.gamma are NaN")
    refused(write_msst(tmp_path, model, state={"a": torch.ones(3)}), "no architecture")
    refused(tmp_path / "nowhere.ckpt", "no such checkpoint", error=WeightsUnavailableError)
    refused(
        f"{tmp_path / 'model.ckpt'}@{tmp_path / 'no.yaml'}",
        "no.yaml",
        error=WeightsUnavailableError,
    )
    state["final_norm.gamma"] = torch.ones(1).expand(1 << 30)
    refused(write_msst(tmp_path, model, state=state), "much larger than the file")


def test_layers_whose_positions_differ_are_refused(tmp_path):
    model = small_model()
    state = msst_state(model)
    name = "layers.1.0.layers.0.0.rotary_embed.freqs"
    state[name] = state[name] * 2
    refused(write_msst(tmp_path, model, state=state), f"unexpected tensor {name}")
