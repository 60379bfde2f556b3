import itertools
import json

import numpy as np
import pytest
import soundfile
import torch

from partita.errors import ModelError
from partita.models import create_model
from partita.models._demucs_blocks import Up
from partita.training.recipes import load_recipe
from partita.weights.checkpoint import load_checkpoint

NAMES = ["demucs", "demucs-multidecoder"]
SMALL = {"sources": ["a", "b", "c"], "hidden": 4, "depth": 3, "rescale": 1.0, "lstm_layers": 1}
SHAPES = {
    "as it is": {},
    "no context": {"context": 1},
    "much context": {"context": 5},
    "rate as it is": {"resample": False},
    "ReLU": {"glu": False},
    "nothing rewritten": {"rewrite": False},
    "no LSTM": {"lstm_layers": 0},
    "one direction": {"bidirectional": False},
    "not normalised": {"normalise": False},
    "odd sizes": {"kernel": 5, "stride": 3, "growth": 1.3, "channels": 1},
    "kernel as long as the stride": {"kernel": 2, "stride": 2, "depth": 5},
}


def build(name="demucs", **values):
    torch.manual_seed(0)
    if name == "demucs-multidecoder" and not values.get("rewrite", True):
        values["decoder_width"] = 1.0
    return create_model(name, {**SMALL, **values}).eval()


def noise(samples, batch=1, channels=2):
    generator = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(batch, channels, samples, generator=generator)


def size(name, config):
    model = create_model(name, config, initialise=False)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("values", SHAPES.values(), ids=SHAPES)
@torch.inference_mode()
def test_any_number_of_samples(name, values):
    model = build(name, **values)
    channels = model.channels
    for samples in (*range(1, 20), 63, 64, 65, 127, 997):
        estimates = model(noise(samples, channels=channels))
        assert estimates.shape == (1, 3, channels, samples)
        assert estimates.isfinite().all()


@pytest.mark.parametrize("values", SHAPES.values(), ids=SHAPES)
def test_padding_is_short_and_enough_for_all_that_is_shorter(values):
    config = build(**values).config
    lengths = [config.valid_samples(samples) for samples in range(1, 3000)]
    assert all(valid >= samples for samples, valid in enumerate(lengths, 1))
    assert lengths == sorted(lengths)
    step = config.stride**config.depth
    assert all(after - before <= step for before, after in itertools.pairwise(lengths))


