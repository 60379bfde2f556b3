import math

import numpy as np
import pytest
import torch

from partita import Audio, Estimates, Separator, load_audio
from partita.dsp.overlap_add import Window
from partita.errors import AudioReadError, AudioWriteError, PartitaError, UsageError
from partita.models._protocol import ModelConfig, SeparationModel

RATE = 44100


SHORT = Window(4410, 441)


class Halves(SeparationModel):
    """Gives half of the mixture to each of two sources; notes what it was given."""

    registry_name = "halves"
    config_type = ModelConfig

    def __init__(self, window=SHORT, share=0.5, **config):
        super().__init__(ModelConfig(sources=("left_half", "right_half"), **config))
        self.window, self.share = window, share
        self.seen = []

    def forward(self, mixture):
        self.seen.append(tuple(mixture.shape))
        return torch.stack([mixture * self.share, mixture * self.share], dim=1)


@pytest.mark.parametrize("window", [Window(4410, 441), None])
def test_stems_have_the_mixtures_shape(song, window):
    estimates = Separator(Halves(window))(song, RATE)
    assert list(estimates) == ["left_half", "right_half"]
    assert len(estimates) == 2
    for audio in estimates.values():
        assert audio.sample_rate == RATE
        torch.testing.assert_close(audio.samples, torch.from_numpy(song) / 2)
    assert estimates.null_depth_db < -120


