"""Losses, beside formulas of a few lines."""

import itertools

import pytest
import torch

from partita.devices import intra_op_threads
from partita.errors import UsageError
from partita.models import create_model
from partita.training.losses import TrainingStep, mean_squares, weighted_sdr_loss

SMALL = {
    "sample_rate": 8000,
    "channels": 1,
    "fft_samples": 256,
    "hop_samples": 64,
    "frames": 64,
    "overlap_frames": 16,
}
SIZES = {
    "open-unmix": {**SMALL, "hidden": 8, "layers": 1},
    "crosstalk-unmix": {**SMALL, "hidden": 8, "layers": 1},
    "unet": {**SMALL, "bins": 128, "widths": [4, 8]},
}
FOUR = ("vocals", "drums", "bass", "other")


def build(name="open-unmix", sources=FOUR, **values):
    torch.manual_seed(0)
    return create_model(name, {**SIZES.get(name, {}), "sources": list(sources), **values}).eval()


def excerpts(rows=4, batch=2, samples=3000, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(batch, rows, 1, samples, generator=generator)


def magnitudes(model, mixture):
    """What the network makes of a mixture, and the mixture's spectrogram."""
    seen = model.stft.analyse(mixture)[..., : model.config.bins, :]
    estimates = model.magnitudes(seen.abs())
    return estimates * seen.abs()[:, None] if model.gives_masks else estimates, seen


@pytest.mark.parametrize("name", SIZES)
def test_magnitudes(name):
    model, rows = build(name), excerpts()
    found = TrainingStep(model, "magnitude")(rows)
    estimates, _ = magnitudes(model, rows.sum(dim=1))
    for source in range(4):
        true = model.stft.analyse(rows[:, source])[..., : model.config.bins, :].abs()
        expected = ((estimates[:, source] - true) ** 2).mean()
        assert torch.allclose(found.sources[source], expected)
    assert torch.allclose(found.total, found.sources.mean())
    assert found.total.requires_grad
    assert not found.sources.requires_grad


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_mean_squares_and_their_gradients(order):
    generator = torch.Generator().manual_seed(0)
    errors = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=generator).permute(order)
    errors.requires_grad_()
    torch.testing.assert_close(mean_squares(errors), errors.square().mean(dim=(0, 2, 3)))
    assert torch.autograd.gradcheck(mean_squares, [errors])


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("threads", [1, 2])
def test_trainings_go_as_those_with_the_formula(name, threads):
    def formula(model, rows):
        estimates, _ = magnitudes(model, rows.sum(dim=1))
        true = model.stft.analyse(rows)[..., : model.config.bins, :].abs()
        return (estimates - true).square().mean()

    def losses(of):
        model = build(name).train()
        step, optimiser = of(model), torch.optim.Adam(model.parameters())
        for index in range(10):
            rows = excerpts(seed=index)
            optimiser.zero_grad()
            loss = step(rows)
            loss.backward()
            optimiser.step()
            yield loss.item()

    def as_trained(model):
        step = TrainingStep(model, "magnitude")
        return lambda rows: step(rows).total

    with intra_op_threads(threads):
        found = list(losses(as_trained))
        expected = list(losses(lambda model: lambda rows: formula(model, rows)))
        again = list(losses(as_trained))
    assert found == pytest.approx(expected, rel=1e-4)
    assert found[-1] != pytest.approx(found[0], rel=1e-3)
    assert again == found


@pytest.mark.parametrize("name", ["open-unmix", "unet"])
@pytest.mark.parametrize(("loss", "power"), [("l1", 1), ("l2", 2)])
def test_waveforms(name, loss, power):
    model, rows = build(name), excerpts()
    found = TrainingStep(model, loss)(rows)
    errors = (model(rows.sum(dim=1)) - rows).abs() ** power
    assert torch.allclose(found.sources, errors.mean(dim=(0, 2, 3)))
    assert torch.allclose(found.total, errors.mean())


@pytest.mark.parametrize("name", SIZES)
def test_both_domains(name):
    model, rows = build(name), excerpts()
    found = TrainingStep(model, "multi-domain")(rows)
    mixture = rows.sum(dim=1)
    estimates, seen = magnitudes(model, mixture)
    images = torch.polar(estimates, seen.angle()[:, None].expand_as(estimates))
    images = torch.cat(
        [images, images.new_zeros(*images.shape[:3], 129 - images.shape[3], images.shape[4])], dim=3
    )
    waves = weighted_sdr_loss(model.stft.synthesise(images, 3000), rows, mixture)
    expected = TrainingStep(model, "magnitude")(rows).sources + 10 * waves
    assert torch.allclose(found.sources, expected, rtol=1e-4)


def test_sums_of_sources():
    model, rows = build(), excerpts()
    groups = [g for size in (1, 2, 3) for g in itertools.combinations(range(4), size)]
    assert len(groups) == 14
    errors = model(rows.sum(dim=1)) - rows
    expected = torch.stack([errors[:, group].sum(dim=1).square().mean() for group in groups])
    found = TrainingStep(model, "l2", combinations=True)(rows)
    assert torch.allclose(found.total, expected.mean())
    assert torch.allclose(found.sources, expected[:4])
    estimates, _ = magnitudes(model, rows.sum(dim=1))
    true = [model.stft.analyse(rows[:, group].sum(dim=1)).abs() for group in groups]
    expected = torch.stack(
        [
            (estimates[:, group].sum(dim=1) - magnitude).square().mean()
            for group, magnitude in zip(groups, true, strict=True)
        ]
    )
    found = TrainingStep(model, "magnitude", combinations=True)(rows)
    assert torch.allclose(found.total, expected.mean())