@pytest.mark.parametrize("values", [{}, {"decoder_width": 1.0}, {"glu": False}, {"context": 1}])
@torch.inference_mode()
def test_decoders_of_one_convolution_are_a_loop_of_decoders(values):
    model = build("demucs-multidecoder", hidden=8, **values)
    mixture = noise(1000, batch=2)
    together = model.network(mixture)  # [B, S C, T]

    def decoder(index):
        """Return the levels of one source, which know nothing of the others."""
        levels = []
        for level in model.decoder:
            part = {
                name: tensor.chunk(3)[index].clone()  # groups stand one behind the other
                for name, tensor in level.state_dict().items()
            }
            gates = 2 if model.config.glu else 1
            inside, inner = part["rewrite.weight"].shape[1], part["conv.weight"].shape[0]
            assert part["rewrite.weight"].shape[0] == gates * inner
            outside = part["conv.weight"].shape[1]
            alone = Up(model.config, inside, inner, outside, decoders=1, outermost=level.outermost)
            alone.load_state_dict(part)
            levels.append(alone)
        return levels

    skips, x = [], mixture
    for down in model.encoder:
        x = down(x)
        skips.append(x)
    bottom = model.recurrence(x)
    estimates = []
    for index in range(3):
        x = bottom
        for up, skip in zip(decoder(index), reversed(skips), strict=True):
            x = up(x, skip)
        estimates.append(x)
    expected = torch.cat(estimates, dim=1)
    assert float(expected.abs().max()) > 1e-3
    torch.testing.assert_close(together, expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_decoders_do_not_hear_each_other():
    model = build("demucs-multidecoder")
    before = model(noise(1000))
    for level in model.decoder:
        for parameter in level.parameters():
            parameter.chunk(3)[1].mul_(2)
    after = model(noise(1000))
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_one_decoder_of_one_source_is_the_plain_network():
    plain = build(sources=["a"])
    multi = build("demucs-multidecoder", sources=["a"], decoder_width=1.0)
    assert multi.load_state_dict(plain.state_dict())
    with torch.inference_mode():
        assert torch.equal(plain(noise(1000)), multi(noise(1000)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("normalise", [False, True])
@torch.inference_mode()
def test_silence_among_others(name, normalise):
    model = build(name, normalise=normalise)
    mixture = noise(1000, batch=3)
    mixture[1] = 0
    estimates = model(mixture)
    assert not estimates[1].any()
    for index in (0, 2):
        assert estimates[index].any()
        torch.testing.assert_close(estimates[index], model(mixture[index : index + 1])[0])


def not_scaled(model, mixture):
    """Return how far estimates of a mixture 8 times as loud are from 8 times the estimates."""
    expected = 8 * model(mixture)
    return float((model(8 * mixture) - expected).norm() / expected.norm())


@torch.inference_mode()
def test_normalised_mixtures_may_be_of_any_level():
    model, plain = build(), build(normalise=False)
    mixture = noise(1000)
    assert not_scaled(model, mixture) < 0.002
    assert not_scaled(plain, mixture) > 0.05
    faint = model(mixture * 1e-7)  # is not blown up
    assert float(faint.abs().max()) < 1e-6


@torch.inference_mode()
def test_channels_that_cancel_each_other_are_heard():
    model, mixture = build(), noise(1000)
    mixture[:, 1] = -mixture[:, 0]
    estimates = model(mixture)
    assert estimates.isfinite().all()
    assert 1e-3 < float(estimates.norm() / mixture.norm()) < 1e3


@pytest.mark.parametrize("normalise", [False, True])
@torch.inference_mode()
def test_one_sample_has_no_deviation(normalise):
    model = build(normalise=normalise)
    assert model(torch.full((1, 2, 1), 0.5)).isfinite().all()


@pytest.mark.parametrize("values", [{}, {"resample": False}, {"kernel": 6, "stride": 3}])
@torch.inference_mode()
def test_delays_of_whole_steps_delay_the_estimates(values):
    model = build(normalise=False, **values)
    window = model.window
    step = model.config.stride**model.config.depth
    step //= 2 if model.config.resample and step % 2 == 0 else 1
    assert window.length % step == window.overlap % step == 0
    assert window.length == pytest.approx(441000, abs=step)
    assert window.overlap == pytest.approx(441000 / 4, abs=step)
    mixture = torch.nn.functional.pad(noise(2000), (5000, 5000))
    there = slice(5000, 7000)
    delayed = model(torch.roll(mixture, step, dims=-1)).roll(-step, dims=-1)
    torch.testing.assert_close(delayed[..., there], model(mixture)[..., there], atol=1e-5, rtol=0)
    other = model(torch.roll(mixture, step // 2 + 1, dims=-1)).roll(-(step // 2 + 1), dims=-1)
    assert not torch.allclose(other[..., there], model(mixture)[..., there], atol=1e-3)


@pytest.mark.parametrize(
    ("values", "steps"),
    [({"segment_s": 1e-6}, (1, 0)), ({"segment_s": 0.01, "overlap": 0.99}, (14, 13))],
)
def test_short_windows(values, steps):
    window = build(**values).window
    assert (window.length, window.overlap) == tuple(32 * count for count in steps)


@torch.inference_mode()
def test_one_direction_knows_the_past_only():
    mixture = noise(6000)
    changed = mixture.clone()
    changed[..., 3000:] = 0
    for bidirectional in (False, True):
        model = build(bidirectional=bidirectional, normalise=False)
        moved = (model(changed) - model(mixture))[..., :2500].abs().max()
        assert (float(moved) > 0) == bidirectional


@torch.inference_mode()
def test_first_weights_are_brought_nearer_to_the_reference():
    names = ("encoder.1.conv", "encoder.1.rewrite", "decoder.1.rewrite", "decoder.1.conv")
    plain, scaled = build(rescale=0.0, hidden=32), build(rescale=0.1, hidden=32)
    for name in names:
        before, after = (model.get_submodule(name) for model in (plain, scaled))
        expected = (before.weight.std() * 0.1).sqrt()
        torch.testing.assert_close(after.weight.std(), expected)
        factor = after.weight.std() / before.weight.std()
        torch.testing.assert_close(after.bias, before.bias * factor)
    assert torch.equal(plain.recurrence.linear.weight, scaled.recurrence.linear.weight)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden": 1}, "hidden below 2 or depth below 1"),
        ({"depth": 0}, "hidden below 2 or depth below 1"),
        ({"growth": 0.5}, "growth must be at least 1"),
        ({"kernel": 3}, "stride must be 1 up to kernel"),
        ({"stride": 0}, "stride must be 1 up to kernel"),
        ({"context": 0}, "context must be positive"),
        ({"lstm_layers": -1}, "lstm_layers must not be negative"),
        ({"rescale": -0.1}, "rescale must not be negative"),
        ({"segment_s": 0}, "segment_s must be positive"),
        ({"overlap": 1.0}, "overlap must be 0 or more and below 1"),
        ({"decoder_width": 0}, "decoder_width must be positive"),
        ({"decoder_width": 0.5, "rewrite": False}, "must be 1 without rewrite"),
    ],
)
def test_values_that_cannot_be(values, message):
    with pytest.raises(ModelError, match=message):
        create_model("demucs-multidecoder", values)


def test_sizes():
    assert size("demucs", {}) == 265_679_496  # 1 GB, as published
    assert size("demucs", {"hidden": 48}) == 149_462_504
    assert size("demucs", {"hidden": 100, "resample": False}) == 648_548_208
    # Four decoders are as large as one, but for some biases.
    assert size("demucs-multidecoder", {}) == pytest.approx(265_679_496, rel=1e-4)
    four = size("demucs-multidecoder", {"decoder_width": 1.0})
    assert four == pytest.approx(265_679_496 + 3 * 55_924_000, rel=0.01)


def test_table_5():
    recipe = load_recipe("demucs-paper")
    assert size(recipe.model, recipe.config) == 265_679_496
    config = create_model(recipe.model, recipe.config, initialise=False).config
    assert (config.hidden, config.depth, config.kernel, config.stride) == (64, 6, 8, 4)
    assert (config.lstm_layers, config.bidirectional) == (2, True)
    assert (config.sample_rate, config.channels) == (44100, 2)
    training = recipe.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (120, 64, 3e-4)
    assert (training.loss, training.optimiser) == ("l2", "adam")
    assert round(training.excerpt_s * 44100) == 441_000


def test_table_13():
    recipe = load_recipe("demucs-light")
    assert size(recipe.model, recipe.config) == 1_877_384
    config = create_model(recipe.model, recipe.config, initialise=False).config
    assert (config.hidden, config.depth, config.kernel, config.stride) == (64, 3, 8, 4)
    assert (config.lstm_layers, config.bidirectional) == (1, False)
    assert (config.sample_rate, config.channels) == (44100, 2)
    training = recipe.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (2, 4, 3e-4)
    assert training.loss == "l2"
    assert round(training.excerpt_s * 44100) == 20_000


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["demucs-paper", "demucs-light", "demucs-multidecoder"])
def test_recipes_train(run, tmp_path, monkeypatch, recipe):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    times = np.arange(8000) / 4000
    for index in range(3):
        folder = tmp_path / "album" / f"track {index}"
        folder.mkdir(parents=True)
        tone = 0.3 * np.sin(2 * np.pi * (300 + 100 * index) * times)
        for stem, samples in (("vocals", tone), ("drums", 0.05 * rng.normal(size=8000))):
            soundfile.write(folder / f"{stem}.wav", samples, 4000)
    tiny = {"sources": "vocals,drums", "sample_rate": 4000, "hidden": 4, "depth": 2, "epochs": 2}
    tiny |= {"excerpt_s": 0.25, "batch_size": 4, "accumulate": 2, "steps_per_epoch": 3}
    tiny |= {"valid_excerpts": 4, "segment_s": 0.5, "learning_rate": 0.01}
    flags = [flag for key, value in tiny.items() for flag in ("--set", f"{key}={value}")]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = run("train", recipe, "--data", "album", "--out", "mine", *flags)
    finally:
        torch.set_num_threads(before)
    assert result.status == 0, result.err
    assert load_checkpoint(tmp_path / "mine/model.safetensors").sources == ("vocals", "drums")
    result = run("separate", "album/track 0/vocals.wav", "--model", "mine", "--json")
    assert result.status == 0, result.err
    assert set(json.loads(result.out)["stems"]) == {"vocals", "drums"}
