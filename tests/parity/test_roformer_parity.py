"""RoFormers against msst 0.1.0 and bs-roformer 1.2.4 themselves."""

import importlib
import importlib.util
import re

import numpy as np
import pytest
import torch

from msst_files import msst_config, msst_state, small_model, write_yaml
from msst_reference import (
    BANDS,
    ROFORMERS,
    check_parity,
    librosas_mel,
    noise,
    roformer_settings,
    use_librosas_mel,
)
from partita.models.mel_band_roformer import mel_bands
from partita.weights.store import load_model

NEEDED = (
    *("beartype", "bs_roformer", "einops", "einx", "frozendict", "hyper_connections", "msst"),
    *("PoPE_pytorch", "rotary_embedding_torch", "torch_einops_utils"),
)
SAMPLES = 64 * 50
CASES = {
    "BS": ("bs-roformer", {}),
    "BS, two layers each": ("bs-roformer", {"time_depth": 2, "frequency_depth": 2}),
    "BS, linear attention": ("bs-roformer", {"linear_depth": 1}),
    "BS, polar": ("bs-roformer", {"positions": "polar"}),
    "BS, mono, four stems": ("bs-roformer", {"channels": 1, "sources": list("abcd")}),
    "BS, one stem": ("bs-roformer", {"residual": True}),
    "BS, skips": ("bs-roformer", {"skip_connections": True, "layers": 3}),
    "BS, DC stays": ("bs-roformer", {"zero_dc": False}),
    "BS, normalised, short window": ("bs-roformer", {"normalised": True, "window_samples": 200}),
    "BS, hop that does not divide": ("bs-roformer", {"hop_samples": 50}),
    "BS, wider masks": ("bs-roformer", {"mask_expansion": 2, "mask_layers": 3}),
    "BS, shallow masks": ("bs-roformer", {"mask_layers": 1}),
    "Mel": ("mel-band-roformer", {}),
    "Mel, linear attention": ("mel-band-roformer", {"linear_depth": 2}),
    "Mel, polar": ("mel-band-roformer", {"positions": "polar"}),
    "Mel, mono": ("mel-band-roformer", {"channels": 1}),
    "Mel, one stem": ("mel-band-roformer", {"residual": True}),
    "Mel, skips": ("mel-band-roformer", {"skip_connections": True, "layers": 3}),
    "Mel, deeper masks": ("mel-band-roformer", {"mask_layers": 2, "mask_expansion": 2}),
}
BS_124 = {
    "BS, values": ("bs-roformer", {"value_residual": True, "layers": 3, "zero_dc": False}),
    "BS, values, polar": (
        "bs-roformer",
        {"value_residual": True, "positions": "polar", "zero_dc": False},
    ),
    "Mel": ("mel-band-roformer", {"zero_dc": False}),
    "Mel, linear attention": ("mel-band-roformer", {"linear_depth": 1}),
    "Mel, polar": ("mel-band-roformer", {"positions": "polar", "zero_dc": False}),
}


@pytest.fixture(scope="module")
def references():
    """The modules of both, without librosa, of which one function is needed."""
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (make test installs it)")
    with pytest.MonkeyPatch.context() as patch:
        use_librosas_mel(patch)
        yield {
            name: importlib.import_module(name)
            for name in ("msst.models.bs_roformer", "bs_roformer")
        }


@pytest.mark.parametrize("case", BANDS)
def test_mel_bands_are_librosas(case):
    rate, samples, bands = map(int, case.split())
    expected = librosas_mel(sr=rate, n_fft=samples, n_mels=bands) > 0
    expected[0, 0] = expected[-1, -1] = True
    assert np.array_equal(mel_bands(rate, samples, bands), expected)


def model_of(name, config):
    """Return a model whose positions make more than one turn and whose norms are not all alike."""
    return small_model(name, head_features=8, **{"sources": ["a", "b"], **config})


