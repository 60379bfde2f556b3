import numpy as np
import pytest
import torch
from PIL import Image

from partita import Separator
from partita.audio.formats import stem_format
from partita.audio.reader import open_audio
from partita.errors import AudioReadError
from partita.models import create_model
from partita.models.nmf import BlindNmf
from partita.reports.figures import Recording, draw_factors, draw_spectrograms
from partita.reports.song import draw_song, draw_song_factors
from partita.separation.stem_files import write_stems
from partita.weights.checkpoint import save_checkpoint

pytestmark = pytest.mark.slow  # pictures of several megapixels

SMALL = {"fft_samples": 512, "hop_samples": 256, "bins": 257, "iterations": 5}
BAND_SPLIT = {"features": 8, "hidden": 8, "layers": 1, "mask_hidden": 16}
NMFD = {**SMALL, "bands": 40, "components": 2, "frames": 101, "overlap_frames": 10}


def nmf(**values):
    config = {"sources": ["a", "b"], **SMALL, "components": 2, **values}
    return Separator(create_model("nmf", config).eval())


def nmfd(**values):
    torch.manual_seed(0)
    return Separator(create_model("nmfd", {"sources": ["a", "b"], **NMFD, **values}).eval())


def height(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return picture.size[1]


def separate(song, paths, form):
    separator = Separator("hpss", stems=list(paths))
    with open_audio(song, duration_s=1.0) as reader:
        stream = separator.mixture_stream(reader)
        return write_stems(
            stream, reader, paths, stem_format(form), root=song.parent, track="song"
        ).stems


def test_a_panel_for_the_mixture_and_each_stem(write_song, tmp_path):
    song = write_song()
    names = ("harmonic", "percussive")
    stems = separate(song, {name: tmp_path / f"{name}.wav" for name in names}, "wav")
    mixture = Recording(song, start_s=0.0, duration_s=1.0)
    draw_song(mixture, stems, tmp_path / "song.png", title="Song")
    expected = {"mixture": mixture, **{name: Recording(path) for name, path in stems.items()}}
    draw_spectrograms(expected, tmp_path / "expected.png", title="Song")
    assert (tmp_path / "song.png").read_bytes() == (tmp_path / "expected.png").read_bytes()


@pytest.mark.parametrize("names", [("harmonic", "percussive"), ("percussive",)])
def test_stems_in_one_file_are_told_from_their_mixture(write_song, tmp_path, names):
    song, path = write_song(), tmp_path / "song.stem.mp4"
    stems = separate(song, dict.fromkeys(names, path), "stem.mp4")
    draw_song(Recording(song, duration_s=1.0), stems, tmp_path / "song.png", in_one=True)
    expected = {"mixture": Recording(song, duration_s=1.0)}
    expected |= {name: Recording(path, stream) for stream, name in enumerate(names, start=1)}
    draw_spectrograms(expected, tmp_path / "expected.png")
    assert (tmp_path / "song.png").read_bytes() == (tmp_path / "expected.png").read_bytes()


def test_time_is_the_songs_own(write_song, tmp_path, song):
    path = write_song()
    cut = write_song("cut.wav", song[:, 2 * 44100 :])
    draw_song(Recording(path, start_s=2.0), {}, tmp_path / "late.png")
    draw_song(Recording(cut), {}, tmp_path / "cut.png")
    draw_spectrograms({"mixture": Recording(cut)}, tmp_path / "expected.png", start_s=2.0)
    assert (tmp_path / "late.png").read_bytes() == (tmp_path / "expected.png").read_bytes()
    assert (tmp_path / "late.png").read_bytes() != (tmp_path / "cut.png").read_bytes()


@pytest.mark.parametrize("name", ["hpss", "repet", "hpss:harmonic+repet"])
def test_no_factors_of_models_without_any(write_song, tmp_path, name):
    path = tmp_path / "factors.png"
    assert draw_song_factors(Separator(name), Recording(write_song()), path) == ()
    assert not path.exists()


def test_factors_of_every_member_of_a_chain(write_song, tmp_path, song):
    path = tmp_path / "factors.png"
    chain = Separator("hpss:harmonic+nmfd:vocals+hpss:percussive+nmf")
    recording = Recording(write_song(samples=song[:, :12000]))
    drawn = draw_song_factors(chain, recording, path, title="Song")
    assert drawn == (path, tmp_path / "factors-2.png")
    # The second model hears what the first one made, and no more.
    stem = write_song("stem.wav", Separator("hpss")(recording.path)["harmonic"]
                      .samples, subtype="FLOAT")  # fmt: skip
    alone = tmp_path / "alone.png"
    draw_song_factors(Separator("nmfd"), Recording(stem), alone, title="Song · harmonic")
    assert path.read_bytes() == alone.read_bytes()
    assert height(drawn[1]) > 0


def test_a_first_member_that_factorises(write_song, tmp_path, song):
    recording = Recording(write_song(samples=song[:, :12000]))
    paths = tmp_path / "chain.png", tmp_path / "alone.png"
    for name, path in zip(("nmf:part_1+hpss", "nmf"), paths, strict=True):
        assert draw_song_factors(Separator(name), recording, path) == (path,)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_row_for_each_component_or_source(write_song, tmp_path):
    song = Recording(write_song(), duration_s=1.0)
    assert draw_song_factors(nmf(), song, tmp_path / "two.png", title="Two")
    assert draw_song_factors(nmf(components=5), song, tmp_path / "five.png")
    assert draw_song_factors(nmfd(), song, tmp_path / "four.png")
    assert draw_song_factors(nmfd(components=9), song, tmp_path / "sources.png")
    rows = [height(tmp_path / f"{name}.png") for name in ("two", "four", "five")]
    assert rows[0] < rows[1] < rows[2]
    assert height(tmp_path / "sources.png") < rows[2]  # 18 components, drawn source by source


@pytest.mark.parametrize("lags", [1, 3])
def test_the_picture_shows_what_the_model_finds(write_song, tmp_path, song, lags):
    separator = nmf(lags=lags, tolerance=0.0)
    assert draw_song_factors(separator, Recording(write_song()), tmp_path / "a.png", title="x")
    model = separator.model
    with torch.inference_mode():
        with open_audio(tmp_path / "song.wav") as reader:
            samples = torch.from_numpy(np.concatenate(list(reader.blocks()), axis=1))
        found = model.factorise(model.stft.analyse(samples[None]).abs()).factors
    draw_factors(
        found.templates[0].mean(dim=0),
        found.activations[0, 0],
        tmp_path / "b.png",
        names=["a", "b"],
        sample_rate=44100,
        hop_samples=256,
        title="x",
    )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_models_in_windows_show_the_first_one(write_song, tmp_path):
    path, separator = write_song(), nmfd()
    window_s = separator.model.window.length / 44100
    assert window_s < 1
    for name, duration_s in (("all", None), ("most", 2.0), ("half", window_s / 2)):
        song = Recording(path, duration_s=duration_s)
        assert draw_song_factors(separator, song, tmp_path / f"{name}.png")
    pictures = [(tmp_path / f"{name}.png").read_bytes() for name in ("all", "most", "half")]
    assert pictures[0] == pictures[1] != pictures[2]


def test_an_excerpt(write_song, tmp_path, song):
    path = write_song(subtype="FLOAT")
    cut = write_song("cut.wav", song[:, 44100:66150], subtype="FLOAT")
    late = Recording(path, start_s=1.0, duration_s=0.5)
    assert draw_song_factors(nmf(), late, tmp_path / "late.png")
    assert draw_song_factors(nmf(), Recording(cut), tmp_path / "cut.png")
    assert (tmp_path / "late.png").read_bytes() == (tmp_path / "cut.png").read_bytes()


@pytest.mark.parametrize("values", [{"bins": 100}, {"channels": 1}, {"sample_rate": 16000}])
def test_models_of_any_size_and_rate(write_song, tmp_path, values):
    song = Recording(write_song(), duration_s=0.5)
    assert draw_song_factors(nmf(**values), song, tmp_path / "nmf.png")
    assert draw_song_factors(nmfd(**values), song, tmp_path / "nmfd.png")
    assert height(tmp_path / "nmf.png") < height(tmp_path / "nmfd.png")


def test_silence_can_be_drawn(write_song, tmp_path):
    song = Recording(write_song(samples=np.zeros((2, 9000))))
    for name, separator in (("nmf", nmf()), ("nmfd", nmfd()), ("free", nmfd(free=["b"]))):
        assert draw_song_factors(separator, song, tmp_path / f"{name}.png")
        assert height(tmp_path / f"{name}.png")


def test_files_that_are_not_there(tmp_path):
    for draw in (
        lambda: draw_song(Recording(tmp_path / "no.wav"), {}, tmp_path / "x.png"),
        lambda: draw_song_factors(nmf(), Recording(tmp_path / "no.wav"), tmp_path / "x.png"),
    ):
        with pytest.raises(AudioReadError, match="no such file"):
            draw()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def narrow_chain(tmp_path):
    """A network that heeds the stereo field, then NMF of its second source."""
    torch.manual_seed(0)
    config = {"sources": ["voice", "rest"], **BAND_SPLIT}
    save_checkpoint(tmp_path / "first.safetensors", create_model("band-split", config).eval())
    return f"{tmp_path / 'first.safetensors'}:rest+nmf"


@pytest.mark.parametrize(
    ("field", "keep_rate"),
    [("mono", False), ("left", True), ("one channel", True), ("opposite", False), ("narrow", True)],
)
def test_the_picture_is_of_what_is_separated(
    write_song, tmp_path, song, narrow_chain, monkeypatch, field, keep_rate
):
    """Also where the stereo field is not ordinary: the facts of it reach every member."""
    left, right = song[:, 44100:66150]
    mid, side = (left + right) / 2, (left - right) / 2
    samples = {
        "mono": np.stack([mid, mid]),
        "left": np.stack([mid, 0 * mid]),
        "one channel": mid[None],
        "opposite": np.stack([mid, -mid]),
        "narrow": np.stack([mid + 0.03 * side, mid - 0.03 * side]),
    }[field]
    path = write_song(samples=samples, subtype="FLOAT")
    seen = []
    factorise = BlindNmf.factorise

    def noting(model, magnitudes):
        seen.append(magnitudes)
        return factorise(model, magnitudes)

    monkeypatch.setattr(BlindNmf, "factorise", noting)
    separator = Separator(narrow_chain)
    separator(path, keep_rate=keep_rate)
    assert draw_song_factors(
        separator, Recording(path), tmp_path / "factors.png", keep_rate=keep_rate
    )
    separated, drawn = seen
    assert separated.any()
    torch.testing.assert_close(drawn, separated)


def test_surround_that_keeps_its_channels_shows_the_first_two(write_song, tmp_path, song):
    song = song[:, 44100:66150]
    path = write_song(samples=np.concatenate([song, 0.1 * song, 0 * song]), subtype="FLOAT")
    front = write_song("front.wav", song, subtype="FLOAT")
    separator = nmf()
    for name, drawn, keep_rate in (("a", path, True), ("b", front, False), ("c", path, False)):
        picture = tmp_path / f"{name}.png"
        assert draw_song_factors(separator, Recording(drawn), picture, keep_rate=keep_rate)
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c
