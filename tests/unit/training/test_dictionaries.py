import numpy as np
import pytest
import soundfile
import torch

from partita.datasets import open_dataset
from partita.errors import AudioReadError, ModelError, UnknownNameError, UsageError
from partita.training.nmf_training.dictionaries import DictionaryRecipe, learn_dictionaries

RATE = 8000
SMALL = {
    "sample_rate": RATE,
    "fft_samples": 256,
    "hop_samples": 64,
    "bins": 129,
    "bands": 32,
    "components": 2,
    "lags": 3,
}


def recipe(*, seconds=1.0, piece_s=0.25, learn_iterations=20, **values):
    values = {"gain_steps": 0, "mixtures": 4, **values}
    keys = ("sources", "seed", "gain_steps", "mixtures")
    own = {key: values.pop(key) for key in keys if key in values}
    return DictionaryRecipe(
        seconds=seconds,
        piece_s=piece_s,
        learn_iterations=learn_iterations,
        model={**SMALL, **values},
        **own,
    )


def tone(hertz, seconds=1.0, rate=RATE):
    """A tone on both channels, [2, samples]."""
    times = np.arange(round(seconds * rate)) / rate
    return np.tile(0.3 * np.sin(2 * np.pi * hertz * times), (2, 1)).astype(np.float32)


@pytest.fixture
def write(tmp_path):
    """Write audio below the test's folder, noise by default."""

    def write_file(name, samples=None, rate=RATE):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if samples is None:
            generator = np.random.default_rng(sum(name.encode()))
            samples = generator.uniform(-0.1, 0.1, (2, RATE))
        soundfile.write(path, np.asarray(samples).T, rate, "FLOAT")
        return path

    return write_file


@pytest.fixture
def album(tmp_path, write):
    """Two tracks of noise for each of the usual stems."""
    for index in range(2):
        for stem in ("bass", "drums", "other", "vocals"):
            write(f"album/track {index}/{stem}.wav")
    return tmp_path / "album"


