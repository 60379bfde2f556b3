"""Decomposition of estimates into target, interference, noise and artifacts, and their ratios."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from partita.devices import worker_pool
from partita.evaluation._projections import (
    Correlations,
    energies,
    energy,
    energy_form,
    filters_overlap,
    projection_filters,
)
from partita.progress import Progress

FIGURES = ("sdr", "isr", "sir", "sar", "snr")
_FACTOR_BYTES = 1 << 28  # of equations that are solved at once
_MOST_WORKERS = 4  # each holds a window's spectra
_KEPT_BYTES = 1 << 30  # of the correlations of all windows
_PIECE_SAMPLES = 1 << 17  # of a track whose correlations are added up


def is_silent(signal: Tensor) -> bool:
    """Tell whether the channels of ``[channels, samples]`` add up to zero in every sample.

    This is museval's test.
    """
    pieces = torch.split(signal, _PIECE_SAMPLES, dim=-1)  # most songs need only the first
    return not any(bool(piece.sum(dim=-2).any()) for piece in pieces)


@dataclass(frozen=True)
class Signals:
    """The signals to score.

    Attributes
    ----------
    references, estimates : Tensor ``[sources, channels, samples]``
    noises : Tensor ``[noises, channels, samples]`` or None
    """

    references: Tensor
    noises: Tensor | None
    estimates: Tensor

    @property
    def inputs(self) -> int:
        """How many signals filters are applied to: references and noises."""
        return len(self.references) + (0 if self.noises is None else len(self.noises))

    @property
    def channels(self) -> int:
        """Channels of each signal."""
        return self.references.shape[1]

    def all_sound(self, window: slice) -> bool:
        """Tell whether no reference and no estimate is silent there."""
        return not any(is_silent(s[..., window]) for s in (*self.references, *self.estimates))

    def excerpt(self, window: slice) -> Tensor:
        """Return inputs, then estimates, ``[R + N + E, C, T]`` in float64.

        Stereo comes as sum and difference. That is a rotation but for a factor common to
        everything, which changes no ratio of energies; but the equations for channels that are
        nearly equal, as those of most bass stems, are solved with five digits more.
        """
        parts = [self.references, self.estimates]
        if self.noises is not None:
            parts.insert(1, self.noises)
        pieces = [part[..., window].double() for part in parts]
        if self.channels != 2:
            return torch.cat(pieces)
        count, samples = sum(map(len, pieces)), pieces[0].shape[-1]
        signals = pieces[0].new_empty(count, 2, samples)
        for piece, place in zip(
            pieces, torch.split(signals, [len(p) for p in pieces]), strict=True
        ):
            torch.add(piece[:, 0], piece[:, 1], out=place[:, 0])
            torch.sub(piece[:, 0], piece[:, 1], out=place[:, 1])
        return signals


def score(
    signals: Signals,
    windows: list[slice],
    pairs: list[tuple[int, int]],
    *,
    taps: int,
    framewise: bool,
    sources_version: bool,
    progress: Progress | None = None,
) -> Tensor:
    """Return ``[pairs, figures, windows]`` for pairs of (reference, estimate).

    Progress is told in samples, of which there are the signals' in all.
    """
    device = signals.references.device
    results = torch.full(
        (len(pairs), len(FIGURES), len(windows)), torch.nan, dtype=torch.float64, device=device
    )
    audible = [index for index, window in enumerate(windows) if signals.all_sound(window)]
    noises = signals.inputs - len(signals.references)
    geometry = _Geometry(len(signals.references), noises, signals.channels, pairs, sources_version)
    equations = 8 * (signals.inputs * signals.channels * taps) ** 2  # bytes, of one window
    at_once = max(1, _FACTOR_BYTES // equations) if framewise else 1
    groups = [audible[begin : begin + at_once] for begin in range(0, len(audible), at_once)]
    samples = signals.references.shape[-1]

    def tell(done: float) -> None:
        if progress is not None:
            progress(done, samples)

    threads = torch.get_num_threads()
    workers = 1 if device.type != "cpu" else min(threads, _MOST_WORKERS)
    with worker_pool(workers, threads) as pool:
        projections = None
        known: dict[int, _Piece] = {}
        if audible and not framewise:
            whole, known = _whole_track(signals, windows, taps, geometry, pool)
            tell(samples / 2)  # which takes about half of the time
            projections = geometry.projections(whole)

        def figures(group: list[int]) -> Tensor:
            here = known.get(group[0])
            if here is None:
                cut = torch.stack([signals.excerpt(windows[index]) for index in group])
                here = geometry.piece(cut, taps)
            return geometry.figures(projections or geometry.projections(here.correlations), here)

        for number, values in enumerate(pool.map(figures, groups)):
            results[..., groups[number]] = values
            begun = 0.0 if framewise else 0.5
            tell(samples * (begun + (1 - begun) * (number + 1) / len(groups)))
    return results


def _whole_track(
    signals: Signals,
    windows: list[slice],
    taps: int,
    geometry: _Geometry,
    pool: ThreadPoolExecutor,
) -> tuple[Correlations, dict[int, _Piece]]:
    """Add up the correlations of pieces, and of what pieces have with what follows them.

    Where the windows lie end to end they are the pieces, and what is known of them is returned too,
    by index, so that nothing is computed twice.
    """
    samples = signals.references.shape[-1]
    columns = signals.inputs + len(signals.estimates)
    bytes_each = 8 * signals.inputs * columns * signals.channels**2 * taps
    are_windows = (
        all(now.stop == then.start for now, then in itertools.pairwise(windows))
        and windows[0].stop >= taps
        and len(windows) * bytes_each <= _KEPT_BYTES
    )
    starts = range(0, samples, _PIECE_SAMPLES)
    pieces = [slice(start, min(start + _PIECE_SAMPLES, samples)) for start in starts]
    if are_windows:
        rest = slice(windows[-1].stop, samples)
        pieces = [*windows, *([rest] if rest.start < rest.stop else [])]

    def piece(place: slice) -> _Piece:
        return geometry.piece(signals.excerpt(place)[None], taps)

    total = _joints(signals, [place.stop for place in pieces[:-1]], taps)
    known = {}
    for index, part in enumerate(pool.map(piece, pieces)):
        total = part.correlations if total is None else total + part.correlations
        if are_windows:
            known[index] = part
    assert total is not None
    return total, known


def _joints(signals: Signals, edges: list[int], taps: int) -> Correlations | None:
    """Add up the correlations of the last samples before each edge with the first behind it."""
    if not edges:
        return None
    reach = taps - 1
    before, behind = [], []
    for edge in edges:
        last, first = (
            signals.excerpt(slice(*place)) for place in ((edge - reach, edge), (edge, edge + reach))
        )
        before.append(functional.pad(last, (0, reach)))
        behind.append(functional.pad(first, (reach, reach - first.shape[-1])))
    return Correlations.between(
        torch.cat(before, dim=-1)[None, : signals.inputs], torch.cat(behind, dim=-1)[None], taps
    )


@dataclass(frozen=True)
class _Projections:
    """Projections onto nested spaces, as filters and as forms that give energies.

    The spaces: one source, all sources, sources and noises (2006, section III-B). E stands for
    estimates, P for pairs of reference and estimate.
    """

    own: Tensor  # filters [W, P, C, C, L]
    everything: Tensor  # filters [W, E, C, I, L]
    image: Tensor  # [W, P, C, C, L]
    spatial: Tensor  # [W, P, C, C, L]
    interference: Tensor  # [W, P, R C, R C, L]
    by_sources: Tensor  # [W, E, R C, R C, L]
    explained: Tensor  # [W, E, I, I, L]
    noise: Tensor | None  # [W, E, I, I, L]


@dataclass(frozen=True)
class _Piece:
    """What the figures need of windows, instead of their samples.

    Attributes
    ----------
    correlations : Correlations
    levels, errors : Tensor ``[W, P]``
        Energies of the references, and of the estimates less these.
    """

    correlations: Correlations
    levels: Tensor
    errors: Tensor


@dataclass(frozen=True)
class _Geometry:
    """Decomposes estimates and computes ratios of the parts' energies."""

    references: int
    noises: int
    channels: int
    pairs: list[tuple[int, int]]
    sources_version: bool

    def piece(self, signals: Tensor, taps: int) -> _Piece:
        """Return what the figures need of windows ``[W, R + N + E, C, T]``."""
        inputs = self.references + self.noises
        levels, errors = [], []
        for true, estimated in self.pairs:
            target = signals[:, true]
            levels.append(energy(target))
            errors.append(energy(signals[:, inputs + estimated] - target))
        correlations = Correlations.of(signals, inputs, taps)
        return _Piece(correlations, torch.stack(levels, dim=1), torch.stack(errors, dim=1))

    def _inputs_of(self, reference: int) -> slice:
        return slice(reference * self.channels, (reference + 1) * self.channels)

    def projections(self, correlations: Correlations) -> _Projections:
        """Find all projections from ``[1 or W, ...]`` correlations."""
        blocks = [
            correlations.block(self._inputs_of(reference)) for reference in range(self.references)
        ]
        own_of = projection_filters(Correlations.together(blocks))  # [R W, E, C, C, L]
        own_of = own_of.reshape(self.references, -1, *own_of.shape[1:])
        own = torch.stack([own_of[true, :, estimated] for true, estimated in self.pairs], dim=1)
        identity = torch.zeros_like(own)
        identity[..., 0] = torch.eye(self.channels, dtype=own.dtype, device=own.device)
        all_sources = slice(0, self.references * self.channels)
        sources = projection_filters(correlations.block(all_sources))  # [W, E, C, R C, L]
        rest = torch.stack([sources[:, estimated] for _, estimated in self.pairs], dim=1)
        for index, (true, _) in enumerate(self.pairs):
            rest[:, index, :, self._inputs_of(true)] -= own[:, index]
        everything, noise = sources, None
        by_sources = explained = energy_form(sources)
        if correlations.among.shape[1] > all_sources.stop:
            everything = projection_filters(correlations)
            difference = everything.clone()
            difference[..., all_sources, :] -= sources
            explained, noise = energy_form(everything), energy_form(difference)
        return _Projections(
            own=own,
            everything=everything,
            image=energy_form(own),
            spatial=energy_form(own - identity),
            interference=energy_form(rest),
            by_sources=by_sources,
            explained=explained,
            noise=noise,
        )

    def figures(self, projections: _Projections, piece: _Piece) -> Tensor:
        """Return ``[P, figures, W]`` for windows."""
        correlations = piece.correlations
        all_sources = correlations.block(slice(0, self.references * self.channels)).among
        explained = energies(projections.explained, correlations.among)  # [W, E]
        overlap = filters_overlap(projections.everything, correlations.towards)
        sar = _ratio_db(explained, correlations.estimates - 2 * overlap + explained)
        snr = torch.full_like(sar, torch.inf)
        if projections.noise is not None:
            by_sources = energies(projections.by_sources, all_sources)
            snr = _ratio_db(by_sources, energies(projections.noise, correlations.among))
        interference = energies(projections.interference, all_sources)  # [W, P]
        results = []
        for index, (true, estimated) in enumerate(self.pairs):
            own = correlations.block(self._inputs_of(true))
            one = slice(index, index + 1)
            image = energies(projections.image[:, one], own.among)[:, 0]
            sir = _ratio_db(image, interference[:, index])
            if self.sources_version:
                towards = own.towards[:, :, estimated, None]  # [W, C, 1, C, L]
                overlap = filters_overlap(projections.own[:, one], towards)[:, 0]
                sdr = _ratio_db(image, correlations.estimates[:, estimated] - 2 * overlap + image)
                isr = torch.full_like(sdr, torch.nan)
            else:
                level = piece.levels[:, index]
                sdr = _ratio_db(level, piece.errors[:, index])
                isr = _ratio_db(level, energies(projections.spatial[:, one], own.among)[:, 0])
            results.append(torch.stack([sdr, isr, sir, sar[:, estimated], snr[:, estimated]]))
        return torch.stack(results)


def _ratio_db(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return dB, ``inf`` where the denominator is zero, or negative by rounding."""
    ratio = 10 * (numerator / denominator).log10()
    return torch.where(denominator <= 0, torch.inf, ratio)
