"""Non-negative matrix factorisation: magnitudes as products of templates and activations."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from partita.dsp.factorisation import Factors, Problem, descend, generator_of

_FILL = 0.01  # zeros of NNDSVD start at this fraction of the mean


def nmf(
    spectrogram: Tensor,
    components: int,
    *,
    beta: float = 1.0,
    iterations: int = 200,
    sparsity: float = 0.0,
    start: Literal["random", "nndsvd"] = "random",
    templates: Tensor | None = None,
    activations: Tensor | None = None,
    fix_templates: bool | Tensor = False,
    fix_activations: bool = False,
    seed: int | torch.Generator = 0,
    tolerance: float = 0.0,
    trace: bool = False,
) -> Factors:
    """Factorise magnitudes: ``[bins, frames] ≈ [bins, components] @ [components, frames]``.

    Parameters
    ----------
    spectrogram : Tensor, float32 or float64 ``[..., bins, frames]``
        Not negative. Each item of the leading axes is factorised by itself.
    components : int
    beta : float
        Of the β-divergence: 2 half the squared Euclidean distance, 1 Kullback–Leibler, 0
        Itakura–Saito, or any other.
    iterations : int
        At most so many.
    sparsity : float
        Weight of the L1 norm of the activations, counted for templates of Euclidean norm one and a
        spectrogram of mean one, so that neither scale nor level matters.
    start : {"random", "nndsvd"}
        Initialisation of templates and activations that are not given: uniform random values, the
        same for each item, or the singular value decomposition, which needs no seed.
    templates : Tensor ``[..., bins, components]``, optional
        Initial values, for example a dictionary: one for all items, or one each.
    activations : Tensor ``[..., components, frames]``, optional
        Initial values, likewise, in the unit of the spectrogram.
    fix_templates, fix_activations : bool
        Whether given values stay fixed; for templates also a bool tensor ``[components]``.
    seed : int or torch.Generator
    tolerance : float
        Stop when no item's objective fell by more than this fraction; 0: never.
    trace : bool
        Whether to return the objectives, which takes two to three times as long.

    Returns
    -------
    Factors

    Raises
    ------
    ValueError
        The spectrogram or an initial value is negative, not finite or of a wrong size or
        precision; fixed values that are not given, or nothing left to update; more components than
        NNDSVD can have.

    Notes
    -----
    Multiplicative updates (equations 4 and 5 of *Music Source Separation Using Deep Learning*; Lee
    & Seung 2001) by majorisation–minimisation with the exponent γ(β) of Févotte & Idier 2011
    (section 4.1): the objective never rises. NNDSVD is that of Boutsidis & Gallopoulos 2008.

    Departures: A constant is added to the model, 1e-7 of the mean in single precision, like one
    more component that is fixed. So divisions are defined and the objective still falls; for β ≤ 0,
    smaller bins are raised to it. Sparsity is that of Le Roux, Hershey & Weninger 2015 (with
    templates that add up to one, the penalty would be a mere factor under Kullback–Leibler), with a
    majorant of our own instead of their heuristic. Zeros of NNDSVD start at a hundredth of the
    mean, because multiplicative updates never change zeros.
    """
    if start not in ("random", "nndsvd"):
        raise ValueError(f"start must be 'random' or 'nndsvd', not {start!r}")
    fixed = fix_templates, fix_activations
    problem = Problem(spectrogram, components, fixed=fixed, beta=beta, sparsity=sparsity)
    w, h = problem.given(None if templates is None else templates[..., None], activations)
    if start == "nndsvd":
        found_w, found_h = _nndsvd(problem.target, components)
        w, h = found_w if w is None else w, found_h if h is None else h
    generator = generator_of(seed)
    w = problem.draw(components, problem.target.shape[2], generator) if w is None else w
    if h is None:
        h = problem.balance(w, problem.draw(problem.target.shape[1], components, generator))
    factors = descend(problem, w, h, iterations, tolerance=tolerance, trace=trace)
    return Factors(factors.templates.squeeze(-1), factors.activations, factors.objectives)


def _nndsvd(target: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Return templates and activations of Boutsidis & Gallopoulos 2008 (table 1)."""
    if components > min(target.shape[1:]):
        raise ValueError(f"NNDSVD has no {components} components for {list(target.shape[1:])}")
    precise = target.double()
    vectors = torch.linalg.eigh(precise.mT @ precise)[1]  # left singular vectors, least first
    left = vectors[..., -components:].flip(-1).mT  # [batch, K, F]
    sides = left, left @ precise.mT  # the other side times the singular values, [batch, K, N]
    # The positive or the negative parts of both vectors: those whose product is greater.
    positive, negative = ([(sign * side).relu() for side in sides] for sign in (1, -1))
    sizes = [first.norm(dim=-1) * second.norm(dim=-1) for first, second in (positive, negative)]
    take = (sizes[0] >= sizes[1])[..., None]  # [batch, K, 1]
    w, h = (torch.where(take, *pair) for pair in zip(positive, negative, strict=True))
    w, h = (torch.maximum(x, _FILL * x.mean(dim=-1, keepdim=True)) for x in (w, h))
    return w.to(target), h.mT.to(target)
