"""Open-Unmix for inference: the same results in fewer passes over memory."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from partita.models._magnitudes import MagnitudeModel
from partita.models._spectrogram import Observation
from partita.models._unmix_network import Connect, Signals, UnmixConfig, UnmixNetwork

_PIECE_FRAMES = 100  # transformed back at a time, which saves memory
_FEW_ROWS = 4  # of an LSTM: oneDNN takes as long for two as for eight, much longer than for one


class FusedNetwork(nn.Module):
    """An `UnmixNetwork` in evaluation mode, with scales and shifts folded into dense layers.

    Without its first layer: `FusedUnmix` concatenates those of all networks.
    """

    second_weight: Tensor
    second_bias: Tensor
    third_weight: Tensor
    third_bias: Tensor

    def __init__(self, network: UnmixNetwork) -> None:
        super().__init__()
        self.lstm = copy.copy(network.lstm)  # shares weights, but has a mode of its own
        self._keep("second", *_normalised(network.fc2, network.bn2))
        channels = network.fc1.in_features // network.seen_bins
        scale, shift = (
            x.detach().double().repeat(channels)
            for x in (network.output_scale, network.output_mean)
        )
        weight, bias = _normalised(network.fc3, network.bn3)
        self._keep("third", weight * scale[:, None], bias * scale + shift)

    def _keep(self, name: str, weight: Tensor, bias: Tensor) -> None:
        self.register_buffer(f"{name}_weight", weight.float(), persistent=False)
        self.register_buffer(f"{name}_bias", bias.float(), persistent=False)

    def recur(self, encoded: Tensor) -> Tensor:
        """See `UnmixNetwork.recur`."""
        rows = encoded.shape[1]
        at_once = 1 if encoded.device.type == "cpu" and rows <= _FEW_ROWS else rows
        return torch.cat(
            [self.lstm(some)[0] for some in torch.split(encoded, at_once, dim=1)], dim=1
        )

    def decode(self, signals: Tensor) -> Tensor:
        """Map ``[frames, decoder_inputs * hidden]`` to masks ``[frames, channels * bins]``."""
        x = functional.linear(signals, self.second_weight, self.second_bias).relu_()
        return functional.linear(x, self.third_weight, self.third_bias).relu_()


def _normalised(dense: nn.Linear, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Fold a normalisation into the dense layer before it: weight and bias, in double precision."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.detach().double() - norm.running_mean.double() * scale
    return dense.weight.detach().double() * scale[:, None], shift


def _first_layer(network: UnmixNetwork) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a first layer with input scaling and normalisation folded in."""
    channels = network.fc1.in_features // network.seen_bins
    scale, shift = (
        x.detach().double().repeat(channels)
        for x in (network.input_scale, network.input_mean * network.input_scale)
    )
    weight, bias = _normalised(network.fc1, network.bn1)
    return (weight * scale).float(), (bias + weight @ shift).float()