def spectrum(model, *sounds):
    """The mean spectrum in bands of sounds ``[2, samples]``, with a sum of one."""
    mono = torch.from_numpy(np.concatenate(sounds, axis=1)).mean(dim=0)
    pieces = torch.stack(mono.split(RATE // 4))  # as the recipe cuts them
    total = model.in_bands(model.stft.analyse(pieces).abs()).sum(dim=(0, 2))
    return total / total.sum()


def test_sources_are_all_stems_in_the_usual_order(album):
    model = learn_dictionaries(open_dataset(album), recipe())
    assert model.sources == ("vocals", "drums", "bass", "other")
    assert model.templates.shape == (32, 4 * 2, 3)
    torch.testing.assert_close(model.templates.sum(dim=(0, 2)), torch.ones(8))
    assert not model.training


def test_same_seed_same_weights(album):
    dataset = open_dataset(album)
    state = torch.get_rng_state()
    first, again, other = (
        learn_dictionaries(dataset, recipe(seed=seed)).templates for seed in (3, 3, 4)
    )
    torch.set_rng_state(state)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)
    torch.rand(5)  # what others draw does not matter
    assert torch.equal(learn_dictionaries(dataset, recipe(seed=3)).templates, first)


def test_which_sources_are_learned_and_their_order_is_the_recipes(album):
    dataset = open_dataset(album)
    model = learn_dictionaries(dataset, recipe(sources=("bass", "vocals")))
    assert model.sources == ("bass", "vocals")
    assert model.templates.shape == (32, 2 * 2, 3)


def test_one_component_is_the_mean_spectrum_of_the_sounds(write):
    sounds = [tone(500), 0.2 * tone(2000)]
    paths = [write(f"album/track {i}/bass.wav", sound) for i, sound in enumerate(sounds)]
    write("album/track 0/drums.wav")
    dataset = open_dataset(paths[0].parents[1])
    values = {"sources": ("drums", "bass"), "components": 1}
    plain = learn_dictionaries(dataset, recipe(**values, lags=1))
    expected = spectrum(plain, *sounds)
    found = plain.templates[:, 1, 0]  # for Kullback and Leibler's divergence it is exactly that
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    convolutive = learn_dictionaries(dataset, recipe(**values, lags=3))
    found = convolutive.templates[:, 1].sum(dim=-1)
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def test_two_components_tell_two_sounds_apart(write):
    sounds = np.concatenate([tone(500), tone(2000)], axis=1)
    path = write("album/one/bass.wav", sounds)
    write("album/one/drums.wav")
    values = {"sources": ("bass",), "lags": 1, "learn_iterations": 100}
    model = learn_dictionaries(open_dataset(path.parents[1]), recipe(seconds=2.0, **values))
    expected = torch.stack([spectrum(model, tone(500)), spectrum(model, tone(2000))], dim=1)
    found = model.templates[..., 0]
    assert float((found[:, 0] - found[:, 1]).abs().max()) > 0.3
    found = found[:, found.argmax(dim=0).argsort()]
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


@pytest.mark.parametrize("floor", [0.0, 0.005])
def test_silent_stretches_and_tracks_do_not_count(write, floor):
    """With twenty seconds of silence, or noise, around it, a second is found all the same."""
    generator = np.random.default_rng(0)
    silence = floor * generator.normal(size=(2, 10 * RATE)).astype(np.float32)
    path = write("album/one/bass.wav", np.concatenate([silence, tone(500), silence], axis=1))
    write("album/one/drums.wav")
    write("album/two/bass.wav", np.zeros((2, RATE), np.float32))
    values = {"sources": ("bass",), "components": 1, "lags": 1}
    model = learn_dictionaries(open_dataset(path.parents[1]), recipe(**values))
    expected = spectrum(model, tone(500))
    torch.testing.assert_close(model.templates[:, 0, 0], expected, atol=1e-4, rtol=0)


def test_pieces_are_spread_over_the_stem(write):
    """A second of ten is enough to hear both halves, and no more than it is taken."""
    path = write("album/one/bass.wav", np.concatenate([tone(500, 5), tone(2000, 5)], axis=1))
    write("album/one/drums.wav")
    values = {"sources": ("bass",), "components": 1, "lags": 1}
    dataset = open_dataset(path.parents[1])
    model = learn_dictionaries(dataset, recipe(**values))
    both = spectrum(model, tone(500, 0.5), tone(2000, 0.5))
    torch.testing.assert_close(model.templates[:, 0, 0], both, atol=1e-3, rtol=0)
    first = learn_dictionaries(dataset, recipe(**values, seconds=0.25)).templates[:, 0, 0]
    torch.testing.assert_close(first, spectrum(model, tone(500)), atol=1e-3, rtol=0)


def test_files_of_another_rate_are_brought_to_the_models(write):
    path = write("album/one/bass.wav", tone(500, rate=22050), 22050)
    write("album/one/drums.wav")
    values = {"sources": ("bass",), "components": 1, "lags": 1}
    model = learn_dictionaries(open_dataset(path.parents[1]), recipe(**values))
    torch.testing.assert_close(
        model.templates[:, 0, 0], spectrum(model, tone(500)), atol=0.02, rtol=0
    )


def test_a_stem_shorter_than_a_piece(write):
    path = write("album/one/bass.wav", tone(500, 0.05))
    write("album/one/drums.wav", tone(1000, 0.001))
    model = learn_dictionaries(open_dataset(path.parents[1]), recipe())
    torch.testing.assert_close(model.templates.sum(dim=(0, 2)), torch.ones(4))


def test_free_sources_are_not_learned_and_need_no_stems(album):
    values = {"sources": ("drums", "crowd"), "free": ("crowd",)}
    model = learn_dictionaries(open_dataset(album), recipe(**values))
    assert model.sources == ("drums", "crowd")
    assert model.config.learned == ("drums",)
    alone = learn_dictionaries(open_dataset(album), recipe(sources=("drums",)))
    assert torch.equal(model.templates, alone.templates)


def test_progress(album, write):
    write("album/track 2/drums.wav")  # one track has no other stem
    seen = []
    dataset = open_dataset(album, layout="tracks")
    learn_dictionaries(
        dataset,
        recipe(sources=("vocals", "drums"), learn_iterations=1, gain_steps=2),
        progress=lambda *at: seen.append(at),
    )
    assert seen == [(step, 7) for step in range(1, 8)]


# What goes wrong


def test_a_stem_that_is_silent_throughout(album, write):
    for index in range(2):
        write(f"album/track {index}/bass.wav", np.zeros((2, RATE), np.float32))
    with pytest.raises(UsageError, match="the stem 'bass' is silent in every track"):
        learn_dictionaries(open_dataset(album), recipe())


def test_unknown_sources(album):
    with pytest.raises(UnknownNameError, match="unknown stem 'drum'; did you mean drums"):
        learn_dictionaries(open_dataset(album), recipe(sources=("vocals", "drum")))


def test_values_that_make_no_model(album):
    with pytest.raises(ModelError, match="components must be at least 1"):
        learn_dictionaries(open_dataset(album), recipe(components=0))
    with pytest.raises(ModelError, match="sources must differ"):
        learn_dictionaries(open_dataset(album), recipe(sources=("drums", "drums")))
    with pytest.raises(UnknownNameError, match="did you mean bands"):
        learn_dictionaries(open_dataset(album), recipe(band=3))


def test_files_that_cannot_be_read(album):
    dataset = open_dataset(album)
    (album / "track 1/bass.wav").write_bytes(b"RIFF, but no more")
    with pytest.raises(AudioReadError, match=r"bass\.wav"):
        learn_dictionaries(dataset, recipe())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seconds": 1.0, "piece_s": 2.0}, "seconds 1 hold no piece of 2 s"),
        ({"seconds": float("inf")}, "seconds must be a finite number, not inf"),
        ({"seconds": float("nan")}, "seconds must be a finite number, not nan"),
        ({"piece_s": 0.0}, "piece_s must be a finite number of 0.1 or more, not 0.0"),
        ({"piece_s": 1e-6}, "piece_s must be a finite number of 0.1 or more, not 1e-06"),
        ({"piece_s": float("nan")}, "piece_s must be a finite number of 0.1 or more, not nan"),
        ({"learn_iterations": 0}, "learn_iterations must be a whole number of 1 or more"),
        ({"seed": 1 << 63}, "seed must be a whole number within ±9,223,372,036,854,775,807"),
    ],
)
def test_recipes_that_cannot_be(values, message):
    with pytest.raises(UsageError, match=message):
        DictionaryRecipe(**values)


def test_recipes_from_settings():
    texts = ["sources=drums,bass", "seconds=3", "bands=64", "free=bass", "seed=5"]
    assert DictionaryRecipe.from_settings(texts) == DictionaryRecipe(
        sources=("drums", "bass"), seconds=3, seed=5, model={"bands": 64, "free": ("bass",)}
    )
    assert DictionaryRecipe.from_settings([]) == DictionaryRecipe()
    with pytest.raises(UnknownNameError, match="unknown setting 'second'; did you mean seconds"):
        DictionaryRecipe.from_settings(["second=3"])
    with pytest.raises(UnknownNameError, match="unknown setting 'model'"):
        DictionaryRecipe.from_settings(["model=nmf"])
    with pytest.raises(
        UsageError, match="components must be a whole number within ±1,000, not 'many'"
    ):
        DictionaryRecipe.from_settings(["components=many"])
    with pytest.raises(UsageError, match="learn_iterations"):
        DictionaryRecipe.from_settings(["learn_iterations=0"])
