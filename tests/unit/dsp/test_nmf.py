import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from partita.dsp.nmf import nmf

BETAS = [2.0, 1.5, 1.0, 0.5, 0.0, -0.5, 3.0]


def magnitudes(seed, *shape, dtype=torch.float64):
    """Random magnitudes, some of them zero."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(shape, generator=generator, dtype=torch.float64)
    return torch.where(values < 0.1, 0, values * 3).to(dtype)


def never_rises(objectives, slack=1e-9):
    # A start that is perfect by chance gets worse by rounding errors.
    allowed = objectives[:-1] + slack * objectives[:1].abs() + 1e-12
    return bool((objectives[1:] <= allowed).all())


@settings(max_examples=60)
@example(  # templates that have become nothing
    seed=1, bins=1, frames=1, components=3, beta=2.0, sparsity=2.0, fixed=(False, True)
)
@given(
    seed=st.integers(0, 10**6),
    bins=st.integers(1, 12),
    frames=st.integers(1, 15),
    components=st.integers(1, 5),
    beta=st.sampled_from(BETAS),
    sparsity=st.sampled_from([0.0, 0.1, 2.0]),
    fixed=st.sampled_from([(False, False), (True, False), (False, True)]),
)
def test_the_objective_never_rises(seed, bins, frames, components, beta, sparsity, fixed):
    found = nmf(
        magnitudes(seed, bins, frames),
        components,
        beta=beta,
        iterations=15,
        sparsity=sparsity,
        templates=magnitudes(seed + 1, bins, components) if fixed[0] else None,
        activations=magnitudes(seed + 2, components, frames) if fixed[1] else None,
        fix_templates=fixed[0],
        fix_activations=fixed[1],
        seed=seed,
        trace=True,
    )
    assert found.objectives.shape == (16,)
    assert bool(found.objectives.isfinite().all())
    assert never_rises(found.objectives)
    for factor in (found.templates, found.activations):
        assert bool((factor >= 0).all())
        assert bool(factor.isfinite().all())


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    mask=st.lists(st.booleans(), min_size=1, max_size=4),
    beta=st.sampled_from(BETAS),
    sparsity=st.sampled_from([0.0, 0.5]),
    fix_activations=st.booleans(),
)
def test_some_templates_can_be_fixed(seed, mask, beta, sparsity, fix_activations):
    components = len(mask)
    fixed = torch.tensor(mask) if not fix_activations else torch.tensor([*mask[1:], False])
    templates = magnitudes(seed + 1, 7, components) + 0.05
    found = nmf(
        magnitudes(seed, 7, 12),
        components,
        beta=beta,
        sparsity=sparsity,
        iterations=12,
        templates=templates,
        activations=magnitudes(seed + 2, components, 12) + 0.05,
        fix_templates=fixed,
        fix_activations=fix_activations,
        trace=True,
    )
    assert never_rises(found.objectives)
    free = ~fixed
    assert torch.equal(found.templates[:, fixed], templates[:, fixed])
    changes = (found.templates[:, free] - templates[:, free]).abs().amax(dim=0)
    assert bool((changes > 1e-6).all())
    if not fix_activations:
        sums = found.templates[:, free].sum(dim=0)
        # A template that nothing needs may have become zero.
        torch.testing.assert_close(sums, (sums > 0.5).double())


def test_a_mask_of_all_or_none_is_true_or_false():
    target, templates = magnitudes(0, 8, 9), magnitudes(1, 8, 3)
    for value in (True, False):
        mask = torch.full((3,), value)
        plain = nmf(target, 3, templates=templates, fix_templates=value, iterations=5)
        masked = nmf(target, 3, templates=templates, fix_templates=mask, iterations=5)
        assert torch.equal(masked.templates, plain.templates)
        assert torch.equal(masked.activations, plain.activations)


def test_what_no_fixed_template_explains_goes_to_the_free_ones():
    known, unknown = torch.zeros(2, 10, 2, dtype=torch.float64)
    known[:5], unknown[5:] = magnitudes(0, 5, 2) + 0.1, magnitudes(1, 5, 2) + 0.1
    mine, others = magnitudes(2, 2, 30), magnitudes(3, 2, 30)
    start = torch.cat([known, magnitudes(4, 10, 2) + 0.1], dim=1)
    target = known @ mine + unknown @ others
    mask = torch.tensor([True, True, False, False])
    found = nmf(target, 4, templates=start, fix_templates=mask, iterations=400)
    learned = found.total(torch.tensor([2, 3]))
    assert float((learned - target)[5:].norm() / target[5:].norm()) < 0.02
    assert float((found.components().sum(dim=0) - target).norm() / target.norm()) < 0.02


@pytest.mark.parametrize("fix_activations", [False, True])
def test_fixed_templates_stay_in_silence(fix_activations):
    templates = magnitudes(0, 6, 2) + 0.1
    found = nmf(
        torch.zeros(6, 7, dtype=torch.float64),
        2,
        templates=templates,
        activations=magnitudes(1, 2, 7),
        fix_templates=torch.tensor([True, False]),
        fix_activations=fix_activations,
        iterations=5,
    )
    assert torch.equal(found.templates[:, 0], templates[:, 0])
    assert not found.total(torch.tensor([1])).any()


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finds_factors_of_a_product(beta, dtype):
    target = magnitudes(0, 20, 3, dtype=dtype) @ magnitudes(1, 3, 40, dtype=dtype) + 0.01
    found = nmf(target, 4, beta=beta, iterations=500)
    assert found.templates.dtype == dtype
    error = (found.templates @ found.activations - target).norm() / target.norm()
    assert float(error) < 0.05
    torch.testing.assert_close(found.templates.sum(dim=0), torch.ones(4, dtype=dtype))


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0, 3.0])
def test_the_objective_is_the_divergence(beta):
    """Written out as in Févotte & Idier 2011, in the unit of the spectrogram."""
    target = magnitudes(3, 8, 9) + 0.1
    found = nmf(target, 2, beta=beta, iterations=4, trace=True)
    model = found.templates @ found.activations + target.mean() * torch.finfo(torch.float64).eps
    x, y = target.numpy(), model.numpy()
    expected = {
        0.0: x / y - np.log(x / y) - 1,
        1.0: x * np.log(x / y) - x + y,
        2.0: (x - y) ** 2 / 2,
        3.0: (x**3 + 2 * y**3 - 3 * x * y**2) / 6,
    }[beta]
    assert float(found.objectives[-1]) == pytest.approx(expected.sum(), rel=1e-10)


def test_one_step_of_lee_and_seung():
    """Equations 4 and 5 of the paper, activations first."""
    v, w, h = magnitudes(0, 6, 7) + 0.1, magnitudes(1, 6, 2) + 0.1, magnitudes(2, 2, 7) + 0.1
    found = nmf(v, 2, iterations=1, templates=w, activations=h)
    ones = torch.ones_like(v)
    h = h * (w.T @ (v / (w @ h))) / (w.T @ ones)
    w = w * ((v / (w @ h)) @ h.T) / (ones @ h.T)
    torch.testing.assert_close(found.templates @ found.activations, w @ h)
    torch.testing.assert_close(found.templates, w / w.sum(dim=0))


@pytest.mark.parametrize("start", ["random", "nndsvd"])
def test_each_item_of_a_batch_is_factorised_by_itself(start):
    target = magnitudes(5, 2, 3, 10, 12)
    together = nmf(target, 3, iterations=10, start=start, trace=True)
    assert together.templates.shape == (2, 3, 10, 3)
    assert together.activations.shape == (2, 3, 3, 12)
    assert together.objectives.shape == (11, 2, 3)
    alone = nmf(target[1, 2], 3, iterations=10, start=start, trace=True)
    torch.testing.assert_close(together.templates[1, 2], alone.templates)
    torch.testing.assert_close(together.activations[1, 2], alone.activations)
    torch.testing.assert_close(together.objectives[:, 1, 2], alone.objectives)


def test_components_add_up_to_the_model():
    found = nmf(magnitudes(5, 2, 10, 12), 3, iterations=3)
    shares = found.components()
    assert shares.shape == (2, 3, 10, 12)
    torch.testing.assert_close(shares.sum(dim=1), found.templates @ found.activations)


@given(members=st.sets(st.integers(0, 3)))
def test_total_is_the_sum_of_components(members):
    found = nmf(magnitudes(5, 2, 10, 12), 4, iterations=2)
    chosen = torch.tensor(sorted(members), dtype=torch.int64)
    expected = found.components()[:, chosen].sum(dim=1)
    torch.testing.assert_close(found.total(chosen), expected)
    torch.testing.assert_close(found.total(chosen, 3, 7), expected[..., 3:7])


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("start", ["random", "nndsvd"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_silence_stays_silent(beta, start, dtype):
    target = torch.zeros(2, 8, 9, dtype=dtype)
    target[1] = magnitudes(0, 8, 9)
    found = nmf(target, 3, beta=beta, start=start, iterations=40)
    assert not found.activations[0].any()
    assert bool(found.templates.isfinite().all())
    assert bool(found.components().isfinite().all())
    assert found.components()[1].any()


@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize("beta", BETAS)
def test_level_does_not_matter(scale, beta):
    target = magnitudes(1, 8, 9, dtype=torch.float32)
    usual = nmf(target, 3, beta=beta, sparsity=0.1, iterations=30)
    scaled = nmf(target * scale, 3, beta=beta, sparsity=0.1, iterations=30)
    torch.testing.assert_close(scaled.templates, usual.templates, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(scaled.activations / scale, usual.activations, rtol=1e-3, atol=1e-3)


def test_seeds():
    target = magnitudes(1, 8, 9)
    state = torch.get_rng_state()
    first, again, other = (nmf(target, 3, iterations=5, seed=seed) for seed in (1, 1, 2))
    own = nmf(target, 3, iterations=5, seed=torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.templates, again.templates)
    assert torch.equal(first.templates, own.templates)
    assert not torch.equal(first.templates, other.templates)


def test_inputs_stay_as_they_are_and_fixed_factors_come_back():
    target, w, h = magnitudes(1, 8, 9), magnitudes(2, 8, 3), magnitudes(3, 3, 9)
    before = [x.clone() for x in (target, w, h)]
    for fixed in ((False, False), (True, False), (False, True)):
        found = nmf(
            target, 3, templates=w, activations=h, fix_templates=fixed[0], fix_activations=fixed[1]
        )
        assert all(torch.equal(*pair) for pair in zip((target, w, h), before, strict=True))
        if fixed[0]:
            assert torch.equal(found.templates, w)
        if fixed[1]:
            torch.testing.assert_close(found.activations, h)


def test_a_dictionary_finds_its_activations():
    w, h = magnitudes(0, 30, 4), magnitudes(1, 4, 20)
    found = nmf(w @ h, 4, templates=w, fix_templates=True, iterations=3000)
    torch.testing.assert_close(found.activations, h, atol=1e-2, rtol=0)


def test_sparsity():
    target = magnitudes(0, 20, 4) @ magnitudes(1, 4, 40)
    totals, shares = [], []
    for sparsity in (0.0, 0.5, 2.0):
        found = nmf(target, 8, sparsity=sparsity, iterations=300).activations
        totals.append(float(found.sum()))
        shares.append(float((found < 1e-3 * found.max()).double().mean()))
    assert totals == sorted(totals, reverse=True)
    assert shares[0] < shares[2]


def test_nndsvd_starts_nearer_and_takes_no_seed():
    target = magnitudes(0, 30, 5) @ magnitudes(1, 5, 40)
    near = nmf(target, 5, start="nndsvd", iterations=0, trace=True)
    again = nmf(target, 5, start="nndsvd", iterations=0, seed=5)
    random = nmf(target, 5, iterations=0, trace=True)
    assert float(near.objectives[0]) < float(random.objectives[0])
    assert torch.equal(near.templates, again.templates)
    assert bool((near.templates > 0).all())
    # The first singular vectors of non-negative matrices have one sign: the best of rank one.
    u, s, vt = torch.linalg.svd(target)
    one = nmf(target, 1, start="nndsvd", iterations=0).components()[0]
    torch.testing.assert_close(one, s[0] * u[:, :1] @ vt[:1])


def test_stops_early():
    target = magnitudes(0, 20, 3) @ magnitudes(1, 3, 40)
    found = nmf(target, 3, iterations=1000, tolerance=1e-2, trace=True)
    falls = 1 - found.objectives[1:] / found.objectives[:-1]
    assert len(falls) < 1000
    assert float(falls[-1]) <= 1e-2
    assert bool((falls[:-1] > 1e-2).all())
    assert nmf(target, 3, iterations=3).objectives.shape == (0,)


def test_blocks_do_not_matter(monkeypatch):
    target = magnitudes(0, 2, 10, 50)
    whole = nmf(target, 3, beta=0.5, iterations=5, trace=True)
    monkeypatch.setattr("partita.dsp.factorisation._BLOCK_ELEMENTS", 150)
    pieces = nmf(target, 3, beta=0.5, iterations=5, trace=True)
    torch.testing.assert_close(pieces.templates, whole.templates)
    torch.testing.assert_close(pieces.objectives, whole.objectives)


GOOD = torch.ones(6, 7)


@pytest.mark.parametrize(
    ("target", "components", "options", "message"),
    [
        (-GOOD, 2, {}, "not negative"),
        (GOOD * torch.nan, 2, {}, "finite"),
        (GOOD * torch.inf, 2, {}, "finite"),
        (GOOD.int(), 2, {}, "float32 or float64"),
        (GOOD[0], 2, {}, "bins and frames"),
        (GOOD[:, :0], 2, {}, "bins and frames"),
        (GOOD, 0, {}, "components"),
        (GOOD, 2, {"sparsity": -1}, "sparsity"),
        (GOOD, 2, {"start": "zero"}, "random"),
        (GOOD, 7, {"start": "nndsvd"}, "NNDSVD"),
        (GOOD, 2, {"templates": torch.ones(6, 3)}, "templates must have shape"),
        (GOOD, 2, {"activations": torch.ones(3, 2, 7)}, "activations must have shape"),
        (GOOD, 2, {"templates": -torch.ones(6, 2)}, "not negative"),
        (GOOD, 2, {"fix_templates": True}, "fixed"),
        (GOOD, 2, {"fix_activations": True}, "fixed"),
        (GOOD, 2, {"fix_templates": torch.tensor([True, False])}, "fixed"),
        (GOOD, 2, {"fix_templates": torch.tensor([True])}, "a bool for each of 2"),
        (GOOD, 2, {"fix_templates": torch.tensor(True)}, "a bool for each of 2"),
        (GOOD, 2, {"fix_templates": torch.tensor([1, 0])}, "a bool for each of 2"),
        (
            GOOD,
            2,
            {
                "templates": torch.ones(6, 2),
                "activations": torch.ones(2, 7),
                "fix_templates": torch.tensor([True, True]),
                "fix_activations": True,
            },
            "not both",
        ),
    ],
)
def test_refuses(target, components, options, message):
    with pytest.raises(ValueError, match=message):
        nmf(target, components, **options)