class FusedUnmix(MagnitudeModel):
    """A set of Open-Unmix networks in evaluation mode; estimates agree to rounding.

    LSTMs process many examples of a batch at once, because they read all of their weights at every
    step; everything else goes example by example, some frames at a time, to save memory.

    Parameters
    ----------
    registry_name : str
        Of the model that this one stands for.
    config : UnmixConfig
    networks : iterable of UnmixNetwork
    connect : callable
        See `Connect`.
    """

    config: UnmixConfig
    first_weight: Tensor
    first_bias: Tensor

    def __init__(
        self,
        registry_name: str,
        config: UnmixConfig,
        networks: Iterable[UnmixNetwork],
        connect: Connect,
    ) -> None:
        super().__init__(config)
        self.registry_name = registry_name  # type: ignore[misc]
        networks = list(networks)
        self.networks = nn.ModuleList(FusedNetwork(network) for network in networks)
        # All first layers have the same input: one larger layer is faster.
        weights, biases = zip(*map(_first_layer, networks), strict=True)
        self.register_buffer("first_weight", torch.cat(weights), persistent=False)
        self.register_buffer("first_bias", torch.cat(biases), persistent=False)
        self._connect = connect

    def _fused(self) -> list[FusedNetwork]:
        return [network for network in self.networks if isinstance(network, FusedNetwork)]

    def magnitudes(self, mixture: Tensor) -> Tensor:
        """Estimate magnitudes ``[batch, learned sources, channels, bins, frames]``."""
        frames = mixture.permute(0, 3, 1, 2)  # [B, C, F, N] -> [B, N, C, F]
        examples = zip(self._signals(frames), torch.split(mixture, 1), strict=True)
        return torch.cat([self._scaled(signals, part) for signals, part in examples])

    @torch.no_grad()
    def forward(self, mixture: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]``; see `SeparationModel.forward`."""
        examples = torch.split(mixture, 1)
        observed = [self.observe(example) for example in examples]
        frames = (each.network_input[0].permute(2, 0, 1) for each in observed)  # [N, C, F]
        parts = zip(self._signals(frames), observed, examples, strict=True)
        rendered = [self._rendered(*part) for part in parts]
        return torch.cat(rendered) if len(rendered) > 1 else rendered[0]

    def _signals(self, examples: Iterable[Tensor]) -> Iterator[Signals]:
        """Yield the inputs of the decoders, for each example ``[frames, channels, bins]``."""
        networks = self._fused()
        encoded = torch.stack([self._encode(frames) for frames in examples], dim=1)  # [N, B, S H]
        together = encoded.chunk(len(networks), dim=-1)  # [N, B, H] each
        signals = self._connect(together, [network.recur for network in networks])  # [N, B, …]
        return zip(*(own.unbind(dim=1) for own in signals), strict=True)

    def _encode(self, frames: Tensor) -> Tensor:
        """Map magnitudes ``[frames, channels, bins]`` to ``[frames, networks * hidden]``."""
        x = frames[..., : self.config.seen_bins].flatten(1)
        return functional.linear(x, self.first_weight, self.first_bias).tanh_()

    def _rendered(self, signals: Signals, observed: Observation, mixture: Tensor) -> Tensor:
        """Make estimates of one example ``[1, channels, samples]``."""
        size, spectrogram, gain = self.config.wiener_frames, observed.spectrogram, observed.gain
        pieces = zip(_pieces(signals, size), torch.split(spectrogram, size, dim=-1), strict=True)
        if self.config.wiener_iterations is None:
            magnitudes = (self._scaled(part, mixed.abs() * gain) for part, mixed in pieces)
            return self._render(magnitudes, gain, spectrogram, mixture)
        images = (few for piece in pieces for few in self._images(*piece))
        return self.stft.synthesise_pieces(images, mixture.shape[-1])

    def _images(self, signals: Signals, spectrogram: Tensor) -> Iterator[Tensor]:
        """Yield images ``[1, sources, channels, bins, n]`` of one piece for the Wiener filter."""
        config = self.config
        if (config.wiener_iterations and len(self.sources) > 1) or config.residual:
            for images in self._filtered(self._scaled(signals, spectrogram.abs()), spectrogram):
                yield from torch.split(images, _PIECE_FRAMES, dim=-1)
            return
        # The masked complex mixture has the estimated magnitude and the mixture's phase.
        parts = torch.split(spectrogram, _PIECE_FRAMES, dim=-1)
        for some, part in zip(_pieces(signals, _PIECE_FRAMES), parts, strict=True):
            yield self._scaled(some, part)

    def _scaled(self, signals: Signals, mixture: Tensor) -> Tensor:
        """Return masks times a mixture ``[1, channels, bins, n]``: ``[1, sources, …]``."""
        frames = mixture[0].permute(2, 0, 1)  # [n, C, F]
        scaled = mixture.new_empty(len(signals), *frames.shape)  # [S, n, C, F]
        for network, own, place in zip(self._fused(), signals, scaled, strict=True):
            masks = network.decode(own).view(frames.shape)
            if mixture.is_complex():
                for part in ("real", "imag"):
                    torch.mul(masks, getattr(frames, part), out=getattr(place, part))
            else:
                torch.mul(masks, frames, out=place)
        return scaled.permute(0, 2, 3, 1).unsqueeze(0)


def _pieces(signals: Signals, size: int) -> Iterator[Signals]:
    """Split signals ``[frames, …]`` into pieces of some frames."""
    return zip(*(torch.split(own, size) for own in signals), strict=True)
