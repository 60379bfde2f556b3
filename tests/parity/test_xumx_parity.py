"""Connected networks against plain references, written down from the papers as they stand."""

import pytest
import torch
from torch import nn

from openunmix_reference import randomise
from partita.models import create_model

SOURCES = ["vocals", "drums", "bass", "other"]
SIZES = {"sources": SOURCES, "fft_samples": 512, "hop_samples": 128, "hidden": 16}
X_UMX = {**SIZES, "crosses": "both", "joins": "average", "before_lstm": True}


class Plain:
    """The steps of one source's network by themselves, as products of matrices."""

    def __init__(self, state, source):
        prefix = f"networks.{source}."
        self.w = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        self.lstm = nn.LSTM(16, 8, num_layers=3, bidirectional=True)
        self.lstm.load_state_dict(
            {k.removeprefix("lstm."): v for k, v in self.w.items() if k.startswith("lstm.")}
        )

    def dense(self, number, x):
        """Return a dense layer without a bias, normalised with the running statistics."""
        norm = f"bn{number}"
        x = x @ self.w[f"fc{number}.weight"].T
        x = (x - self.w[f"{norm}.running_mean"]) / (self.w[f"{norm}.running_var"] + 1e-5).sqrt()
        return x * self.w[f"{norm}.weight"] + self.w[f"{norm}.bias"]

    def tanh_layer(self, frames):
        """Map magnitudes ``[N, B, C, F]`` to ``[N, B, 16]``."""
        seen = frames[..., : len(self.w["input_mean"])]
        seen = (seen + self.w["input_mean"]) * self.w["input_scale"]
        return self.dense(1, seen.flatten(2)).tanh()

    def masked(self, x, frames):
        """Map what the second dense layer sees to magnitudes."""
        x = self.dense(3, self.dense(2, x).relu()).reshape(frames.shape)
        return (x * self.w["output_scale"] + self.w["output_mean"]).relu() * frames


def x_umx(networks, frames):
    """Average the tanh layers for the recurrent ones; average what dense layers then see."""
    tanh = [network.tanh_layer(frames) for network in networks]
    first_mean = sum(tanh) / len(tanh)
    pairs = [
        torch.cat([own, network.lstm(first_mean)[0]], dim=-1)
        for own, network in zip(tanh, networks, strict=True)
    ]
    second_mean = sum(pairs) / len(pairs)
    return [network.masked(second_mean, frames) for network in networks]


def crosstalk(networks, frames):
    """Let each dense layer see its own tanh layer, the others', and its own recurrent layers."""
    tanh = [network.tanh_layer(frames) for network in networks]
    estimates = []
    for index, network in enumerate(networks):
        others = tanh[:index] + tanh[index + 1 :]
        heard = torch.cat([tanh[index], *others, network.lstm(tanh[index])[0]], dim=-1)
        estimates.append(network.masked(heard, frames))
    return estimates


@pytest.mark.parametrize(
    ("reference", "config"), [(x_umx, X_UMX), (crosstalk, SIZES)], ids=["X-UMX", "crosstalk"]
)
def test_magnitudes(reference, config):
    model = create_model("crosstalk-unmix", config).eval()
    randomise(model)
    mixture = torch.rand(2, 2, 257, 40)
    with torch.no_grad():
        networks = [Plain(model.state_dict(), source) for source in SOURCES]
        expected = reference(networks, mixture.permute(3, 0, 1, 2))
        found = model.magnitudes(mixture)
    for index, estimate in enumerate(expected):
        assert float((found[:, index] - estimate.permute(1, 2, 3, 0)).abs().max()) <= 1e-5
    assert float(found.abs().max()) > 0.5


def parameters(name, config):
    return sum(p.numel() for p in create_model(name, config, initialise=False).parameters())


def test_sizes():
    alone = parameters("open-unmix", SIZES)
    assert parameters("crosstalk-unmix", X_UMX) == alone
    # Three more signals into each of four dense layers.
    assert parameters("crosstalk-unmix", SIZES) == alone + 4 * 3 * 16 * 16
    model = create_model("crosstalk-unmix", SIZES, initialise=False)
    assert all(network.fc2.in_features == (2 + 3) * 16 for network in model.networks.values())
