import functools

import pytest
import soundfile
import torch

from partita.datasets import open_dataset
from partita.errors import ModelError
from partita.evaluation.sdr import sdr_db
from partita.models import create_model
from partita.training.nmf_training.dictionaries import DictionaryRecipe, learn_dictionaries

RATE = 8000
SMALL = {
    "sample_rate": RATE,
    "fft_samples": 512,
    "hop_samples": 128,
    "bins": 257,
    "bands": 64,
    "components": 6,
    "lags": 4,
    "percussive_prior": 0.0,
}


def envelope(starts, seconds, decay_s):
    """Strokes that die away, [samples]."""
    times = torch.arange(round(seconds * RATE)) / RATE
    total = torch.zeros_like(times)
    for start in starts:
        total += torch.where(times >= start, (-(times - start) / decay_s).exp(), 0)
    return total


def tones(seed, seconds=4.0):
    """Notes of one instrument, one after the other."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.arange(round(seconds * RATE)) / RATE
    total = torch.zeros_like(times)
    for index in range(round(seconds / 0.4)):
        hertz = 220 * 2 ** (int(torch.randint(5, (1,), generator=generator)) / 6)
        stroke = envelope([0.4 * index], seconds, 0.15)
        for harmonic in range(1, 5):
            wave = torch.sin(2 * torch.pi * harmonic * hertz * times)
            total += 0.2 / harmonic * stroke * wave
    return total


def bursts(seed, seconds=4.0):
    """Strokes of noise, at random times."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(round(seconds * RATE), generator=generator)
    starts = seconds * torch.rand(round(3 * seconds), generator=generator)
    return 0.25 * noise * envelope(starts.tolist(), seconds, 0.04)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A model whose dictionaries come from two tracks, for sources of these names and order."""
    root = tmp_path_factory.mktemp("album")
    for track in range(2):
        folder = root / f"track {track}"
        folder.mkdir()
        soundfile.write(folder / "drums.wav", bursts(track).numpy(), RATE, "FLOAT")
        soundfile.write(folder / "other.wav", tones(10 + track).numpy(), RATE, "FLOAT")

    @functools.cache
    def templates(lags):
        recipe = DictionaryRecipe(gain_steps=0, model={**SMALL, "lags": lags})
        return learn_dictionaries(open_dataset(root), recipe).templates

    def build(**values):
        config = {**SMALL, "sources": ["drums", "other"], **values}
        model = create_model("nmfd", config).eval()
        model.templates.copy_(templates(config["lags"])[:, : model.templates.shape[1]])
        return model

    return build


@pytest.fixture(scope="module")
def stems():
    """Drums and other as no data set has them, ``[sources, channels, samples]``."""
    left = torch.stack([bursts(20), tones(30)])
    return torch.stack([left, left * torch.tensor([[0.5], [0.8]])], dim=1)


def worst_sdr_db(model, stems):
    estimates = model(stems.sum(dim=0)[None])[0]
    return min(sdr_db(*pair) for pair in zip(stems, estimates, strict=True))


@pytest.mark.parametrize(
    "values",
    [{}, {"lags": 1}, {"mask_exponent": 2.0}, {"beta": 0.5}, {"adapt_iterations": 5}],
    ids=str,
)
@torch.inference_mode()
def test_dictionaries_find_their_sources(learned, stems, values):
    assert worst_sdr_db(learned(**values), stems) > 10


@torch.inference_mode()
def test_without_learning_nothing_is_found(learned, stems):
    torch.manual_seed(0)
    assert worst_sdr_db(create_model("nmfd", learned().config.to_dict()).eval(), stems) < 5


@torch.inference_mode()
def test_free_sources_get_what_no_dictionary_explains(learned, stems):
    semi = learned(free=["other"], iterations=40)
    assert semi.config.learned == ("drums",)
    assert semi.templates.shape == (64, 6, 4)
    assert worst_sdr_db(semi, stems) > 8
    found = semi.factorise(semi.stft.analyse(stems.sum(dim=0)[None]).abs()).factors
    kept, free = found.templates[0, 0].split(6, dim=1)
    torch.testing.assert_close(kept, semi.templates, rtol=0, atol=0)
    torch.testing.assert_close(free.sum(dim=(0, 2)), torch.ones(6))


@torch.inference_mode()
def test_free_sources_stand_where_the_config_says(learned, stems):
    usual, other = learned(free=["other"]), learned(sources=["other", "drums"], free=["other"])
    assert other.sources == ("other", "drums")
    mixture = stems.sum(dim=0)[None]
    torch.testing.assert_close(usual(mixture)[0], other(mixture)[0].flip(0), atol=1e-2, rtol=0)


@torch.inference_mode()
def test_adapting_brings_the_model_nearer_to_the_mixture(learned, stems):
    mixture = learned().stft.analyse(stems.sum(dim=0)[None]).abs()
    errors = []
    for count in (0, 10, 40):
        model = learned(adapt_iterations=count)
        found = model.factorise(mixture)
        observed = model.in_bands(mixture)[0]
        explained = found.item(0).source(0) + found.item(0).source(1)
        errors.append(float((explained - observed).norm() / observed.norm()))
        is_kept = torch.equal(found.factors.templates[0, 0], model.templates)
        assert is_kept == (count == 0)
    assert errors[0] > 1.1 * errors[1]
    assert errors[1] > 1.02 * errors[2]


@pytest.mark.parametrize("exponent", [1.0, 2.0, 1.5])
@torch.inference_mode()
def test_masks_are_ratios_of_powers_and_estimates_add_up(learned, stems, exponent):
    model = learned(mask_exponent=exponent)
    mixture = stems.sum(dim=0)[None]
    torch.testing.assert_close(model(mixture).sum(dim=1), mixture, atol=1e-6, rtol=0)
    # With a band for each bin masks are not smoothed.
    model = create_model("nmfd", {**model.config.to_dict(), "bands": 257}).eval()
    magnitudes = model.stft.analyse(mixture).abs()
    found = model.factorise(magnitudes).item(0)
    powers = torch.stack([found.source(0), found.source(1)]) ** exponent
    masks = model.magnitudes(magnitudes)[0] ** exponent
    torch.testing.assert_close(masks, powers / powers.sum(dim=0), atol=1e-3, rtol=0)


# Priors


def twins(sources, **values):
    """A model whose sources have the same dictionary: priors alone tell them apart."""
    torch.manual_seed(0)
    model = create_model("nmfd", {**SMALL, "sources": sources, **values}).eval()
    half = model.templates.shape[1] // 2
    model.templates[:, half:] = model.templates[:, :half]
    return model


@torch.inference_mode()
def test_the_percussive_prior_gives_beats_to_the_drums():
    times = torch.arange(3 * RATE) / RATE
    steady = 0.2 * (torch.sin(2 * torch.pi * 440 * times) + torch.sin(2 * torch.pi * 1000 * times))
    true = torch.stack([bursts(0, 3.0), steady])[:, None].expand(-1, 2, -1)
    values = {"percussive_prior": 2.0}
    assert worst_sdr_db(twins(["drums", "other"], **values), true) > 10
    assert worst_sdr_db(twins(["other", "drums"], **values), true.flip(0)) > 10
    assert worst_sdr_db(twins(["kick", "pad"], **values, percussive=["kick"]), true) > 10
    assert worst_sdr_db(twins(["drums", "other"]), true) < 3


@torch.inference_mode()
def test_the_repeating_prior_gives_what_does_not_repeat_to_the_vocals():
    bar = tones(0, 1.2) + bursts(1, 1.2)
    song = bar.repeat(8)
    times = torch.arange(len(song)) / RATE
    voice = 0.3 * torch.sin(2 * torch.pi * (900 * times + 100 * times**2))
    true = torch.stack([voice, song])[:, None].expand(-1, 2, -1)
    values = {"repeating_prior": 2.0}
    assert worst_sdr_db(twins(["vocals", "other"], **values), true) > 10
    assert worst_sdr_db(twins(["other", "vocals"], **values), true.flip(0)) > 10
    assert worst_sdr_db(twins(["solo", "band"], **values, foreground=["solo"]), true) > 10
    assert worst_sdr_db(twins(["vocals", "other"]), true) < 3


@torch.inference_mode()
def test_priors_for_sources_that_are_not_there_do_nothing():
    mixture = (tones(0) + bursts(0)).expand(1, 2, -1)
    plain = twins(["piano", "flute"])(mixture)
    prior = twins(["piano", "flute"], percussive_prior=2.0, repeating_prior=2.0)(mixture)
    assert torch.equal(prior, plain)


# What must not matter


@pytest.mark.parametrize(
    "values",
    [{}, {"percussive_prior": 1.0, "repeating_prior": 1.0}, {"free": ["other"]},
     {"adapt_iterations": 3}, {"mask_exponent": 2.0}, {"beta": 0.0}, {"beta": 2.0}],
    ids=str,
)  # fmt: skip
@torch.inference_mode()
def test_silence_and_what_is_almost_silent(learned, values):
    model = learned(sources=["drums", "other"], **values)
    assert not model(torch.zeros(1, 2, RATE)).any()
    click = torch.zeros(1, 2, RATE)
    click[..., RATE // 2] = 1e-3
    estimates = model(click)
    assert bool(estimates.isfinite().all())
    torch.testing.assert_close(estimates.sum(dim=1), click, atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    "values", [{}, {"percussive_prior": 1.0}, {"adapt_iterations": 3}], ids=str
)
@torch.inference_mode()
def test_channels_are_separated_by_themselves(learned, values):
    both = torch.stack([tones(0) + bursts(0), 0.3 * tones(1)])
    estimates = learned(**values)(both[None])[0]  # [sources, channels, samples]
    mono = learned(**values, channels=1)
    for channel in range(2):
        alone = mono(both[None, channel : channel + 1])[0, :, 0]
        torch.testing.assert_close(estimates[:, channel], alone, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_loud_passages_do_not_matter_for_quiet_ones_far_away(learned):
    quiet, loud = 1e-3 * (tones(0) + bursts(0)), tones(1) + bursts(1)
    model = learned()
    alone = model(quiet.expand(1, 2, -1))[0]
    before = model(torch.cat([quiet, loud]).expand(1, 2, -1))[0]
    heard = slice(0, len(quiet) - 4096)
    error = (before[..., heard] - alone[..., heard]).norm() / alone[..., heard].norm()
    assert float(error) < 1e-3


@torch.inference_mode()
def test_level_does_not_matter(learned, stems):
    model = learned(percussive_prior=1.0)
    mixture = stems.sum(dim=0)[None]
    torch.testing.assert_close(model(1024 * mixture) / 1024, model(mixture), atol=1e-4, rtol=0)


@pytest.mark.parametrize("values", [{}, {"percussive_prior": 1.0, "mask_exponent": 2.0}], ids=str)
@torch.inference_mode()
def test_how_many_frames_are_masked_at_once_does_not_matter(learned, stems, values, monkeypatch):
    model = learned(**values)
    mixture = stems.sum(dim=0)[None]
    whole = model(mixture)
    for frames in (1, 7):
        monkeypatch.setattr("partita.models._factorisation._PIECE_NUMBERS", frames * 2 * 2 * 257)
        assert model.frames_at_once(torch.zeros(1, 2, 257, 9)) == frames
        torch.testing.assert_close(model(mixture), whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_the_precision_of_networks_does_not_matter(learned, stems, dtype):
    model = learned(percussive_prior=1.0)
    mixture = stems.sum(dim=0)[None]
    expected = model(mixture)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(model(mixture), expected)


def test_new_dictionaries_add_up_to_one():
    model = create_model("nmfd", {**SMALL, "sources": ["a", "b", "c"], "free": ["b"]})
    assert model.templates.shape == (64, 2 * 6, 4)
    torch.testing.assert_close(model.templates.sum(dim=(0, 2)), torch.ones(12))
    assert not list(model.parameters())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"components": 0}, "components must be at least 1"),
        ({"bands": 1}, "bands must be 2 up to bins"),
        ({"bands": 258}, "bands must be 2 up to bins"),
        ({"free": ["piano"]}, "free must be some of the sources"),
        ({"free": ["vocals", "drums", "bass", "other"]}, "free must be some of the sources"),
        ({"adapt_iterations": -1}, "adapt_iterations must not be negative"),
        ({"repeating_prior": -0.5}, "priors must not be negative"),
        ({"percussive_prior": -0.5}, "priors must not be negative"),
        ({"lags": 0}, "lags must be at least 1"),
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"beta": float("inf")}, "beta must be a finite number"),
        ({"bands": "many"}, "NmfdConfig"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ModelError, match=message):
        create_model("nmfd", {**SMALL, **values})
