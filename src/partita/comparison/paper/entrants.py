"""The systems of the paper's experiment, with floors and ceilings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from partita.comparison.paper.budgets import Budget
from partita.comparison.paper.data import PaperData
from partita.comparison.results import Entrant, TrainingPlan
from partita.errors import write_error
from partita.models import create_model
from partita.models._protocol import SeparationModel
from partita.training.recipes import DICTIONARIES
from partita.weights.cards import CARDS
from partita.weights.checkpoint import save_checkpoint

#: Names of entrants; those of weights and recipes where there are some.
NMF, NMFD = "nmf-table3", "nmfd-means"
PRETRAINED, REALTIME, CROSSTALK = "umxhq", "umx-realtime", "umx-crosstalk"
DEMUCS, LIGHT, DECODERS = "demucs", "demucs-light", "demucs-multidecoder"
TODAY = ("four-stems", "htdemucs")
FLOOR, CEILINGS = "mixture", ("irm2", "mwf")
#: Entrant → what the paper calls it in table 6.
PAPER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        NMF: "NMF",
        PRETRAINED: "Open-Unmix, pre-trained",
        REALTIME: "Open-Unmix, trained",
        CROSSTALK: "Open-Unmix with cross-talk",
        DEMUCS: "Demucs, pre-trained",
    }
)
_NMF_CARD = "nmfd-paper-mono"
_SEED = 0


def paper_entrants(data: PaperData, budget: Budget, folder: Path) -> list[Entrant]:
    """Return the systems that are compared, in the order of the paper.

    Table 3: NMF, blind as in the table and with the mean sound of each source as its template, as
    section 3.5 says. Tables 4 and 9: Open-Unmix, pre-trained and trained; section 3.6.4: with
    cross-talk. Tables 5 and 13: Demucs; section 5: with a decoder for each source. Then what
    partita separates with today, the mixture as the floor and oracles as the ceiling. Without
    tracks to learn from, nothing is trained.

    Parameters
    ----------
    data : PaperData
    budget : Budget
    folder : Path
        Where configurations of models without weights are written, for sources that are not the
        paper's four.

    Raises
    ------
    AudioWriteError
    """
    nmf = _NMF_CARD if data.has_papers_sources else str(_blind_nmf(data.sources, folder))
    trained = {
        name: Entrant(name, training=training_plan(name, data.sources, settings))
        for name, settings in (
            (REALTIME, budget.open_unmix),
            (CROSSTALK, budget.open_unmix),
            (LIGHT, budget.demucs),
            (DECODERS, budget.demucs),
        )
        if data.can_train
    }
    means = training_plan(DICTIONARIES, data.sources, (*_TABLE_3, *budget.dictionaries))
    entrants = [
        Entrant(NMF, nmf),
        Entrant(NMFD, training=means) if data.can_train else None,
        Entrant(PRETRAINED, PRETRAINED),
        trained.get(REALTIME),
        trained.get(CROSSTALK),
        Entrant(DEMUCS, DEMUCS),
        trained.get(LIGHT),
        trained.get(DECODERS),
        *(Entrant(name, name) for name in (*TODAY, FLOOR, *CEILINGS)),
    ]
    return [entrant for entrant in entrants if entrant is not None]


#: Of NMFD with dictionaries: one template a source, its other values.
_TABLE_3 = ("components=1", "iterations=30", "lags=8", "gain_steps=0", "percussive_prior=0")


def training_plan(
    recipe: str, sources: Sequence[str], settings: Sequence[str] = ()
) -> TrainingPlan:
    """Return a training of a recipe with other sources and settings, from the one seed."""
    return TrainingPlan(recipe, (f"sources={','.join(sources)}", *settings, f"seed={_SEED}"))


def _blind_nmf(sources: Sequence[str], folder: Path) -> Path:
    """Write NMF as in table 3 for other sources, with a component for each."""
    config = {**(CARDS[_NMF_CARD].config or {}), "sources": list(sources)}
    config["components"] = len(sources)
    return write_model(create_model(CARDS[_NMF_CARD].model, config), folder / f"{NMF}.safetensors")


def write_model(model: SeparationModel, path: Path) -> Path:
    """Write a model's checkpoint; raises AudioWriteError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(path, model)
    except OSError as error:
        raise write_error(path, error) from error
    return path
