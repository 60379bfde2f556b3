"""Learning the dictionaries of NMFD from the stems of a data set."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from partita.audio.conversion import convert_blocks
from partita.datasets import Dataset
from partita.datasets.tracks import StemFile, order_stems
from partita.dsp.factorisation import Factors
from partita.dsp.nmfd import nmfd
from partita.errors import UnknownNameError, UsageError
from partita.models.nmfd import Nmfd, NmfdConfig
from partita.progress import Progress
from partita.settings import Settings
from partita.training.nmf_training.gains import can_have_gains, excerpts, learn_gains
from partita.training.settings import parse_settings
from partita.validation import bounded

_AUDIBLE = 1e-2  # of the loudest piece's energy: what is below it counts as silence


@dataclass(frozen=True)
class DictionaryRecipe(Settings):
    """How dictionaries are learned.

    Attributes
    ----------
    sources : tuple of str
        Which stems, and those that the model's ``free`` names; none: all that the data set has.
    seconds : float
        Of each stem of each track, in pieces from places where it is audible.
    piece_s : float
        Length of a piece.
    learn_iterations : int
        Of the factorisation of each source.
    model : mapping
        Other values of the model's configuration (`NmfdConfig`).
    mixtures : int
        How many excerpts of six seconds `partita.training.nmf_training.gains.learn_gains` mixes.
    gain_steps : int
        How many steps it takes; 0: gains stay one.
    seed : int
    """

    sources: tuple[str, ...] = ()
    seconds: float = 20.0
    piece_s: float = bounded(2.0, least=0.1)
    learn_iterations: int = bounded(40, least=1)
    mixtures: int = bounded(100, least=1)
    gain_steps: int = bounded(100, least=0)
    seed: int = bounded(0, most=(1 << 63) - 1)
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(
            self.piece_s <= self.seconds,
            f"seconds {self.seconds:g} hold no piece of {self.piece_s:g} s",
        )

    @classmethod
    def from_settings(cls, texts: Iterable[str]) -> Self:
        """Build a recipe from ``key=value`` texts; keys are its own and those of `NmfdConfig`.

        Raises
        ------
        UnknownNameError
            A key that neither has.
        UsageError, ModelError
            A text or a value that cannot be.
        """
        own = {field.name for field in dataclasses.fields(cls) if field.name != "model"}
        settings = parse_settings(texts, cls, NmfdConfig)
        of_model = {key: value for key, value in settings.items() if key not in own}
        return cls(**{key: settings[key] for key in settings if key in own}, model=of_model)


def learn_dictionaries(
    dataset: Dataset,
    recipe: DictionaryRecipe,
    *,
    progress: Progress | None = None,
) -> Nmfd:
    """Learn a dictionary for each source.

    A source's magnitudes of all tracks together are factorised into templates, which become its
    dictionary: with one template of a source it is the mean of its sounds.

    Parameters
    ----------
    dataset : Dataset
    recipe : DictionaryRecipe
    progress : callable, optional
        Called with steps, instead of seconds.

    Returns
    -------
    Nmfd

    Raises
    ------
    UsageError
        No track has a stem that the recipe names, or it is silent throughout.
    ModelError
        The recipe's values make no model.
    AudioReadError
        A file cannot be read.

    Notes
    -----
    Smaragdis 2004; section 3.5 of *Music Source Separation Using Deep Learning* for templates from
    many sounds of a source.
    """
    found = order_stems({name for track in dataset for name in track.stems})
    sources = recipe.sources or tuple(found)
    model = Nmfd(NmfdConfig.from_dict({"sources": sources, **recipe.model}))
    learned = model.config.learned
    for source in learned:
        if source not in found:
            raise UnknownNameError("stem", source, found)
    files = {name: [t.stems[name] for t in dataset if name in t.stems] for name in learned}
    taught = recipe.gain_steps if can_have_gains(model) else 0
    total, done = sum(map(len, files.values())) + taught, itertools.count(1)
    dictionaries = []
    for index, name in enumerate(learned):
        spectra = []
        for file in files[name]:
            spectra += [_spectrogram(model, piece) for piece in _pieces(file, model, recipe)]
            if progress is not None:
                progress(next(done), total)
        if not spectra:
            raise UsageError(f"the stem {name!r} is silent in every track")
        dictionaries.append(_factorise(torch.cat(spectra, dim=-1), model, recipe, index).templates)
    model.templates.copy_(torch.cat(dictionaries, dim=1))
    if taught:
        mixtures = excerpts(dataset, model, recipe.mixtures, recipe.seed)
        for _ in learn_gains(model, mixtures, taught, recipe.seed):
            if progress is not None:
                progress(next(done), total)
    return model.eval()


def _factorise(spectrogram: Tensor, model: Nmfd, recipe: DictionaryRecipe, index: int) -> Factors:
    """Factorise ``[bands, frames]``; random activations keep the templates apart."""
    size = model.config.components
    generator = torch.Generator().manual_seed(recipe.seed + index)
    activations = torch.rand(size, spectrogram.shape[-1], generator=generator)
    return nmfd(
        spectrogram,
        size,
        model.config.lags,
        beta=model.config.beta,
        iterations=recipe.learn_iterations,
        activations=activations * spectrogram.sum(dim=0) / size,
        seed=generator,
    )


def _spectrogram(model: Nmfd, piece: Tensor) -> Tensor:
    """Return ``[bands, frames]`` of ``[1, samples]``."""
    return model.in_bands(model.stft.analyse(piece)[0].abs())


def _pieces(file: StemFile, model: Nmfd, recipe: DictionaryRecipe) -> Sequence[Tensor]:
    """Return pieces ``[1, samples]`` of a stem, spread evenly over where it is audible."""
    length = round(recipe.piece_s * model.sample_rate)
    pieces = list(_cut(file, model.sample_rate, length))
    energies = [float(piece.square().sum()) for piece in pieces]
    audible = [
        piece
        for piece, energy in zip(pieces, energies, strict=True)
        if energy > _AUDIBLE * max(energies)
    ]
    wanted = min(len(audible), max(1, round(recipe.seconds / recipe.piece_s)))
    places = torch.linspace(0, len(audible) - 1, wanted).round().int().tolist() if audible else []
    return [audible[place] for place in places]


def _cut(file: StemFile, sample_rate: int, length: int) -> Iterator[Tensor]:
    """Yield ``[1, length]`` of a stem's mean over channels, the last one shorter."""
    with file.open() as reader:
        waiting = torch.zeros(1, 0)
        for block in convert_blocks(reader.blocks(), reader.sample_rate, sample_rate, 1):
            waiting = torch.cat([waiting, torch.from_numpy(block)], dim=1)
            while waiting.shape[1] >= length:
                yield waiting[:, :length].clone()
                waiting = waiting[:, length:]
        if waiting.shape[1]:
            yield waiting
