import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from partita.dsp.nmfd import nmfd
from partita.errors import ModelError
from partita.evaluation.sdr import sdr_db
from partita.models import create_model
from partita.models.nmf import group_by_envelope
from partita.weights.cards import get_card

RATE = 8000
SMALL = {
    "sample_rate": RATE,
    "fft_samples": 512,
    "hop_samples": 128,
    "bins": 257,
    "sources": ["a", "b"],
    "components": 2,
}


def build(**values):
    return create_model("nmf", {**SMALL, **values}).eval()


def tone(hertz):
    times = torch.arange(2 * RATE) / RATE
    return 0.3 * torch.sin(2 * torch.pi * hertz * times)


def noise(low_hz, high_hz, seed=0):
    """Noise of one band, [samples]."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft(torch.randn(2 * RATE, generator=generator))
    hertz = torch.linspace(0, RATE / 2, len(spectrum))
    spectrum[(hertz < low_hz) | (hertz > high_hz)] = 0
    return torch.fft.irfft(spectrum)


def turns(first, second, seconds=0.25):
    """Let two sounds take turns; returns [sources, samples]."""
    is_first = (torch.arange(len(first)) / RATE / seconds).int() % 2 == 0
    return torch.stack([first * is_first, second * ~is_first])


def best_sdr_db(true, estimates):
    """The worst source's SDR, in dB, under the best order of the estimates."""
    return max(
        min(sdr_db(one, estimates[index]) for one, index in zip(true, order, strict=True))
        for order in itertools.permutations(range(len(true)))
    )


SOUNDS = {
    "tones": lambda: turns(tone(440), tone(1300)),
    "noises": lambda: turns(noise(100, 1200), noise(1800, 3800, seed=1)),
    "both": lambda: turns(tone(700), noise(1500, 3500)),
}


@pytest.mark.parametrize("sounds", SOUNDS)
@pytest.mark.parametrize(
    "values",
    [{}, {"start": "nndsvd"}, {"lags": 4, "tolerance": 0.0}, {"components": 6}, {"beta": 0.0}],
    ids=["plain", "nndsvd", "lags", "grouped", "itakura-saito"],
)
@torch.inference_mode()
def test_sounds_that_take_turns_are_told_apart(sounds, values):
    true = SOUNDS[sounds]()[:, None].expand(-1, 2, -1)  # [sources, channels, samples]
    mixture = true.sum(dim=0)
    estimates = build(**values)(mixture[None])[0]
    assert best_sdr_db(true, [mixture, mixture]) < 3  # what it is without separation
    assert best_sdr_db(true, estimates) > 12
    torch.testing.assert_close(estimates.sum(dim=0), mixture, atol=1e-6, rtol=0)


@pytest.mark.parametrize("lags", [1, 4])
@torch.inference_mode()
def test_as_many_components_as_sources_keep_their_order(lags):
    model = build(sources=["a", "b", "c"], components=3, lags=lags, tolerance=0.0, iterations=5)
    generator = torch.Generator().manual_seed(0)
    magnitudes = torch.rand(2, 2, 257, 20, generator=generator)
    found = model.factorise(magnitudes)
    assert found.owners.tolist() == [[0, 1, 2]] * 2
    shares = found.factors.components()  # [B, C, K, F, N]
    torch.testing.assert_close(model.magnitudes(magnitudes), shares.transpose(1, 2))


@pytest.mark.parametrize("left", [0.0, 0.3, 1.0])
@torch.inference_mode()
def test_a_sound_stays_where_it_stands(left):
    sounds = turns(tone(440), noise(1500, 3500))
    gains = torch.tensor([[left, 1 - left], [0.5, 0.5]])  # [sources, channels]
    true = sounds[:, None] * gains[..., None]
    estimates = build()(true.sum(dim=0)[None])[0]
    order = (0, 1) if sdr_db(true[0], estimates[0]) > sdr_db(true[0], estimates[1]) else (1, 0)
    for source, index in enumerate(order):
        found = estimates[index].square().sum(dim=-1).sqrt()
        expected = true[source].square().sum(dim=-1).sqrt()
        torch.testing.assert_close(found / found.sum(), expected / expected.sum(), atol=0.1, rtol=0)


@torch.inference_mode()
def test_sounds_of_one_spectrum_are_told_apart_by_where_they_stand():
    left = turns(noise(100, 3800), torch.zeros(2 * RATE), seconds=0.25)[0]
    right = turns(noise(100, 3800, seed=1), torch.zeros(2 * RATE), seconds=0.4)[0]
    true = torch.zeros(2, 2, 2 * RATE)
    true[0, 0], true[1, 1] = left, right
    estimates = build()(true.sum(dim=0)[None])[0]
    assert best_sdr_db(true, estimates) > 40