@pytest.mark.parametrize("sources", [("vocals",), ("vocals", "drums")])
def test_few_sources_have_no_sums(sources):
    model, rows = build(sources=sources), excerpts(len(sources))
    for loss in ("magnitude", "multi-domain"):
        alone, sums = (TrainingStep(model, loss, combinations=c)(rows) for c in (False, True))
        assert torch.equal(alone.total, sums.total)
        assert sums.sources.shape == (len(sources),)


@pytest.mark.parametrize("loss", ["magnitude", "l1", "multi-domain"])
def test_the_rest_belongs_to_the_mixture_only(loss):
    model, rows = build(sources=("vocals", "drums")), excerpts(3)
    found = TrainingStep(model, loss)(rows)
    merged = torch.stack([rows[:, 0], rows[:, 1] + rows[:, 2]], dim=1)
    other = TrainingStep(model, loss)(merged)
    assert found.sources.shape == (2,)
    assert torch.allclose(found.sources[0], other.sources[0])  # the mixture is the same
    assert not torch.allclose(found.sources[1], other.sources[1])


@pytest.mark.parametrize("loss", ["magnitude", "l1", "multi-domain"])
def test_what_is_left_over_is_not_learned(loss):
    model, rows = build(sources=("vocals", "rest"), residual=True), excerpts(2)
    found = TrainingStep(model, loss, combinations=True)(rows)
    assert found.sources.shape == (1,)
    if loss == "l1":
        expected = (model(rows.sum(dim=1))[:, 0] - rows[:, 0]).abs().mean()
        assert torch.allclose(found.total, expected)


def test_weighted_sdr():
    true, guesses = excerpts(3), excerpts(3, batch=2).flip(-1)
    mixture = true.sum(dim=1)
    expected = []
    for source in range(3):
        each = []
        for x, y, guessed in zip(
            mixture.flatten(1), true[:, source].flatten(1), guesses[:, source].flatten(1),
            strict=True,
        ):  # fmt: skip
            z, rest = x - y, x - guessed
            share = y @ y / (y @ y + z @ z)
            cosines = [(a @ b) / (a.norm() * b.norm()) for a, b in ((y, guessed), (z, rest))]
            each.append(-share * cosines[0] - (1 - share) * cosines[1])
        expected.append(torch.stack(each).mean())
    assert torch.allclose(weighted_sdr_loss(guesses, true, mixture), torch.stack(expected))


def test_weighted_sdr_of_perfect_estimates():
    true = excerpts(3)
    mixture = true.sum(dim=1)
    perfect = torch.full((3,), -1.0)
    for scale in (1e-3, 1.0, 1e3):
        found = weighted_sdr_loss(scale * true, scale * true, scale * mixture)
        assert torch.allclose(found, perfect, atol=1e-5)
    guesses = excerpts(3).roll(7, dims=-1)
    quiet = weighted_sdr_loss(0.01 * guesses, 0.01 * true, 0.01 * mixture)
    assert torch.allclose(quiet, weighted_sdr_loss(guesses, true, mixture), atol=1e-5)


@pytest.mark.parametrize("silent", ["estimates", "source", "everything"])
def test_weighted_sdr_of_silence(silent):
    true, guesses = excerpts(2), excerpts(2).flip(-1)
    if silent == "estimates":
        guesses = guesses * 0
    elif silent == "source":
        true[:, 0] = 0
    else:
        true, guesses = true * 0, guesses * 0
    guesses.requires_grad_()
    loss = weighted_sdr_loss(guesses, true, true.sum(dim=1))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert guesses.grad.isfinite().all()
    assert ((loss >= -1) & (loss <= 1)).all()


@pytest.mark.parametrize("loss", ["magnitude", "l1", "l2", "multi-domain"])
@pytest.mark.parametrize("name", SIZES)
def test_silence_moves_nothing_to_infinity(name, loss):
    rows = excerpts(2)
    rows[0] = 0  # a silent excerpt
    rows[1, 0] = 0  # a silent source
    model = build(name, sources=("vocals", "drums")).train()
    found = TrainingStep(model, loss, combinations=True)(rows)
    found.total.backward()
    assert found.total.isfinite()
    for parameter in model.parameters():
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_losses_are_in_full_precision(kind):
    rows = excerpts(3)
    rows[:, 0] = 0
    model = build(sources=FOUR[:3])
    for loss in ("multi-domain", "l2"):
        step = TrainingStep(model, loss, combinations=True)
        with torch.autocast("cpu", dtype=kind):
            half = step(rows)
        assert half.total.dtype == torch.float32
        assert torch.allclose(half.total, step(rows).total, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", ["hpss", "nmf"])
def test_models_that_learn_nothing_by_steps(name):
    sizes = {} if name == "hpss" else {"sources": ["a", "b"]}
    with pytest.raises(UsageError, match=f"the model '{name}' has no trainable weights"):
        TrainingStep(create_model(name, sizes), "l1")


def test_magnitudes_that_a_model_does_not_have():
    model = build()

    class Waves(torch.nn.Linear):
        registry_name, learned = "waves", ("vocals",)

    for loss in ("magnitude", "multi-domain"):
        with pytest.raises(UsageError, match=f"loss '{loss}' needs magnitudes, waves has none"):
            TrainingStep(Waves(2, 2), loss)
    TrainingStep(Waves(2, 2), "l1")
    assert TrainingStep(model, "l1").model is model
