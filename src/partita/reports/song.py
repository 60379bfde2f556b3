"""Figures of one separated song: spectrograms, and the templates of factorising models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from partita.audio.stem_mp4 import stem_streams
from partita.dsp.bands import band_matrix
from partita.models._factorisation import FactorisationModel
from partita.models._protocol import SongFacts
from partita.reports.figures import Recording, draw_factors, draw_spectrograms
from partita.separation.chain import Chain
from partita.separation.separator import Separator
from partita.separation.windowed import WindowedModel


def draw_song(
    mixture: Recording,
    stems: Mapping[str, Path],
    path: Path,
    *,
    title: str = "",
    in_one: bool = False,
) -> None:
    """Draw the spectrograms of a song and of its stems; time is the song's own.

    Parameters
    ----------
    mixture : Recording
        What was separated.
    stems : mapping of str to Path
        Stem name → file.
    path : Path
        The PNG file.
    title : str
    in_one : bool
        All stems are in one ``.stem.mp4``, behind the mixture.

    Raises
    ------
    UsageError, AudioReadError, AudioWriteError
    """
    recordings = {"mixture": mixture}
    streams = stem_streams(list(stems)) if in_one else dict.fromkeys(stems, 0)
    for name, file in stems.items():
        recordings[name] = Recording(file, streams[name])
    draw_spectrograms(recordings, path, title=title, start_s=mixture.start_s)


def draw_song_factors(
    separator: Separator,
    mixture: Recording,
    path: Path,
    *,
    title: str = "",
    keep_rate: bool = False,
) -> tuple[Path, ...]:
    """Draw the templates and activations that factorising models find in a song.

    Models that work in windows show the first one; channels are averaged, of surround with
    `keep_rate` the first two. Of a chain, each model that factorises has a picture, of the stem
    that it takes apart.

    Parameters
    ----------
    separator : Separator
    mixture : Recording
    path : Path
        The PNG file; further ones have ``-2``, ``-3``, … at the end of their names.
    title : str
    keep_rate : bool
        As the song was separated.

    Returns
    -------
    tuple of Path
        The files; none where no model factorises.

    Raises
    ------
    UsageError, AudioReadError, AudioWriteError
    """
    drawn: list[Path] = []
    for each in separator.models:
        if not isinstance(each.model, FactorisationModel):
            continue
        chains = separator.chains_before(each)
        window, facts = _first_window(separator, each, chains, mixture, keep_rate)
        model = each.for_song(facts).model
        assert isinstance(model, FactorisationModel)
        taken = f"{title} · {chains[-1].taken}" if chains else title
        place = path.with_stem(f"{path.stem}-{len(drawn) + 1}") if drawn else path
        _draw_factors(model, window.to(each.device), place, taken)
        drawn.append(place)
    return tuple(drawn)


def _draw_factors(model: FactorisationModel, window: torch.Tensor, path: Path, title: str) -> None:
    """Draw what a model finds in ``[channels, samples]``."""
    with torch.inference_mode():
        found = model.factorise(model.observe(window[None]).network_input).item(0)
    templates = found.factors.templates[0].mean(dim=0).cpu()  # [bands, K, lags]
    bins = model.stft.bins
    if len(templates) < model.config.bins:
        spread = band_matrix(model.config.bins, len(templates))
        spread = spread / spread.sum(dim=1, keepdim=True)  # what a band holds, for each of its bins
        templates = torch.einsum("bf,bkl->fkl", spread, templates)
    if len(templates) < bins:
        silent = templates.new_zeros(bins - len(templates), *templates.shape[1:])
        templates = torch.cat([templates, silent])
    draw_factors(
        templates,
        found.factors.activations[0].mean(dim=0),
        path,
        names=[model.sources[owner] for owner in found.owners[0].tolist()],
        sample_rate=model.sample_rate,
        hop_samples=model.config.hop_samples,
        title=title,
    )


def _first_window(
    separator: Separator,
    windowed: WindowedModel,
    chains: Sequence[Chain],
    mixture: Recording,
    keep_rate: bool,
) -> tuple[torch.Tensor, SongFacts]:
    """Return ``[channels, samples]`` of the first window that a model gets."""
    models = [*(before for chain in chains for before in chain.first.models), windowed]
    model, duration_s = windowed.model, mixture.duration_s
    windows_s = [
        each.model.window.length / each.sample_rate
        for each in models
        if each.model.window is not None
    ]
    if len(windows_s) == len(models):  # else one of them sees whole songs
        # The models before it get a whole window too: with less they would find other stems.
        duration_s = min(max(windows_s), duration_s or max(windows_s))
    with mixture.open() as reader:  # the stereo field is one of the whole song
        stream = separator.mixture_stream(reader, keep_rate=keep_rate)
        if stream.needs_measure:
            stream.measure(reader.blocks())
    with replace(mixture, duration_s=duration_s).open() as reader:
        blocks, facts = stream.model_input(reader.blocks())
        for chain in chains:
            blocks, facts = chain.input_of_second(blocks, facts)
        samples = torch.cat([block[0] for block in blocks], dim=-1)
    if facts.side is not None:
        facts = SongFacts(side=facts.side[:1])
    return samples if model.window is None else samples[:, : model.window.length], facts
