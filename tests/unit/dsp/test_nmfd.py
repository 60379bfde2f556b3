import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.dsp.factorisation import shift, unshift
from partita.dsp.nmf import nmf
from partita.dsp.nmfd import nmfd
from unit.dsp.test_nmf import BETAS, magnitudes, never_rises

BOTH = pytest.mark.parametrize("updates", ["monotone", "averaged"])


def convolve(templates, activations):
    """Smaragdis 2004, equation 2, sample by sample."""
    model = torch.zeros(templates.shape[0], activations.shape[1], dtype=templates.dtype)
    for n in range(activations.shape[1]):
        for t in range(min(templates.shape[2], n + 1)):
            model[:, n] += templates[:, :, t] @ activations[:, n - t]
    return model


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    bins=st.integers(1, 10),
    frames=st.integers(1, 20),
    components=st.integers(1, 4),
    lags=st.integers(1, 6),
    beta=st.sampled_from(BETAS),
)
def test_the_objective_never_rises(seed, bins, frames, components, lags, beta):
    target = magnitudes(seed, bins, frames)
    found = nmfd(target, components, lags, beta=beta, iterations=15, seed=seed, trace=True)
    assert bool(found.objectives.isfinite().all())
    assert never_rises(found.objectives)
    for factor in (found.templates, found.activations):
        assert bool((factor >= 0).all())
        assert bool(factor.isfinite().all())


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    mask=st.lists(st.booleans(), min_size=1, max_size=4),
    lags=st.integers(1, 5),
    beta=st.sampled_from(BETAS),
)
def test_with_some_templates_fixed_the_objective_never_rises(seed, mask, lags, beta):
    templates = magnitudes(seed + 1, 6, len(mask), lags) + 0.05
    found = nmfd(
        magnitudes(seed, 6, 14),
        len(mask),
        lags,
        beta=beta,
        iterations=12,
        templates=templates,
        fix_templates=torch.tensor(mask),
        trace=True,
    )
    assert never_rises(found.objectives)
    assert torch.equal(found.templates[:, mask], templates[:, mask])


@BOTH
def test_some_templates_can_be_fixed(updates):
    fixed = torch.tensor([True, False, True])
    templates = magnitudes(1, 2, 8, 3, 4) + 0.05  # one set for each item
    found = nmfd(
        magnitudes(0, 2, 8, 20),
        3,
        4,
        updates=updates,
        templates=templates,
        fix_templates=fixed,
        iterations=100,
        trace=True,
    )
    assert torch.equal(found.templates[:, :, fixed], templates[:, :, fixed])
    free = found.templates[:, :, ~fixed]
    torch.testing.assert_close(free.sum(dim=(1, 3)), torch.ones(2, 1, dtype=torch.float64))
    assert float((free - templates[:, :, ~fixed]).abs().max()) > 0.01
    assert bool((found.objectives[-1] < 0.9 * found.objectives[0]).all())


@BOTH
@given(
    members=st.sets(st.integers(0, 3)),
    lags=st.integers(1, 5),
    edges=st.sets(st.integers(0, 12), min_size=2, max_size=2).map(sorted),
)
def test_total_is_the_sum_of_components(updates, members, lags, edges):
    found = nmfd(magnitudes(5, 2, 6, 12), 4, lags, updates=updates, iterations=2)
    chosen = torch.tensor(sorted(members), dtype=torch.int64)
    expected = found.components()[:, chosen].sum(dim=1)
    torch.testing.assert_close(found.total(chosen), expected)
    # An excerpt knows of what began before it.
    torch.testing.assert_close(found.total(chosen, *edges), expected[..., slice(*edges)])
    torch.testing.assert_close(found.total(chosen, edges[0]), expected[..., edges[0] :])


def test_averaged_updates_fall_on_music(song):
    from partita.dsp.stft import Stft

    target = Stft(1024, 256).analyse(torch.from_numpy(song)).abs()
    found = nmfd(target, updates="averaged", trace=True)
    assert bool((found.objectives[2:] < found.objectives[1:-1]).all())  # it starts by rising


@given(frames=st.integers(1, 12), components=st.integers(1, 3), lags=st.integers(1, 15))
def test_unshift_is_the_adjoint_of_shift(frames, components, lags):
    h = magnitudes(0, 2, frames, components)
    other = magnitudes(1, 2, frames, components * lags)
    left, right = (shift(h, lags) * other).sum(), (h * unshift(other, lags)).sum()
    torch.testing.assert_close(left, right)


