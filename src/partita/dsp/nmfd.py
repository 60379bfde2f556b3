"""Convolutive non-negative matrix factorisation: templates of several frames."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from partita.dsp.factorisation import (
    Factors,
    Problem,
    descend,
    divide,
    generator_of,
    shift,
    unshift,
)

_TOOLBOX_EPSILON = 2.0**-52  # of libnmfd, for a spectrogram that adds up to one


def nmfd(
    spectrogram: Tensor,
    components: int = 4,
    lags: int = 8,
    *,
    updates: Literal["monotone", "averaged"] = "monotone",
    beta: float = 1.0,
    iterations: int = 30,
    templates: Tensor | None = None,
    activations: Tensor | None = None,
    fix_templates: bool | Tensor = False,
    fix_activations: bool = False,
    seed: int | torch.Generator = 0,
    trace: bool = False,
) -> Factors:
    """Factorise magnitudes into templates of several frames and their activations.

    ``spectrogram[f, n] ≈ Σ_k Σ_t templates[f, k, t] activations[k, n - t]``. The defaults are those
    of table 3 of *Music Source Separation Using Deep Learning*: random templates, uniform
    activations.

    Parameters
    ----------
    spectrogram : Tensor, float32 or float64 ``[..., bins, frames]``
        Not negative. Each item of the leading axes is factorised by itself.
    components : int
    lags : int
        Length of a template in frames.
    updates : {"monotone", "averaged"}
        "averaged" is the rule of Smaragdis as the NMF toolbox has it, for the Kullback–Leibler
        divergence: the mean of one activation update for each lag. In the first iterations the
        divergence may rise, later it usually falls. "monotone" is majorisation–minimisation, with
        which it never rises and which takes about a third longer.
    beta : float
        Of the β-divergence; see `partita.dsp.nmf.nmf`.
    iterations : int
    templates : Tensor ``[..., bins, components, lags]``, optional
        Initial values, one for all items or one each; random by default.
    activations : Tensor ``[..., components, frames]``, optional
        Initial values, likewise, in the unit of the spectrogram; uniform by default.
    fix_templates, fix_activations : bool
        Whether given values stay fixed; for templates also a bool tensor ``[components]``.
    seed : int or torch.Generator
    trace : bool
        Whether to return the objectives, which takes two to three times as long.

    Returns
    -------
    Factors
        With templates ``[..., bins, components, lags]``.

    Raises
    ------
    ValueError
        The spectrogram or an initial value is negative, not finite or of a wrong size or
        precision; fixed values that are not given, or nothing left to update; averaged updates with
        another divergence than Kullback–Leibler.

    Notes
    -----
    Smaragdis 2004, equations 2 to 4; Dittmar & Müller 2016, equations 4 to 6; equations 4 and 5 of
    the paper are the case of one lag. Averaged updates equal libnmfd 1.0.0 after every iteration.
    Monotone ones sum over lags separately in numerator and denominator, which
    majorisation–minimisation requires (Févotte & Idier 2011), and update the model in between.

    Departures from libnmfd: Activations have the level of the spectrogram, not of one that adds up
    to one. Fixed templates are not changed, where libnmfd normalises them to a sum of one. The
    objective is the divergence, where libnmfd adds 1 in the logarithm and takes the mean over bins.
    """
    averaged = updates == "averaged"
    if not averaged and updates != "monotone":
        raise ValueError(f"updates must be 'monotone' or 'averaged', not {updates!r}")
    if averaged and beta != 1:
        raise ValueError("averaged updates are for the Kullback–Leibler divergence, beta=1")
    # libnmfd adds its epsilon to the model twice, for a sum of one; here the mean is one.
    floor = 2 * _TOOLBOX_EPSILON * spectrogram.shape[-2:].numel() if averaged else None
    fixed = fix_templates, fix_activations
    problem = Problem(spectrogram, components, lags, fixed=fixed, beta=beta, floor=floor)
    w, h = problem.given(templates, activations)
    batch, frames, bins = problem.target.shape
    w = problem.draw(components * lags, bins, generator_of(seed)) if w is None else w
    h = problem.balance(w, w.new_ones(batch, frames, components)) if h is None else h
    if averaged:
        return _average(problem, w, h, iterations, trace=trace)
    return descend(problem, w, h, iterations, tolerance=0, trace=trace)


def _average(problem: Problem, w: Tensor, h: Tensor, iterations: int, *, trace: bool) -> Factors:
    """Update templates, then activations by the same ratios of target to model."""
    ratios = torch.empty_like(problem.target)  # [batch, N, F]
    objectives = [problem.objective(w, h)] if trace else []
    for _ in range(iterations):
        shifted, gains = shift(h, problem.lags), torch.zeros_like(w)  # [batch, N, K T], as w
        for part in problem.blocks():
            ratios[:, part], _ = problem.slopes(part, shifted, w)
            gains.baddbmm_(shifted[:, part].mT, ratios[:, part])
        if not problem.fixed[0]:
            w = problem.update_templates(w, divide(gains, shifted.sum(dim=1)[..., None]))
        if not problem.fixed[1]:
            by_lag = ratios @ w.mT / (w.sum(dim=-1)[:, None] + _TOOLBOX_EPSILON)  # [batch, N, K T]
            h = h * unshift(by_lag, problem.lags) / problem.lags
        if not any(problem.fixed):
            sums = torch.where(problem.free, problem.norms(w, 1) + _TOOLBOX_EPSILON, 1.0)
            w = w / problem.rows(sums)
        if trace:
            objectives.append(problem.objective(w, h))
    return problem.factors(w, h, objectives)