def test_mixtures_are_never_changed(song):
    before = song.copy()
    Separator(Halves(), sum_to_mix=True)(song, RATE)
    np.testing.assert_array_equal(song, before)
    tensor = torch.from_numpy(song * 100)
    Separator(Halves())(tensor, RATE)
    assert torch.equal(tensor, torch.from_numpy(before * 100))


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_rate_and_channels_come_back(channels, rate):
    time_s = np.arange(rate // 2) / rate
    tones = np.stack([np.sin(2 * np.pi * 200 * (i + 1) * time_s) for i in range(channels)])
    bass = np.sin(2 * np.pi * 90 * time_s)  # in all channels: they are no songs of their own
    tones = ((0.2 * tones + 0.7 * bass) * np.hanning(len(time_s))).astype(np.float32)
    model = Halves()
    estimates = Separator(model)(tones, rate, keep_rate=True)
    samples = estimates["left_half"].samples.numpy()
    assert samples.shape == tones.shape
    assert estimates["left_half"].sample_rate == rate
    assert np.abs(samples - tones / 2).max() < 1e-3
    assert {shape[:2] for shape in model.seen} == {(-(-channels // 2), 2)}


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_by_default_stems_are_the_models(channels):
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (channels, 48000)).astype(np.float32)
    estimates = Separator(Halves())(noise, 48000)
    assert estimates["left_half"].samples.shape == (2, RATE)
    assert estimates["left_half"].sample_rate == RATE


def test_stems_can_be_sums_and_rests(song):
    separator = Separator(Halves(), stems=["left_half+right_half", "no_left_half"])
    estimates = separator(song, RATE)
    torch.testing.assert_close(estimates["left_half+right_half"].samples, torch.from_numpy(song))
    torch.testing.assert_close(estimates["no_left_half"].samples, torch.from_numpy(song) / 2)


def test_null_depth_tells_what_is_missing(song):
    estimates = Separator(Halves(share=0.45))(song, RATE)
    assert estimates.null_depth_db == pytest.approx(-20, abs=0.01)


@pytest.mark.parametrize("keep_rate", [False, True])
def test_sum_to_mix(song, keep_rate):
    separator = Separator(Halves(share=0.3), sum_to_mix=True)
    estimates = separator(song, 48000, keep_rate=keep_rate)
    assert estimates.null_depth_db < -120
    if keep_rate:
        total = sum(audio.samples for audio in estimates.values())
        torch.testing.assert_close(total, torch.from_numpy(song), atol=1e-6, rtol=0)


def test_silence_is_an_exact_sum():
    estimates = Separator(Halves())(np.zeros((2, 10000), np.float32), RATE)
    assert estimates.null_depth_db == -math.inf
    assert not estimates["left_half"].samples.any()


@pytest.mark.parametrize("count", [1, 2, 441, 4409, 4410, 4411, 9000])
def test_any_length(count):
    noise = np.random.default_rng(count).standard_normal((2, count)).astype(np.float32)
    for rate in (8000, 44100, 96000):
        estimates = Separator(Halves())(noise, rate, keep_rate=True)
        assert estimates["left_half"].samples.shape == (2, count)


def test_shifts_are_seeded_and_change_little(song, tiny_model):
    plain = Separator(str(tiny_model))(song, RATE)["flute"].samples
    first, again, other = (
        Separator(str(tiny_model), shifts=2, seed=seed)(song, RATE)["flute"].samples
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0 < (first - plain).norm() / plain.norm() < 0.2


def test_segment_and_overlap(song):
    model = Halves()
    separator = Separator(model, segment_s=0.5, overlap=0.5)
    assert separator.models[0].window == Window(22050, 11025)
    separator(song, RATE)
    assert {shape[-1] for shape in model.seen} == {22050}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"segment_s": 0.0}, "`segment_s`"),
        ({"overlap": 1.0}, "`overlap`"),
        ({"shifts": -1}, "`shifts`"),
        ({"stems": ["flute"]}, "unknown stem"),
        ({"device": "cuda:99"}, "not there"),
        ({"precision": "int4"}, "unknown precision"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(UsageError, match=message):
        Separator(Halves(), **options)


def test_models_that_see_everything_have_no_segments():
    with pytest.raises(UsageError, match="whole tracks"):
        Separator(Halves(window=None), segment_s=5.0)


@pytest.mark.parametrize(
    "mixture",
    [
        np.zeros((2, 0)),
        np.zeros(100),
        np.zeros((9, 100)),
        np.zeros((1, 2, 100)),
        np.full((2, 100), np.nan),
        np.full((2, 100), np.inf),
    ],
)
def test_impossible_mixtures(mixture):
    with pytest.raises(UsageError, match="mixture"):
        Separator(Halves())(mixture, RATE)


def test_files(write_song, song, tmp_path):
    path = write_song(subtype="FLOAT")
    separator = Separator(Halves())
    seen = []
    estimates = separator(
        path,
        start_s=1.0,
        duration_s=0.5,
        progress=lambda done_s, total_s: seen.append((done_s, total_s)),
    )
    expected = torch.from_numpy(song[:, 44100 : 44100 + 22050]) / 2
    torch.testing.assert_close(estimates["left_half"].samples, expected)
    assert seen[-1] == (0.5, 0.5)
    with pytest.raises(AudioReadError, match="no such file"):
        separator(tmp_path / "missing.wav")


@pytest.mark.parametrize("batch", [1, 3, 4])
@pytest.mark.parametrize("channels", [2, 4])
def test_batched_windows_change_nothing(song, batch, channels):
    mixture = np.tile(song, (channels // 2, 1))
    model = Halves()
    separator = Separator(model)
    separator.models[0].batch = batch
    estimates = separator(mixture, RATE, keep_rate=True)
    torch.testing.assert_close(estimates["left_half"].samples, torch.from_numpy(mixture) / 2)
    assert max(shape[0] for shape in model.seen) == batch * channels // 2


def test_batches_shrink_where_memory_ends(song):
    class Small(Halves):
        def forward(self, mixture):
            if len(mixture) > 1:
                raise torch.OutOfMemoryError
            return super().forward(mixture)

    separator = Separator(Small())
    separator.models[0].batch = 4
    estimates = separator(song, RATE)
    torch.testing.assert_close(estimates["left_half"].samples, torch.from_numpy(song) / 2)


def test_no_memory_at_all_is_one_clear_line(song):
    class Hopeless(Halves):
        def forward(self, mixture):
            raise torch.OutOfMemoryError

    with pytest.raises(PartitaError, match="out of memory on cpu: shorter windows"):
        Separator(Hopeless())(song, RATE)


@pytest.mark.parametrize("shifts", [0, 3])
def test_threads_are_as_before(song, shifts):
    import threading

    before = torch.get_num_threads(), threading.active_count()
    Separator(Halves(), shifts=shifts)(song, RATE)
    assert (torch.get_num_threads(), threading.active_count()) == before


def test_loud_beyond_measure(song):
    estimates = Separator(Halves())(song.astype(np.float64) * 1e24, RATE)
    assert math.isfinite(estimates.null_depth_db)


def test_any_array_will_do(song, tiny_model):
    expected = Separator(Halves())(song[::-1].copy(), RATE)["left_half"].samples
    readonly = song[::-1]
    readonly.flags.writeable = False
    assert torch.equal(Separator(Halves())(readonly, RATE)["left_half"].samples, expected)
    half = torch.from_numpy(song).bfloat16()
    assert Separator(Halves())(half, RATE)["left_half"].samples.dtype == torch.float32
    assert Separator(tiny_model, stems="voice, flute").stems == {
        "voice": ("voice",),
        "flute": ("flute",),
    }
    for bad in (np.ones((2, 100), np.int16), np.ones((2, 100), complex), np.full((2, 9), 1e300)):
        with pytest.raises(UsageError, match="mixture"):
            Separator(Halves())(bad, RATE)
    with pytest.raises(UsageError, match="`sample_rate` must be a positive integer"):
        Separator(Halves())(song, 0)


def test_bfloat16_stays_close(song, tiny_model):
    exact = Separator(str(tiny_model))(song, RATE)["voice"].samples
    rounded = Separator(str(tiny_model), precision="bfloat16")(song, RATE)["voice"].samples
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).norm() / exact.norm() < 0.05


class Blurred(Halves):
    """Gives each channel to a source of its own, with some of the other; not all of the mixture."""

    def forward(self, mixture):
        left, right = torch.tensor([[0.8], [0.2]]), torch.tensor([[0.1], [0.7]])
        return torch.stack([mixture * left, mixture * right], dim=1)


@pytest.mark.parametrize("window", [Window(44100, 4410), None])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_wiener_estimates_add_up_to_the_mixture(song, window, channels):
    mixture = np.tile(song, (2, 1))[:channels] * 3
    before = mixture.copy()
    plain, refined = (
        Separator(Blurred(window), wiener=count)(mixture, RATE, keep_rate=True) for count in (0, 2)
    )
    np.testing.assert_array_equal(mixture, before)
    assert plain.null_depth_db > -25
    total = sum(audio.samples for audio in refined.values()).numpy()
    assert np.abs(total - mixture).max() <= 1e-6 * np.abs(mixture).max()


@pytest.mark.parametrize("samples", [1, 100, 50000])
def test_wiener_of_short_and_silent_mixtures(samples):
    separator = Separator(Blurred(), wiener=1)
    for mixture in (np.zeros((2, samples), np.float32), np.ones((2, samples), np.float32)):
        estimates = separator(mixture, RATE)
        total = sum(audio.samples for audio in estimates.values()).numpy()
        assert np.abs(total - mixture).max() <= 1e-6
        assert all(mixture.any() or not audio.samples.any() for audio in estimates.values())


def test_wiener_behind_a_spectrogram_model(song, tiny_model):
    plain, refined = (Separator(str(tiny_model), wiener=n)(song, RATE)["voice"] for n in (0, 1))
    difference = (refined.samples - plain.samples).norm() / plain.samples.norm()
    assert 1e-3 < difference < 1


def test_wiener_wants_iterations_and_sources():
    with pytest.raises(UsageError, match="`wiener` -1 is negative"):
        Separator(Halves(), wiener=-1)
    alone = Halves()
    alone.config = ModelConfig(sources=("voice",))
    with pytest.raises(UsageError, match="halves has one"):
        Separator(alone, wiener=1)


@pytest.mark.parametrize(
    "name", ["hpss:harmonic+repet", "repet+hpss", "hpss:residual+hpss:residual+repet"]
)
@pytest.mark.parametrize("channels", [1, 4])
def test_chains_add_up_to_what_their_first_model_does(song, name, channels):
    """Models whose estimates add up to their input make chains whose estimates do."""
    mixture = np.tile(song, (2, 1))[:channels, :60000]
    separator = Separator(name)
    estimates = separator(mixture, RATE, keep_rate=True)
    assert tuple(estimates) == separator.sources
    assert estimates.null_depth_db < -120
    total = sum(audio.samples for audio in estimates.values()).numpy()
    np.testing.assert_allclose(total, mixture, atol=1e-6)


def test_a_chain_is_its_models_one_behind_the_other(song):
    repet, hpss = Separator("repet")(song, RATE), Separator("hpss")
    parts = hpss(repet["accompaniment"].samples, RATE)
    estimates = Separator("repet+hpss", stems="percussive,no_percussive")(song, RATE)
    torch.testing.assert_close(estimates["percussive"].samples, parts["percussive"].samples)
    rest = repet["vocals"].samples + parts["harmonic"].samples + parts["residual"].samples
    torch.testing.assert_close(estimates["no_percussive"].samples, rest)


def test_chains_of_checkpoints(song, tiny_model):
    separator = Separator(f"{tiny_model}:rest+hpss", segment_s=0.5)
    assert separator.sources == ("voice", "flute", "harmonic", "percussive", "residual")
    assert [each.window.length for each in separator.models] == [RATE // 2] * 2
    assert separator.model is separator.models[0].model
    assert separator(song, 48000)["voice"].sample_rate == RATE


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hpss+repet", {}, "which stem should repet separate"),
        ("hpss:flute+repet", {}, "unknown stem 'flute'"),
        ("hpss+", {}, "a model is missing"),
        ("hpss:harmonic", {}, "a model is missing"),
        ("repet+repet", {"segment_s": 5.0}, "whole tracks"),
        ("repet+hpss", {"stems": "accompaniment"}, "unknown stem 'accompaniment'"),
    ],
)
def test_impossible_chains(name, options, message):
    with pytest.raises(UsageError, match=message):
        Separator(name, **options)


@pytest.mark.parametrize(("form", "bits"), [("wav", None), ("FLAC", 24), ("wav", "float")])
def test_estimates_are_saved_with_one_gain(tmp_path, song, stems, form, bits):
    loud = {"vocals": 8 * stems["vocals"], "drums": stems["drums"]}
    audio = {name: Audio(torch.from_numpy(samples), RATE) for name, samples in loud.items()}
    saved = Estimates(audio, -100.0).save(tmp_path / "out", format=form, bits=bits)
    peak = max(np.abs(samples).max() for samples in loud.values())
    assert peak > 1
    gain = 1.0 if bits == "float" else 1 / peak
    assert saved.gain_db == pytest.approx(20 * math.log10(gain))
    extension = form.lower()
    assert dict(saved) == {
        name: tmp_path / "out" / f"{name}.{extension}" for name in ("vocals", "drums")
    }
    for name, samples in loud.items():
        again = load_audio(saved[name])
        np.testing.assert_allclose(again.samples.numpy(), samples * gain, atol=2**-14)
    assert len(saved) == len(list((tmp_path / "out").iterdir())) == 2


def test_estimates_that_cannot_be_saved(tmp_path, song):
    audio = Audio(torch.from_numpy(song), RATE)
    estimates = Estimates({"a": audio, "b": audio}, -100.0)
    with pytest.raises(UsageError, match="unknown format 'wave'; did you mean wav"):
        estimates.save(tmp_path, format="wave")
    with pytest.raises(UsageError, match=r"stem\.mp4 holds the mixture too"):
        estimates.save(tmp_path, format="stem.mp4")
    for pair in (("a/b", "a_b"), ("Voice", "voice"), ("caf\u00e9", "cafe\u0301")):
        with pytest.raises(UsageError, match="would get one file name"):
            Estimates(dict.fromkeys(pair, audio), 0.0).save(tmp_path)
        assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="one length, channel count and rate"):
        Estimates({"a": audio, "b": Audio(audio.samples, 48000)}, 0.0).save(tmp_path)
    (tmp_path / "b.wav").mkdir()
    with pytest.raises(AudioWriteError, match=r"b\.wav: a folder of that name is in the way"):
        estimates.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["b.wav"]


class Fields(Halves):
    """Notes the channels that it is given, and what the side is worth."""

    def __init__(self, **config):
        super().__init__(window=Window(44100, 441), **config)
        self.heard, self.worth = [], []

    def for_song(self, facts):
        self.worth.append(facts.side)
        return self

    def forward(self, mixture):
        self.heard.append(mixture.clone())
        return super().forward(mixture)

    def was_given(self, window):
        """Tell whether a window came as it is: threads take windows in any order."""
        return any(torch.equal(heard[0], torch.from_numpy(window)) for heard in self.heard)


UNUSUAL = {
    "mono": np.float32([[0.5, 0.5], [0.5, 0.5]]),
    "narrow": np.float32([[0.52, 0.48], [0.48, 0.52]]),
    "left": np.float32([[1, 0], [0, 0]]),
    "right": np.float32([[0, 0], [0, 1]]),
    "quiet right": np.float32([[1, 0], [0, 0.05]]),
    "turned": np.float32([[1, 0], [0, -1]]),
    "opposite": np.float32([[0.5, 0.5], [-0.5, -0.5]]),
}


@pytest.mark.parametrize("keep_rate", [False, True])
@pytest.mark.parametrize("unusual", list(UNUSUAL))
def test_unusual_songs_are_heard_in_both_channels_and_come_back(song, unusual, keep_rate):
    model, mixture = Fields(), UNUSUAL[unusual] @ song
    estimates = Separator(model)(mixture, RATE, keep_rate=keep_rate)
    total = sum(audio.samples for audio in estimates.values())
    torch.testing.assert_close(total, torch.from_numpy(mixture), atol=1e-6, rtol=0)
    assert estimates.null_depth_db < -100
    heard = torch.cat(model.heard)
    left, right = heard[:, 0].norm(), heard[:, 1].norm()
    assert left / right == pytest.approx(1, abs=0.1)
    assert (heard[:, 0] * heard[:, 1]).sum() > 0.3 * left * right


def test_ordinary_songs_are_given_as_they_are(song):
    model = Fields()
    Separator(model)(song, RATE)
    assert model.was_given(song[:, :44100])
    assert model.worth[0].tolist() == [1.0]


def test_the_field_is_one_of_the_whole_song(song):
    """A mono beginning does not make a wide song narrow; all windows are mapped alike."""
    model = Fields()
    halves = [UNUSUAL["mono"] @ song, song, song]
    mixture = np.concatenate(halves, axis=1)
    Separator(model)(mixture, RATE)
    assert model.worth[0].tolist() == [1.0]
    assert model.was_given(mixture[:, :44100])


def test_files_and_arrays_agree_on_the_field(song, tmp_path):
    mixture = UNUSUAL["narrow"] @ song
    Audio(torch.from_numpy(mixture), RATE).save(tmp_path / "song.wav", bits="float")
    in_memory = Separator(Fields())(mixture, RATE)
    from_file = Separator(Fields())(tmp_path / "song.wav")
    for name, audio in in_memory.items():
        assert torch.equal(from_file[name].samples, audio.samples)


def test_one_channel_is_mono(song):
    model = Fields()
    Separator(model)(song[:1], RATE, keep_rate=True)
    assert model.worth[0].tolist() == [0.0]
    assert torch.equal(model.heard[0][:, 0], model.heard[0][:, 1])


def test_pairs_of_many_channels_have_fields_of_their_own(song):
    model = Fields()
    mixture = np.concatenate([song, song[:1], song[:1]])  # stereo and a pair of equal channels
    Separator(model)(mixture, RATE, keep_rate=True)
    assert model.worth[0].tolist() == [1.0, 0.0]


def test_opposite_channels_do_not_cancel_for_models_of_one(song):
    model = Halves(channels=1)
    left = song.mean(axis=0)
    estimates = Separator(model)(np.stack([left, -left]), RATE)
    total = sum(audio.samples for audio in estimates.values())
    torch.testing.assert_close(total[0], torch.from_numpy(left), atol=1e-6, rtol=0)


def test_hard_panned_channels_are_separated_by_themselves(stems):
    """Equal to separating each channel as a song of one, also in surround; the sum is the song."""
    hard = np.stack([stems["drums"].mean(axis=0), stems["bass"].mean(axis=0)])
    separator = Separator("accompaniment-stems")
    found = separator(hard, RATE, keep_rate=True)
    channels = [separator(hard[index : index + 1], RATE, keep_rate=True) for index in (0, 1)]
    for name, audio in found.items():
        for channel in (0, 1):
            alone = channels[channel][name].samples[0]
            torch.testing.assert_close(audio.samples[channel], alone, atol=1e-4, rtol=0)
    total = sum(audio.samples for audio in found.values())
    torch.testing.assert_close(total, torch.from_numpy(hard), atol=1e-5, rtol=0)
    quad = np.concatenate([hard, stems["other"]])
    surround = separator(quad, RATE, keep_rate=True)
    for name, audio in surround.items():
        torch.testing.assert_close(audio.samples[:2], found[name].samples, atol=1e-4, rtol=0)