@BOTH
def test_components_are_convolutions(updates):
    found = nmfd(magnitudes(0, 2, 9, 14), 3, 4, updates=updates, iterations=3)
    assert found.templates.shape == (2, 9, 3, 4)
    assert found.activations.shape == (2, 3, 14)
    shares = found.components()
    assert shares.shape == (2, 3, 9, 14)
    expected = convolve(found.templates[1, :, 2:], found.activations[1, 2:])
    torch.testing.assert_close(shares[1, 2], expected)
    torch.testing.assert_close(
        found.templates.sum(dim=(1, 3)), torch.ones(2, 3, dtype=torch.float64)
    )


def test_one_lag_is_plain_factorisation():
    target, w, h = magnitudes(0, 9, 14), magnitudes(1, 9, 3), magnitudes(2, 3, 14)
    ours = nmfd(target, 3, 1, templates=w[..., None], activations=h, beta=0.5)
    plain = nmf(target, 3, templates=w, activations=h, beta=0.5, iterations=30)
    assert torch.equal(ours.templates[..., 0], plain.templates)
    assert torch.equal(ours.activations, plain.activations)


@BOTH
def test_finds_beats_and_their_sounds(updates):
    """Two sounds that decay in their own way, each at frames of its own."""
    sounds = torch.zeros(12, 2, 4, dtype=torch.float64)
    sounds[:6, 0] = torch.tensor([8.0, 4, 2, 1])
    sounds[6:, 1] = torch.tensor([1.0, 4, 4, 1])
    beats = torch.zeros(2, 60, dtype=torch.float64)
    beats[0, ::10], beats[1, 3::14] = 1, 0.7
    target = convolve(sounds, beats)
    found = nmfd(target, 2, 4, updates=updates, iterations=300)
    assert float((found.components().sum(dim=0) - target).norm() / target.norm()) < 0.1


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_silence_stays_silent(updates, dtype):
    target = torch.zeros(2, 8, 20, dtype=dtype)
    target[1, :, 5:10] = magnitudes(0, 8, 5, dtype=dtype)
    found = nmfd(target, 3, 4, updates=updates)
    assert not found.activations[0].any()
    assert bool(found.templates.isfinite().all())
    assert bool(found.components().isfinite().all())
    assert found.components()[1].any()


@BOTH
def test_each_item_of_a_batch_is_factorised_by_itself(updates):
    target = magnitudes(5, 2, 10, 12)
    together = nmfd(target, 3, 4, updates=updates, trace=True)
    assert together.objectives.shape == (31, 2)
    alone = nmfd(target[1], 3, 4, updates=updates, trace=True)
    torch.testing.assert_close(together.templates[1], alone.templates)
    torch.testing.assert_close(together.activations[1], alone.activations)
    torch.testing.assert_close(together.objectives[:, 1], alone.objectives)


@BOTH
def test_inputs_stay_as_they_are_and_fixed_factors_come_back(updates):
    given_ = magnitudes(1, 8, 9), magnitudes(2, 8, 3, 4), magnitudes(3, 3, 9)
    before = [x.clone() for x in given_]
    target, w, h = given_
    for fix in ("templates", "activations"):
        found = nmfd(
            target, 3, 4, updates=updates, templates=w, activations=h, **{f"fix_{fix}": True}
        )
        assert all(torch.equal(*pair) for pair in zip(given_, before, strict=True))
        torch.testing.assert_close(getattr(found, fix), w if fix == "templates" else h)


def test_seeds():
    target = magnitudes(1, 8, 9)
    state = torch.get_rng_state()
    first, again, other = (nmfd(target, 3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.templates, again.templates)
    assert not torch.equal(first.templates, other.templates)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"updates": "fast"}, "monotone"),
        ({"updates": "averaged", "beta": 2.0}, "Kullback"),
        ({"lags": 0}, "lags must be positive"),
        ({"templates": torch.ones(6, 4)}, "templates must have shape"),
        ({"fix_templates": True}, "fixed"),
        ({"fix_templates": torch.tensor([True, False, False, False])}, "fixed"),
        ({"fix_templates": torch.tensor([True, False])}, "a bool for each of 4"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        nmfd(torch.ones(6, 7), **options)
