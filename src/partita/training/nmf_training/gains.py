"""Learning gains of dictionaries: how much each template counts in the masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from partita.audio.conversion import convert_blocks
from partita.datasets import Dataset
from partita.datasets.tracks import Track
from partita.dsp.factorisation import shift
from partita.dsp.masks import ratio_masks
from partita.models.nmfd import Nmfd

_EXCERPT_S = 6.0
_WINDOW_S = 1.0  # over which errors are compared with what is there, as BSS Eval does
_TRACE = 1e-3  # of the mixture's energy: what is fainter need not be met
_LEVELS_DB = 10.0  # by which sources of a remix are louder or softer
_RATE, _DECAY, _BATCH = 0.05, 1e-3, 25
#: Gains go half the way, in dB, that they would go: songs that were left out fared best with it.
_TRUST = 0.5


def can_have_gains(model: Nmfd) -> bool:
    """Tell whether all templates are learned, stay as they are, and compete."""
    config = model.config
    return len(config.learned) > 1 and not config.free and not config.adapt_iterations


def excerpts(dataset: Dataset, model: Nmfd, count: int, seed: int) -> list[Tensor]:
    """Return excerpts of true sources ``[sources, samples]``, mono, at the model's rate.

    Half of them are as the songs have them; the others mix each source with those of other places
    and songs, and at other levels, so that little is learned of which goes with which.

    Parameters
    ----------
    dataset : Dataset
    model : Nmfd
    count : int
    seed : int

    Raises
    ------
    AudioReadError
    """
    each = max(1, -(-count // (2 * len(dataset))))
    found = [part for track in dataset for part in _of_track(track, model, each)]
    generator = torch.Generator().manual_seed(seed)
    original = torch.stack(found)  # [excerpts, S, samples]
    remixed = count - count // 2
    size = remixed, original.shape[1]
    places = torch.randint(len(original), size, generator=generator)  # [remixed, S]
    levels_db = _LEVELS_DB * (2 * torch.rand(size, generator=generator) - 1)
    others = original[places, torch.arange(size[1])]  # [remixed, S, samples]
    others = others * (10 ** (levels_db / 20))[..., None]
    together = [*original[: count - remixed], *others]
    return [part for part in together if bool(part.any())]


def _of_track(track: Track, model: Nmfd, count: int) -> Iterator[Tensor]:
    """Yield ``[sources, samples]`` from places spread evenly over a track."""
    samples = round(_EXCERPT_S * model.sample_rate)
    latest = max(0.0, track.duration_s - _EXCERPT_S)
    for start_s in torch.linspace(latest / (2 * count), latest - latest / (2 * count), count):
        names = [name for name in model.sources if name in track.stems]
        stems = track.load_stems(names, start_s=float(start_s), duration_s=_EXCERPT_S)
        part = torch.zeros(len(model.sources), samples)
        for name, audio in stems.items():
            blocks = convert_blocks(
                [audio.samples.numpy()], audio.sample_rate, model.sample_rate, 1
            )
            fitting = torch.cat([torch.from_numpy(block)[0] for block in blocks])[:samples]
            part[model.sources.index(name), : len(fitting)] = fitting
        yield part


def learn_gains(model: Nmfd, mixtures: Sequence[Tensor], steps: int, seed: int) -> Iterator[float]:
    """Find the gains with which masks come closest to the true sources.

    Activations are those that the model finds; then the gains of templates, one a band, descend
    the mean, over sources and seconds, of the error's level against the source's.

    Parameters
    ----------
    model : Nmfd
        Its gains change.
    mixtures : sequence of Tensor ``[sources, samples]``
        None: nothing is learned.
    steps : int
        Of Adam.
    seed : int

    Yields
    ------
    float
        The loss in dB before each step.

    Notes
    -----
    Discriminative NMF (Weninger, Le Roux, Hershey & Watanabe 2014, section 3): templates for
    finding activations and templates for masks differ. Departures: theirs are all free and descend
    by multiplicative updates of the squared error; here a gain a band and component, by gradients
    of the error's level, which counts quiet seconds as much as loud ones. Gains are halved in dB in
    the end.
    """
    if not mixtures:  # excerpts of sparse stems may all be silent
        return
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        true, found, priors = map(
            torch.stack, zip(*(_seen(model, m) for m in mixtures), strict=True)
        )
    logs = torch.zeros_like(model.gains, requires_grad=True)
    optimiser = torch.optim.Adam([logs], lr=_RATE)
    for _ in range(steps):
        chosen = torch.randperm(len(true), generator=generator)[:_BATCH]
        with torch.enable_grad():
            masks = _masks(model, found[chosen], priors[chosen], logs.exp())
            loss = _loss(model, true[chosen], masks)
            penalty = _DECAY * logs.square().sum(dim=0).mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss + penalty)
        optimiser.step()
        yield float(loss.detach())
    model.gains.copy_((_TRUST * logs.detach()).exp())


def _seen(model: Nmfd, mixture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return true magnitudes and priors ``[S, bands, N]``, delayed activations ``[K lags, N]``."""
    true = model.in_bands(model.stft.analyse(mixture)[:, : model.config.bins].abs())
    seen = model.observe(mixture.sum(dim=0, keepdim=True)[None]).network_input  # [1, 1, bins, N]
    whole, factors = seen[0], model.factorise(seen).factors
    active = shift(factors.activations[0, 0].mT, model.config.lags).mT  # [K lags, N]
    priors = model.priors(model.in_bands(whole))  # [S, 1, bands, N] or ones
    return true, active, priors.expand(len(true), 1, *true.shape[1:])[:, 0]


def _masks(model: Nmfd, active: Tensor, priors: Tensor, gains: Tensor) -> Tensor:
    """Return masks ``[mixtures, S, bands, N]``."""
    sources = len(model.sources)
    templates = (
        (model.templates * gains[..., None]).reshape(len(gains), sources, -1).transpose(0, 1)
    )
    by_source = active.reshape(len(active), sources, -1, active.shape[-1])  # [m, S, K lags, N]
    return ratio_masks((templates @ by_source * priors).unsqueeze(2), model.config.mask_exponent)[
        :, :, 0
    ]


def _loss(model: Nmfd, true: Tensor, masks: Tensor) -> Tensor:
    """Return the mean level of errors against ``[mixtures, S, bands, N]``, in dB."""
    mixture = true.sum(dim=1, keepdim=True)
    frames = round(_WINDOW_S * model.sample_rate / model.config.hop_samples)
    error, signal, whole = (
        _energies(values, frames) for values in (masks * mixture - true, true, mixture)
    )
    trace = _TRACE * whole + torch.finfo(whole.dtype).tiny  # silence is no error
    loss: Tensor = ((error + trace) / (signal + trace)).log10().mean()
    return 10 * loss


def _energies(values: Tensor, frames: int) -> Tensor:
    """Return energies ``[mixtures, S, windows]``."""
    frames = min(frames, values.shape[-1])
    windows = values.unfold(-1, frames, frames)  # [m, S, bands, windows, frames]
    return windows.square().sum(dim=(2, 4))
