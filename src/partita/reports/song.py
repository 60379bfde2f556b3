"""The pictures of one separated song: what was heard, what was found, and by which templates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from partita.audio.channels import mix_channels
from partita.audio.reader import open_audio
from partita.audio.resample import resample_blocks
from partita.audio.stem_mp4 import stem_streams
from partita.dsp.bands import band_matrix
from partita.models._factorisation import FactorisationModel
from partita.reports.figures import Recording, draw_factors, draw_spectrograms
from partita.separation import Separator


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
    separator: Separator, mixture: Recording, path: Path, *, title: str = ""
) -> bool:
    """Draw the templates and activations that a factorising model finds in a song.

    Models that work in windows show the first one; channels are averaged.

    Parameters
    ----------
    separator : Separator
    mixture : Recording
    path : Path
        The PNG file.
    title : str

    Returns
    -------
    bool
        False, and no file: the model factorises nothing, or it is a chain.

    Raises
    ------
    UsageError, AudioReadError, AudioWriteError
    """
    model = separator.model
    if len(separator.stages) > 1 or not isinstance(model, FactorisationModel):
        return False
    samples = _read(mixture, model).to(separator.stages[0].runner.device)
    with torch.inference_mode():
        found = model.factorise(model.observe(samples[None]).seen).item(0)
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
    return True


def _read(mixture: Recording, model: FactorisationModel) -> torch.Tensor:
    """Return ``[channels, samples]`` as the model gets them, of its first window."""
    duration_s = mixture.duration_s
    if model.window is not None:
        window_s = model.window.length / model.sample_rate
        duration_s = window_s if duration_s is None else min(window_s, duration_s)
    with open_audio(
        mixture.path, start_s=mixture.start_s, duration_s=duration_s, stream=mixture.stream
    ) as reader:
        blocks = (mix_channels(block, model.channels) for block in reader.blocks())
        converted = resample_blocks(blocks, model.channels, reader.sample_rate, model.sample_rate)
        return torch.cat([torch.from_numpy(block) for block in converted], dim=1)