@pytest.mark.parametrize("values", [{}, {"lags": 4, "tolerance": 0.0}, {"components": 5}])
@torch.inference_mode()
def test_how_many_frames_are_masked_at_once_does_not_matter(values, monkeypatch):
    mixture = turns(tone(440), noise(1500, 3500)).sum(dim=0).expand(2, 2, -1)
    model = build(**values)
    whole = model(mixture)
    for frames in (1, 7):
        monkeypatch.setattr(
            "partita.models._factorisation._PIECE_NUMBERS", frames * 2 * 2 * 2 * 257
        )
        assert model.frames_at_once(torch.zeros(2, 2, 257, 9)) == frames
        torch.testing.assert_close(model(mixture), whole, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_members_of_a_batch_stop_on_their_own():
    easy = turns(tone(440), tone(1300)).sum(dim=0)
    batch = torch.stack([easy, 0.1 * torch.randn(2 * RATE)])[:, None].expand(-1, 2, -1)
    model = build(tolerance=1e-2)
    together = model(batch)
    for index in range(2):
        alone = model(batch[index : index + 1])[0]
        torch.testing.assert_close(together[index], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("values", [{}, {"components": 5}, {"lags": 4, "tolerance": 0.0}])
@torch.inference_mode()
def test_silence_in_silence_out(values):
    assert not build(**values)(torch.zeros(1, 2, RATE)).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_the_precision_of_networks_does_not_matter(dtype):
    mixture = turns(tone(440), tone(1300)).sum(dim=0).expand(1, 2, -1)
    model = build()
    expected = model(mixture)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(model(mixture), expected)


# Grouping


def envelopes(bins=257):
    """Three kinds of spectrum: low, high, and everything: [3, bins]."""
    place = torch.linspace(0, 1, bins)
    return torch.stack([(-8 * place).exp(), (8 * place - 8).exp(), torch.ones(bins)])


@given(
    kinds=st.lists(st.integers(0, 2), min_size=3, max_size=12).filter(lambda k: len({*k}) == 3),
    seed=st.integers(0, 10**6),
)
def test_envelopes_are_grouped_whatever_their_levels(kinds, seed):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(len(kinds), 257, generator=generator)
    levels = 10 ** (8 * torch.rand(len(kinds), 1, generator=generator) - 4)
    spectra = envelopes()[kinds] * (0.9 + 0.2 * draw) * levels
    order = list(dict.fromkeys(kinds))  # numbered in order of their first members
    assert group_by_envelope(spectra, 3).tolist() == [order.index(kind) for kind in kinds]


def test_silent_and_equal_spectra_are_one_group():
    assert group_by_envelope(torch.zeros(4, 50), 3).tolist() == [0] * 4
    levels = torch.tensor([1.0, 0.25, 8.0, 2.0])
    assert group_by_envelope(torch.ones(4, 50) * levels[:, None], 2).tolist() == [0] * 4


@pytest.mark.parametrize("bins", [2, 5, 40, 41])
def test_few_bins_are_enough(bins):
    spectra = torch.zeros(4, bins)
    spectra[::2, 0] = 1
    spectra[1::2, -1] = 1
    assert group_by_envelope(spectra, 2).tolist() == [0, 1, 0, 1]


# Configurations


@pytest.mark.parametrize("name", ["nmfd-paper", "nmfd-paper-mono"])
def test_the_paper_preset_has_the_numbers_of_table_3(name):
    card = get_card(name)
    config = create_model(card.model, card.config).config
    assert (config.components, len(config.sources)) == (4, 4)
    assert (config.iterations, config.tolerance) == (30, 0.0)
    assert config.lags == 8
    assert (config.fft_samples, config.hop_samples, config.bins) == (4096, 1024, 2049)
    assert config.updates == "averaged"
    assert config.channels == (1 if name.endswith("mono") else 2)


@torch.inference_mode()
def test_the_paper_preset_starts_with_random_templates_and_uniform_activations():
    card = get_card("nmfd-paper-mono")
    model = create_model(card.model, card.config).eval()
    generator = torch.Generator().manual_seed(7)
    magnitudes = torch.rand(1, 1, 2049, 20, generator=generator)
    found = model.factorise(magnitudes).factors
    drawn = torch.Generator().manual_seed(0)
    templates = torch.rand(4 * 8, 2049, generator=drawn, dtype=torch.float64)
    expected = nmfd(
        magnitudes[0, 0],
        4,
        8,
        updates="averaged",
        iterations=30,
        templates=templates.reshape(4, 8, 2049).permute(2, 0, 1).float(),
        activations=torch.full((4, 20), 3.0),
    )
    torch.testing.assert_close(found.templates[0, 0], expected.templates, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(found.activations[0, 0], expected.activations, rtol=1e-3, atol=1e-3)
    assert found.templates.shape == (1, 1, 2049, 4, 8)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"components": 1}, "fewer components than sources"),
        ({"updates": "fast"}, "updates must be one of monotone, averaged, not 'fast'"),
        ({"updates": "averaged"}, "more than one lag"),
        ({"start": "zeros"}, "start must be one of"),
        ({"sparsity": -0.1}, "negative sparsity"),
        ({"tolerance": -1.0}, "negative sparsity or tolerance"),
        ({"lags": 0}, "lags must be at least 1"),
        ({"lags": 2}, "are for one lag"),
        ({"lags": 2, "tolerance": 0.0, "start": "nndsvd"}, "are for one lag"),
        ({"lags": 2, "tolerance": 0.0, "sparsity": 0.1}, "are for one lag"),
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"beta": float("nan")}, "beta must be a finite number"),
        ({"seed": 1 << 64}, "seed"),
        ({"bins": 1}, "bins must be at least 2"),
        ({"components": "many"}, "BlindNmfConfig"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ModelError, match=message):
        build(**values)
