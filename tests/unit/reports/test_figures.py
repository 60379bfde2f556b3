import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from partita.audio.signal import Audio, load_audio
from partita.dsp.stft import Stft
from partita.errors import AudioReadError, AudioWriteError, UsageError
from partita.reports.figures import Recording, draw_factors, draw_signals, draw_spectrograms
from partita.reports.spectrogram import (
    MAX_COLUMNS,
    ROWS,
    Columns,
    decibels,
    on_scale,
    pool_spectrogram,
    rows_on_scale,
)

RATE = 44100


def size(path):
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        return picture.size


def colours(path):
    """The colours of the first panel's middle, without axes and letters."""
    with Image.open(path) as picture:
        width, height = picture.size
        middle = picture.convert("RGB").crop((width // 4, height // 3, width // 2, height // 2))
        return {colour for _, colour in middle.getcolors(1 << 20)}


def tone(hertz, start_s, end_s, length_s, rate=RATE, amplitude=0.5):
    times = torch.arange(round(length_s * rate)) / rate
    is_on = (times >= start_s) & (times < end_s)
    return amplitude * is_on * torch.sin(2 * torch.pi * hertz * times.double()).float()


def noise(channels, samples, rate=RATE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Audio(0.1 * torch.randn(channels, samples, generator=generator), rate)


# The data


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
@pytest.mark.parametrize("hertz", [110.0, 1000.0, 3500.0])
def test_a_tone_is_where_it_sounds(rate, hertz):
    signal = tone(hertz, 2.0, 3.0, 6.0, rate)[None]
    pooled = pool_spectrogram(signal.split(10000, dim=-1), rate)
    bin_, column = divmod(int(pooled.power.argmax()), pooled.power.shape[1])
    assert bin_ * rate / 2 / (len(pooled.power) - 1) == pytest.approx(hertz, abs=rate / 4096)
    centre_s = pooled.start_s + (column + 0.5) * pooled.column_s
    assert 2.0 <= centre_s <= 3.0
    assert float(pooled.power.max()) == pytest.approx(0.25, rel=0.4)  # the window's scalloping
    loud = np.flatnonzero(pooled.power[bin_].numpy() > 0.25 * float(pooled.power.max()))
    assert pooled.start_s + loud[0] * pooled.column_s == pytest.approx(2.0, abs=0.05)
    assert pooled.start_s + (loud[-1] + 1) * pooled.column_s == pytest.approx(3.0, abs=0.05)

    rows = rows_on_scale(decibels(pooled.power, 0.25, -80.0), rate / 2)
    assert rows.shape == (ROWS, pooled.power.shape[1])
    row_hz = np.linspace(0, on_scale(rate / 2), ROWS + 1)  # the edges
    row = int(rows[:, column].argmax())
    width_hz = 2 * rate / 2 / (len(pooled.power) - 1)
    assert row_hz[row] <= on_scale(hertz + width_hz)
    assert row_hz[row + 1] >= on_scale(hertz - width_hz)


def test_a_sine_at_a_bin_has_its_own_power():
    hertz = 100 * RATE / 4096
    pooled = pool_spectrogram([tone(hertz, 0, 1, 1, amplitude=1.0)[None]], RATE)
    assert pooled.power[100, 10:30].numpy() == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("block", [1, 333, 4096, 50000])
@pytest.mark.parametrize("samples", [1, 100, 2048, 5000])
def test_frames_are_those_of_the_transform(block, samples):
    audio = noise(2, samples).samples
    pooled = pool_spectrogram(audio.split(block, dim=-1), RATE)
    stft = Stft(4096, 1024)
    whole = stft.analyse(audio).abs().square().mean(dim=0) * (4 / 4096) ** 2
    torch.testing.assert_close(pooled.power, whole, rtol=1e-4, atol=1e-9)
    assert pooled.column_s == 1024 / RATE
    assert abs(pooled.end_s - samples / RATE) <= 512.5 / RATE


@pytest.mark.parametrize("frames", [1, 7, MAX_COLUMNS, MAX_COLUMNS + 1, 5 * MAX_COLUMNS + 3])
def test_columns_are_means_and_bounded(frames):
    values = torch.rand(frames, 3, generator=torch.Generator().manual_seed(0))
    columns = Columns(3)
    for part in values.split(1000):
        columns.add(part)
    means = columns.means()
    assert len(means) == -(-frames // columns.run) <= MAX_COLUMNS
    assert columns.frames == frames
    expected = torch.stack([part.mean(dim=0) for part in values.split(columns.run)])
    torch.testing.assert_close(means, expected)


def test_the_length_does_not_matter_for_memory():
    block = noise(1, 1 << 16, 8000).samples
    pooled = pool_spectrogram((block for _ in range(150)), 8000)  # 20 minutes
    assert MAX_COLUMNS / 2 <= pooled.power.shape[1] <= MAX_COLUMNS
    covered_s = pooled.power.shape[1] * pooled.column_s
    assert pooled.end_s == pytest.approx(150 * (1 << 16) / 8000, abs=0.1)
    assert pooled.end_s <= covered_s + pooled.start_s + 1e-6 < pooled.end_s + pooled.column_s


def test_decibels():
    power = torch.tensor([[1.0, 0.1, 1e-12, 0.0]])
    assert decibels(power, 10.0, -80.0) == pytest.approx(np.array([[-10, -20, -80, -80]]), abs=1e-4)
    assert (decibels(torch.zeros(2, 3), 0.0, -60.0) == -60).all()


@pytest.mark.parametrize("bins", [2, 3, 9, 513, 4097])
@pytest.mark.parametrize("nyquist_hz", [0.5, 50.0, 4000.0, 22050.0, 192000.0])
def test_rows_keep_a_ramp_and_every_peak(bins, nyquist_hz):
    ramp = np.linspace(-80, 0, bins, dtype=np.float32)[:, None]
    rows = rows_on_scale(ramp, nyquist_hz)
    assert rows.shape == (ROWS, 1)
    assert (np.diff(rows[:, 0]) >= -1e-4).all()
    assert rows[-1, 0] == pytest.approx(0, abs=0.1 + 80 / (bins - 1))
    if bins == 4097 and nyquist_hz >= 22050:
        peaks = np.full((bins, bins), -80, np.float32)
        np.fill_diagonal(peaks, 0)
        assert (rows_on_scale(peaks, nyquist_hz)[ROWS // 2 :, bins // 2 :].max(axis=0) == 0).all()


# Files


def test_spectrograms_of_files(write_song, stems, tmp_path):
    files = {name: write_song(f"{name}.flac", stem) for name, stem in stems.items()}
    files["mixture"] = write_song("mixture.wav", sum(stems.values()))
    path = tmp_path / "new/folder/figure.png"
    recordings = {
        name: Recording(file, start_s=1.0, duration_s=2.0) for name, file in files.items()
    }
    draw_spectrograms(recordings, path, title="A song", start_s=1.0)
    width, height = size(path)
    assert width == 1800
    assert height == pytest.approx(150 * (0.9 + 1.55 * len(files)), abs=2)
    assert path.stat().st_size < 1_000_000
    assert [other.name for other in path.parent.iterdir()] == ["figure.png"]


def test_streams_of_one_file(shared_audio, tmp_path):
    file = shared_audio / "music-delta-80s-rock.stem.mp4"
    names = ["mixture", "drums", "bass", "other", "vocals"]
    path = tmp_path / "figure.png"
    draw_spectrograms({name: Recording(file, stream) for stream, name in enumerate(names)}, path)
    assert size(path)[0] == 1800
    assert 100_000 < path.stat().st_size < 1_000_000


def test_files_and_signals_give_the_same_picture(write_song, song, tmp_path):
    file = write_song("song.wav", song, subtype="FLOAT")
    draw_spectrograms({"mixture": Recording(file)}, tmp_path / "a.png")
    draw_signals({"mixture": load_audio(file)}, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_mixture_comes_first_and_sets_the_reference(tmp_path):
    loud, faint = noise(1, RATE), Audio(noise(1, RATE).samples / 1000, RATE)
    draw_signals({"vocals": faint, "mixture": loud}, tmp_path / "a.png")
    draw_signals({"mixture": loud, "vocals": faint}, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    draw_signals({"vocals": loud, "mixture": faint}, tmp_path / "c.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()


@pytest.mark.parametrize(
    "audio",
    [
        Audio(torch.zeros(2, 30000), RATE),
        Audio(torch.ones(1, 1), RATE),
        Audio(torch.zeros(1, 1), 8000),
        Audio(torch.zeros(2, 0), RATE),
        noise(8, 20000, 192000),
        noise(1, 3000, 1),
        noise(1, 3000, 150),
        Audio(noise(1, 9000).samples.double(), 11025),
    ],
    ids=["silence", "1 sample", "1 zero", "nothing", "192 kHz", "1 Hz", "150 Hz", "double"],
)
def test_unusual_signals(audio, tmp_path):
    draw_signals({"mixture": audio, "rest": audio}, tmp_path / "figure.png")
    assert size(tmp_path / "figure.png")[0] == 1800


def test_silence_is_all_floor(tmp_path):
    draw_signals({"mixture": Audio(torch.zeros(1, RATE), RATE)}, tmp_path / "figure.png")
    assert len(colours(tmp_path / "figure.png")) == 1


def test_a_silent_mixture_leaves_the_estimates_visible(tmp_path):
    silent = Audio(torch.zeros(1, RATE), RATE)
    draw_signals({"vocals": noise(1, RATE), "mixture": silent}, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_signals_of_different_rates_and_lengths(tmp_path):
    signals = {"mixture": noise(2, RATE), "low": noise(1, 12000, 8000), "long": noise(1, 3 * RATE)}
    draw_signals(signals, tmp_path / "figure.png")
    assert size(tmp_path / "figure.png")[0] == 1800


def test_long_signals_have_minutes(tmp_path):
    draw_signals({"mixture": noise(1, 300 * 2000, 2000)}, tmp_path / "figure.png")
    assert size(tmp_path / "figure.png")[0] == 1800


@pytest.mark.parametrize("title", ["Ke$ha – $ong_{1^", "夜曲\n\x07 \\frac", "x" * 300])
def test_titles_are_shown_as_they_are(title, tmp_path):
    draw_signals({title: noise(1, 5000)}, tmp_path / "figure.png", title=title)
    assert size(tmp_path / "figure.png")[0] == 1800


def test_inputs_are_not_changed(tmp_path):
    audio = noise(2, 20000)
    templates, activations = torch.rand(65, 3, 4), torch.rand(3, 50)
    before = [tensor.clone() for tensor in (audio.samples, templates, activations)]
    draw_signals({"mixture": audio}, tmp_path / "figure.png")
    options = {"names": ["a", "b", "c"], "sample_rate": RATE, "hop_samples": 512}
    draw_factors(templates, activations, tmp_path / "figure.png", **options)
    for tensor, copy in zip((audio.samples, templates, activations), before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("components", "lags"), [(1, None), (3, 1), (16, 8), (17, None), (60, 1), (60, 8)]
)
def test_factors(components, lags, tmp_path):
    shape = (257, components) if lags is None else (257, components, lags)
    generator = torch.Generator().manual_seed(0)
    templates = torch.rand(shape, generator=generator)
    activations = torch.rand(components, 100, generator=generator)
    names = ["drums" if index < components / 3 else "rest" for index in range(components)]
    path = tmp_path / "factors.png"
    draw_factors(templates, activations, path, names=names, sample_rate=RATE, hop_samples=512)
    width, height = size(path)
    rows = 0.95 * components if components <= 16 else 1.55 * 2
    assert (width, height) == (1800, pytest.approx(150 * (0.9 + rows), abs=2))
    assert path.stat().st_size < 1_000_000


def test_the_scale_of_templates_does_not_matter(tmp_path):
    templates, activations = torch.rand(65, 2, 4), torch.rand(2, 50)
    options = {"names": ["a", "b"], "sample_rate": RATE, "hop_samples": 512}
    scale = torch.tensor([0.25, 8.0])
    draw_factors(templates, activations, tmp_path / "a.png", **options)
    scaled = templates * scale[:, None], activations / scale[:, None]
    draw_factors(*scaled, tmp_path / "b.png", **options)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("components", [2, 20])
def test_factors_of_silence_and_of_many_frames(components, tmp_path):
    names = [f"part {index % 2}" for index in range(components)]
    options = {"names": names, "sample_rate": 8000, "hop_samples": 256}
    zeros = torch.zeros(65, components), torch.zeros(components, 1)
    draw_factors(*zeros, tmp_path / "zeros.png", **options)
    many = torch.rand(65, components), torch.rand(components, 3 * MAX_COLUMNS)
    draw_factors(*many, tmp_path / "many.png", title="Many frames", **options)
    assert size(tmp_path / "zeros.png")[0] == size(tmp_path / "many.png")[0] == 1800


# What goes wrong


@pytest.mark.parametrize(
    ("templates", "activations", "names"),
    [
        ((65, 2), (3, 10), 2),
        ((65, 2), (2, 10), 3),
        ((65,), (2, 10), 2),
        ((65, 2, 3, 4), (2, 10), 2),
        ((65, 2, 0), (2, 10), 2),
        ((1, 2), (2, 10), 2),
        ((65, 2), (2, 0), 2),
        ((65, 2), (2,), 2),
        ((65, 0), (0, 10), 0),
    ],
)
def test_factors_that_do_not_fit(templates, activations, names, tmp_path):
    tensors = torch.rand(templates), torch.rand(activations)
    options = {"names": ["x"] * names, "sample_rate": RATE, "hop_samples": 512}
    with pytest.raises(UsageError, match="do not fit together"):
        draw_factors(*tensors, tmp_path / "figure.png", **options)
    assert not list(tmp_path.iterdir())


def test_nothing_to_draw(tmp_path):
    with pytest.raises(UsageError, match="no signal"):
        draw_signals({}, tmp_path / "figure.png")


def test_without_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r'pip install "partita\[report\]"') as caught:
        draw_signals({"mixture": noise(1, 100)}, tmp_path / "figure.png")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_or_written(write_song, tmp_path):
    with pytest.raises(AudioReadError, match="no such file"):
        draw_spectrograms({"mixture": Recording(tmp_path / "none.wav")}, tmp_path / "figure.png")
    (tmp_path / "file").write_text("")
    song = write_song()
    with pytest.raises(AudioWriteError, match="a part of the path is a file"):
        draw_spectrograms({"mixture": Recording(song)}, tmp_path / "file/figure.png")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(AudioWriteError, match="a folder of that name"):
        draw_spectrograms({"mixture": Recording(song)}, tmp_path / "taken.png")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "song.wav", "taken.png"}


def test_an_older_picture_survives_a_failure(monkeypatch, tmp_path):
    path = tmp_path / "figure.png"
    path.write_bytes(b"older")

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(AudioWriteError, match="the disk is full"):
        draw_signals({"mixture": noise(1, 100)}, path)
    assert path.read_bytes() == b"older"
    assert [other.name for other in tmp_path.iterdir()] == ["figure.png"]


def test_figures_of_several_threads(tmp_path):
    def draw(index):
        draw_signals({"mixture": noise(1, 9000, seed=0)}, tmp_path / f"{index}.png", title="$x$")

    threads = [threading.Thread(target=draw, args=[index]) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path.read_bytes() for path in tmp_path.glob("*.png")}) == 1
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.slow
def test_matplotlib_is_imported_late_and_pyplot_never(tmp_path):
    code = (
        "import sys, torch\n"
        "from partita.audio.signal import Audio\n"
        "from partita.reports.figures import draw_signals\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from pathlib import Path\n"
        f"draw_signals({{'x': Audio(torch.ones(1, 9), 9)}}, Path({str(tmp_path / 'x.png')!r}))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "x.png").exists()
