"""Multiplicative updates of non-negative factorisations, with templates of one or more frames.

Internally frames are the first axis, as transforms leave them in memory, and the lags of all
templates are rows of one matrix. Then the model and both gradients are matrix products. They are
computed for blocks of frames that fit the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK_ELEMENTS = 1 << 19  # of the spectrogram at a time: 2 MB in single precision


@dataclass(frozen=True)
class Factors:
    """A factorised spectrogram.

    Attributes
    ----------
    templates : Tensor ``[..., bins, components]``, of `nmfd` ``[..., bins, components, lags]``
        Each adds up to one, unless templates or activations were fixed.
    activations : Tensor ``[..., components, frames]``
        In the unit of the spectrogram.
    objectives : Tensor, float64 ``[iterations + 1, ...]``
        Divergence plus penalty at first and after each iteration; empty unless requested.
    """

    templates: Tensor
    activations: Tensor
    objectives: Tensor

    def components(self) -> Tensor:
        """Return the magnitudes of each component, ``[..., components, bins, frames]``."""
        templates, shifted = self._by_component()
        magnitudes: Tensor = templates.transpose(-3, -2) @ shifted
        return magnitudes

    def total(self, members: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Return the summed magnitudes of some components, ``[..., bins, frames]``.

        Parameters
        ----------
        members : Tensor, int64 ``[n]``
            Indices of the components.
        start, stop : int
            Frames; all by default.
        """
        templates, shifted = self._by_component(start, stop)
        chosen = templates[..., members, :].flatten(-2)  # [..., F, some K lags]
        return chosen @ shifted[..., members, :, :].flatten(-3, -2)

    def _by_component(self, start: int = 0, stop: int | None = None) -> tuple[Tensor, Tensor]:
        """Return templates ``[..., F, K, lags]`` and delayed activations ``[..., K, lags, N]``."""
        plain = self.templates.ndim == self.activations.ndim
        templates = self.templates[..., None] if plain else self.templates
        lags = templates.shape[-1]
        before = min(start, lags - 1)  # frames whose templates reach into these
        active = self.activations[..., start - before : stop].mT  # [..., before + N, K]
        return templates, _by_lag(shift(active, lags)[..., before:, :].mT, lags, dim=-2)


