"""Which models can run in a page."""

from __future__ import annotations

from collections.abc import Iterable

from partita.errors import UsageError
from partita.models._protocol import SeparationModel
from partita.models._spectrogram import SpectrogramModel


def check_models(models: Iterable[SeparationModel]) -> None:
    """Check that a page can run some models one after the other.

    Raises
    ------
    UsageError
        One is mono or sees whole tracks, or does around its network what no page can; or they
        differ in their sample rates.
    """
    rates = set()
    for model in models:
        reason = _fault(model)
        if reason:
            raise UsageError(f"{model.registry_name} cannot run in the page: {reason}")
        rates.add(model.sample_rate)
    if len(rates) > 1:
        found = " and ".join(f"{rate} Hz" for rate in sorted(rates))
        raise UsageError(f"the page runs models of one sample rate, not of {found}")


def _fault(model: SeparationModel) -> str:
    """Return why a model cannot run, or an empty text."""
    if model.no_core:
        return model.no_core
    if model.channels != 2:
        return "it is mono, and the page separates stereo"
    if model.window is None:
        return "it sees whole tracks, and the page separates in windows"
    if 2 * model.window.overlap > model.window.length:
        return "its windows overlap by more than a half"
    if model.core != "forward" and not has_known_stages(model):
        return "what it does around its network is not part of the page"
    return ""


def has_known_stages(model: SeparationModel) -> bool:
    """Return whether `partita.export.web.whole_graph` knows all of a model."""
    return (
        isinstance(model, SpectrogramModel)
        and type(model)._render is SpectrogramModel._render
        and model.core in ("magnitudes", "masks")
    )