def msst_names(theirs):
    """Return MSST's names of what bs-roformer has, by its own.

    It puts a module around each layer, and Mel-Band RoFormer's place of linear attention stays
    empty where there is none.
    """
    names = [*theirs.state_dict()]
    is_shifted = not any(name.startswith("layers.0.0.") for name in names)
    plain = {name: name.replace(".branch.", ".") for name in names}
    if not is_shifted:
        return plain
    moved = re.compile(r"^(layers\.\d+\.)([12])\.")
    return {name: moved.sub(lambda m: f"{m[1]}{int(m[2]) - 1}.", x) for name, x in plain.items()}


def ours_name(ours, theirs):
    """Return what maps their parameters' names to ours."""
    mine = {parameter.data_ptr(): name for name, parameter in ours.named_parameters()}
    names = {name: mine.get(x.data_ptr()) for name, x in msst_state(ours).items()}
    common = msst_names(theirs)
    return lambda name: names[common[name]]


class AsOurs(torch.nn.Module):
    """Theirs, whose output always has an axis of sources, and whose fixed numbers stay away."""

    def __init__(self, theirs, ours):
        super().__init__()
        self.theirs, self.ours = theirs, ours

    def forward(self, mixture):
        estimates = self.theirs(mixture)
        if estimates.ndim == 3:
            estimates = estimates.unsqueeze(1)
        if self.ours.config.residual:
            estimates = torch.cat([estimates, mixture.unsqueeze(1) - estimates], dim=1)
        return estimates

    def named_parameters(self, *args, **options):
        learned = self.theirs.named_parameters(*args, **options)
        return [(name, each) for name, each in learned if each.requires_grad]


def give_weights(theirs, ours):
    """Load ours into theirs, by the names that the community's files have; none may be left."""
    state = msst_state(ours)
    given = {name: state[common] for name, common in msst_names(theirs).items()}
    assert len(given) == len(state)
    theirs.load_state_dict(given, strict=True)
    return theirs.eval()


@pytest.mark.parametrize(("name", "config"), CASES.values(), ids=CASES)
def test_msst(references, name, config):
    ours = model_of(name, config)
    reference = getattr(references["msst.models.bs_roformer"], ROFORMERS[name])
    theirs = give_weights(reference(**roformer_settings(ours)), ours)
    hop = ours.config.hop_samples
    mixture = noise(SAMPLES // hop * hop)[:, : ours.channels]
    check_parity(ours, AsOurs(theirs, ours), mixture, ours_name(ours, theirs))


@pytest.mark.filterwarnings("ignore")  # they call functions of older PyTorch
@pytest.mark.parametrize(("name", "config"), BS_124.values(), ids=BS_124)
def test_bs_roformer(references, name, config, tmp_path):
    ours = model_of(name, config)
    settings = roformer_settings(ours)
    del settings["mlp_expansion_factor"]
    settings["num_residual_streams"] = 1
    if name == "mel-band-roformer":
        settings["add_value_residual"] = False
    else:
        del settings["linear_transformer_depth"]
    del settings["skip_connection"]
    theirs = give_weights(getattr(references["bs_roformer"], ROFORMERS[name])(**settings), ours)
    check_parity(ours, AsOurs(theirs, ours), noise(SAMPLES), ours_name(ours, theirs))
    torch.save({"model_state_dict": theirs.state_dict()}, tmp_path / "model.ckpt")
    write_yaml(tmp_path / "model.yaml", msst_config(ours))
    with torch.inference_mode():
        found, expected = load_model(str(tmp_path))(noise(SAMPLES)), ours(noise(SAMPLES))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", ["BS, linear attention", "BS, polar", "Mel", "Mel, one stem"])
def test_their_files_are_read(references, case, tmp_path):
    name, config = CASES[case]
    ours = model_of(name, config)
    torch.manual_seed(3)
    reference = getattr(references["msst.models.bs_roformer"], ROFORMERS[name])
    theirs = reference(**roformer_settings(ours)).eval()
    torch.save(theirs.state_dict(), tmp_path / "model.ckpt")
    write_yaml(tmp_path / "model.yaml", msst_config(ours))
    mixture = noise(SAMPLES)
    with torch.inference_mode():
        expected = AsOurs(theirs, ours)(mixture)
        found = load_model(str(tmp_path / "model.ckpt"))(mixture)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