class Problem:
    """A spectrogram normalised to a mean of one, and how it is factorised.

    Attributes
    ----------
    target : Tensor ``[batch, frames, bins]``
    level : Tensor ``[batch, 1, 1]``
        The mean of the spectrogram, or one for silence.
    components, lags : int
        Templates ``w`` are ``[batch, components * lags, bins]``, activations ``h`` are ``[batch,
        frames, components]``.
    free : Tensor, bool ``[components]``
        Whose templates are updated.
    fixed : pair of bool
        Whether all templates, and whether activations are fixed.
    beta, sparsity : float
    floor : float
        The constant that is added to the model.
    """

    def __init__(
        self,
        spectrogram: Tensor,
        components: int,
        lags: int = 1,
        *,
        fixed: tuple[bool | Tensor, bool],
        beta: float = 1.0,
        sparsity: float = 0.0,
        floor: float | None = None,
    ) -> None:
        _check(spectrogram, "a spectrogram")
        if spectrogram.ndim < 2 or not spectrogram.numel():
            raise ValueError(f"a spectrogram has bins and frames, not {list(spectrogram.shape)}")
        if components < 1 or lags < 1 or sparsity < 0:
            raise ValueError(
                f"components and lags must be positive, sparsity not negative, not {components}, "
                f"{lags} and {sparsity}"
            )
        self.components, self.lags = components, lags
        self.free = self._free(fixed[0], spectrogram.device)
        self.fixed = not bool(self.free.any()), fixed[1]
        self.beta, self.sparsity = beta, sparsity
        self.floor = torch.finfo(spectrogram.dtype).eps if floor is None else floor
        self._shape = spectrogram.shape
        target = spectrogram.reshape(-1, *self._shape[-2:]).mT  # [batch, frames, bins]
        self._mean = target.mean(dim=(1, 2), keepdim=True)
        self.level = torch.where(self._mean > 0, self._mean, 1.0)
        self.target = (target / self.level).contiguous()
        if beta <= 0:
            self.target.clamp_min_(self.floor)

    def _free(self, fixed: bool | Tensor, device: torch.device) -> Tensor:
        if isinstance(fixed, bool):
            return torch.full((self.components,), not fixed, device=device)
        if fixed.dtype != torch.bool or fixed.shape != (self.components,):
            raise ValueError(f"fix_templates must be a bool for each of {self.components}")
        return ~fixed.to(device)

    def given(self, w: Tensor | None, h: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Bring initial values [..., F, K, lags] and [..., K, N] to internal layout and level."""
        missing = (w is None and not bool(self.free.all())) or (h is None and self.fixed[1])
        if all(self.fixed) or missing:
            raise ValueError(
                "templates or activations may be fixed, not both, and fixed ones must be given"
            )
        bins, frames = self._shape[-2:]
        if w is not None:
            w = self._expand(w, (bins, self.components, self.lags), "templates")
            w = w.flatten(2).mT.contiguous()  # [batch, K lags, F]
        if h is not None:
            h = self._expand(h, (self.components, frames), "activations").mT / self.level
        return w, h

    def _expand(self, start: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
        """Check an initial value and return ``[batch, *shape]``."""
        _check(start, name)
        leading = self._shape[:-2]
        if tuple(start.shape) not in ((*leading, *shape), shape):
            raise ValueError(f"{name} must have shape [..., {shape}], not {list(start.shape)}")
        return start.to(self.target).expand(*leading, *shape).reshape(-1, *shape)

    def draw(self, rows: int, columns: int, generator: torch.Generator) -> Tensor:
        """Draw uniform values, the same for each item and either precision."""
        drawn = torch.rand(rows, columns, generator=generator, dtype=torch.float64)
        return drawn.to(self.target).expand(len(self.target), -1, -1)

    def balance(self, w: Tensor, h: Tensor) -> Tensor:
        """Scale activations so that the model has about the mean of the target."""
        total = (self.norms(w, 1) * h.sum(dim=1)).sum(dim=1)[:, None, None]
        return h * (self._shape[-2:].numel() / total.clamp_min(self.floor))

    def norms(self, w: Tensor, order: int) -> Tensor:
        """Return the sum (1) or the Euclidean norm (2) of each template, [batch, K]."""
        rows = torch.linalg.vector_norm(w, order, dim=-1)  # [batch, K lags]
        norms: Tensor = torch.linalg.vector_norm(_by_lag(rows, self.lags), order, dim=-1)
        return norms

    def rows(self, each: Tensor) -> Tensor:
        """Repeat one value per component for its lags, [..., K] -> [..., K lags, 1]."""
        return each.repeat_interleave(self.lags, dim=-1)[..., None]

    def update_templates(self, w: Tensor, factors: Tensor) -> Tensor:
        """Multiply the templates that are not fixed."""
        return w * torch.where(self.rows(self.free), factors, 1.0)

    def factors(self, w: Tensor, h: Tensor, objectives: list[Tensor]) -> Factors:
        """Normalise templates to a sum of one, and restore the caller's layout and level."""
        if self.fixed[1]:
            # In silence the mean is zero, but the level is one.
            w, h = self.update_templates(w, self._mean / self.level), h * self.level
        else:
            sums = torch.where(self.free, self.norms(w, 1), 1.0)
            w, h = w / self.rows(torch.where(sums > 0, sums, 1.0)), h * sums[:, None]
            h = h * self._mean
        leading, bins, frames = self._shape[:-2], *self._shape[-2:]
        values = torch.stack(objectives) if objectives else torch.empty(0, len(h))
        return Factors(
            w.mT.reshape(*leading, bins, self.components, self.lags),
            h.mT.reshape(*leading, self.components, frames),
            values.double().reshape(len(objectives), *leading),
        )

    def blocks(self) -> Iterator[slice]:
        """Cut the frames into blocks that fit the cache."""
        batch, frames, bins = self.target.shape
        size = max(1, _BLOCK_ELEMENTS // (batch * bins))
        for begin in range(0, frames, size):
            yield slice(begin, begin + size)

    def slopes(self, part: slice, shifted: Tensor, w: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return ``target model^(β-2)`` and ``model^(β-1)``, ``[batch, some frames, bins]``.

        They are the negative and the positive part of the derivative of the divergence; None stands
        for ones.
        """
        model = torch.bmm(shifted[:, part], w).add_(self.floor)
        power = None if self.beta == 1 else model.pow(self.beta - 1)
        ratio = torch.div(self.target[:, part], model, out=model)
        return (ratio, None) if power is None else (ratio.mul_(power), power)

    def objective(self, w: Tensor, h: Tensor) -> Tensor:
        """Return divergence plus penalty in the unit of the spectrogram, float64 [batch]."""
        shifted = shift(h, self.lags)
        total = torch.zeros(len(h), dtype=torch.float64, device=h.device)
        for part in self.blocks():
            model = torch.bmm(shifted[:, part], w).add_(self.floor)
            total += _divergence(self.target[:, part], model, self.beta)
        if self.sparsity:
            total += self.sparsity * (self.norms(w, 2) * h.sum(dim=1)).sum(dim=1)
        return total * self.level[:, 0, 0].double() ** self.beta


def descend(
    problem: Problem, w: Tensor, h: Tensor, iterations: int, *, tolerance: float, trace: bool
) -> Factors:
    """Update activations and templates alternately; the objective never rises."""
    for_h = _exponent(problem.beta, 1)
    for_w = _exponent(problem.beta, 2 if problem.sparsity else 1)
    keep_w, keep_h = problem.fixed
    observed = trace or tolerance > 0
    objectives = [problem.objective(w, h)] if observed else []
    for _ in range(iterations):
        # Activations first, so that random ones do not change a given dictionary.
        if not keep_h:
            h = h * _activation_factors(problem, w, h).pow_(for_h)
        if not keep_w:
            w = problem.update_templates(w, _template_factors(problem, w, h).pow_(for_w))
        if observed:
            objectives.append(problem.objective(w, h))
            before, now = objectives[-2:]
            if tolerance > 0 and bool((before - now <= tolerance * before).all()):
                break
    return problem.factors(w, h, objectives if trace else [])


def _exponent(beta: float, order: int) -> float:
    """Return the exponent γ of the update ``(negative / positive)^γ``, the majorant's minimum.

    The majorant of the divergence is a falling plus a rising power (Févotte & Idier 2011, table 1),
    with derivatives x^(β-2) and x^(β-1), or linear where these are not convex. A penalty of order 1
    (linear) or 2 (a norm, below its tangent parabola) is majorised by the higher power.
    """
    return 1 / (max(beta, order) - 1 - min(beta - 2, 0))


def _template_factors(problem: Problem, w: Tensor, h: Tensor) -> Tensor:
    """Return the factors of the templates' update, without the exponent."""
    shifted = shift(h, problem.lags)
    down, up = torch.zeros_like(w), torch.zeros_like(w[..., :1] if problem.beta == 1 else w)
    for part in problem.blocks():
        negative, positive = problem.slopes(part, shifted, w)
        active = shifted[:, part].mT  # [batch, K lags, some frames]
        down.baddbmm_(active, negative)
        up += active.sum(dim=-1, keepdim=True) if positive is None else active @ positive
    if problem.sparsity:
        # Templates are normalised first, because the reciprocal of a tiny norm may overflow.
        directions = divide(w, problem.rows(problem.norms(w, 2)))  # [batch, K lags, F]
        up = up + directions * problem.rows(problem.sparsity * h.sum(dim=1))
    return divide(down, up)


def _activation_factors(problem: Problem, w: Tensor, h: Tensor) -> Tensor:
    """Return the factors of the activations' update, without the exponent."""
    shifted = shift(h, problem.lags)
    down, up = torch.empty_like(shifted), torch.empty_like(shifted)
    sums = w.sum(dim=-1)[:, None]  # [batch, 1, K lags]
    for part in problem.blocks():
        negative, positive = problem.slopes(part, shifted, w)
        down[:, part] = negative @ w.mT
        up[:, part] = sums if positive is None else positive @ w.mT
    total = unshift(up, problem.lags)
    if problem.sparsity:
        total = total + problem.sparsity * problem.norms(w, 2)[:, None]
    return divide(unshift(down, problem.lags), total)


def _divergence(target: Tensor, model: Tensor, beta: float) -> Tensor:
    """Return the β-divergence (Févotte & Idier 2011, equation 2) of each item, float64 [batch]."""
    ratio = target / model
    if beta == 1:
        cost = torch.xlogy(target, ratio) - target + model
    elif beta == 0:
        cost = ratio - ratio.log() - 1
    else:
        scaled = ratio.pow(beta) + (beta - 1) - beta * ratio
        cost = scaled * model.pow(beta) / (beta * (beta - 1))
    return cost.sum(dim=(1, 2), dtype=torch.float64)


def shift(h: Tensor, lags: int) -> Tensor:
    """Append delayed copies of activations, [..., N, K] -> [..., N, K lags]."""
    if lags == 1:
        return h
    padded = functional.pad(h, (0, 0, lags - 1, 0))
    return padded.unfold(-2, lags, 1).flip(-1).flatten(-2)  # [..., N, K, lags] before flatten


def unshift(gradient: Tensor, lags: int) -> Tensor:
    """Apply the adjoint of `shift`: undo delays and sum, [batch, N, K lags] -> [batch, N, K]."""
    if lags == 1:
        return gradient
    by_lag = _by_lag(gradient, lags)  # [batch, N, K, lags]
    total = by_lag[..., 0].clone()
    for lag in range(1, min(lags, total.shape[1])):
        total[:, :-lag] += by_lag[:, lag:, :, lag]
    return total


def _by_lag(rows: Tensor, lags: int, dim: int = -1) -> Tensor:
    """Split an axis of K lags in two, [..., K lags, ...] -> [..., K, lags, ...]."""
    split: Tensor = rows.unflatten(dim, (-1, lags))  # type: ignore[no-untyped-call]
    return split


def divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Divide, with 0 / 0 = 0: zeros stay zeros."""
    return numerator / (denominator + torch.finfo(denominator.dtype).tiny)


def generator_of(seed: int | torch.Generator) -> torch.Generator:
    """Return a new random generator, or the caller's own."""
    return seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)


def _check(values: Tensor, name: str) -> None:
    """Refuse what is not real, finite and non-negative."""
    if values.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} must be float32 or float64, not {values.dtype}")
    if values.numel() and not (bool(values.amin() >= 0) and bool(values.amax() < torch.inf)):
        raise ValueError(f"{name} must be finite and not negative")
