"""Players in notebooks: what is inside the HTML, and what is said of what is not."""

import base64
import re

import numpy as np
import pytest
import torch

from partita import Audio, load_audio
from partita.audio.player.player import MOST_S, player_html
from partita.separation.estimates import Estimates

RATE = 8000


def tone(hz, seconds=1.0, level=0.5, rate=RATE, channels=2):
    time_s = np.arange(round(seconds * rate)) / rate
    return np.tile(level * np.sin(2 * np.pi * hz * time_s), (channels, 1)).astype(np.float32)


def audio(*arguments, rate=RATE, **options):
    return Audio(torch.from_numpy(tone(*arguments, rate=rate, **options)), rate)


def inside(html, folder):
    """Return the signals in a player, decoded."""
    found = []
    for index, text in enumerate(re.findall(r'src="data:audio/ogg;base64,([^"]+)"', html)):
        path = folder / f"{index}.opus"
        path.write_bytes(base64.b64decode(text))
        found.append(load_audio(path))
    return found


def text_of(html):
    """Return what a reader sees."""
    html = re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).strip()


def test_audio_is_in_its_player(tmp_path):
    html = audio(440)._repr_html_()
    (decoded,) = inside(html, tmp_path)
    assert decoded.channels == 2
    assert decoded.duration_s == pytest.approx(1.0, abs=0.001)
    loud = decoded.samples[:, 5000:-5000]
    assert float(loud.square().mean().sqrt()) == pytest.approx(0.5 / 2**0.5, rel=0.05)
    assert text_of(html) == "2 channels, 1.000 s, 8000 Hz Play"
    assert 'data-duration="1.000000"' in html
    assert "partita-mute" not in re.sub(r"<(style|script)>.*?</\1>", "", html, flags=re.S)
    assert html.count("<path") == 1


def test_estimates_have_a_row_for_each_stem(tmp_path):
    stems = {"vocals": audio(440), "no_vocals": audio(220, channels=1)}
    html = Estimates(stems, -123.456, ("the file ends early",))._repr_html_()
    assert [each.channels for each in inside(html, tmp_path)] == [2, 1]
    assert text_of(html) == (
        "2 channels, 1.000 s, 8000 Hz · null depth −123.46 dB "
        "vocals M S no_vocals M S Play the file ends early"
    )
    assert html.count("partita-solo") > html.count("<script")
    assert Estimates({}, None)._repr_html_() is None


def test_names_are_no_markup():
    name = "<script>alert(1)</script>\"'&"
    html = player_html(
        {name: (tone(440), RATE), "b": (tone(440), RATE)}, heading=name, notes=[name]
    )
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;") == 6
    assert html.count("</script>") == 1


def test_long_audio_is_cut_and_it_is_said(tmp_path):
    html = audio(440, MOST_S + 10, rate=4000, channels=1)._repr_html_()
    assert inside(html, tmp_path)[0].duration_s == pytest.approx(MOST_S, abs=0.001)
    assert "0:00 to 2:00 of 2:10; partita.show(…, start_s=…) plays other parts" in text_of(html)
    four = {name: (tone(440, MOST_S / 4 + 1, rate=4000, channels=1), 4000) for name in "abcd"}
    assert "0:00 to 0:30 of 0:31;" in text_of(player_html(four))


def test_excerpts(tmp_path):
    samples = np.concatenate([np.zeros((2, RATE), np.float32), tone(440)], axis=1)
    html = player_html({"a": (samples, RATE)}, start_s=1.0, duration_s=0.5)
    (decoded,) = inside(html, tmp_path)
    assert decoded.duration_s == pytest.approx(0.5, abs=0.001)
    assert float(decoded.samples[:, 4000:8000].square().mean()) > 0.1
    assert text_of(html).endswith("Play 0:01 to 0:01 of 0:02")
    with pytest.raises(ValueError, match="no samples from 2 s on"):
        player_html({"a": (samples, RATE)}, start_s=2.0)


def test_one_gain_for_all(tmp_path):
    html = player_html(
        {"loud": (tone(440, level=2.0), RATE), "quiet": (tone(440, level=0.2), RATE)}
    )
    loud, quiet = (each.samples[:, 5000:-5000].abs().max() for each in inside(html, tmp_path))
    assert float(loud) == pytest.approx(1.0, abs=0.1)
    assert float(quiet / loud) == pytest.approx(0.1, rel=0.1)
    assert "played 6.0 dB lower: its peak is above full scale" in text_of(html)


@pytest.mark.parametrize("rate", [2000, 44100, 192_000])
@pytest.mark.parametrize("channels", [1, 6])
def test_any_form(tmp_path, rate, channels):
    (decoded,) = inside(audio(440, 0.3, rate=rate, channels=channels)._repr_html_(), tmp_path)
    assert decoded.channels == min(channels, 2)
    assert decoded.duration_s == pytest.approx(0.3, abs=0.001)


def test_silence_nan_and_short_signals(tmp_path):
    for samples in (torch.zeros(2, RATE), torch.full((2, RATE), torch.nan), torch.ones(1, 1)):
        html = Audio(samples, RATE)._repr_html_()
        (decoded,) = inside(html, tmp_path)
        assert torch.isfinite(decoded.samples).all()
        assert "nan" not in re.sub(r"base64,[^\"]+", "", html)


@pytest.mark.parametrize("samples", [torch.zeros(2, 0), torch.zeros(100), torch.zeros(9, 100)])
def test_what_is_no_audio_shows_as_text(samples):
    assert Audio(samples, RATE)._repr_html_() is None


def test_samples_stay_as_they_are():
    found = audio(440, level=3.0)
    before = found.samples.clone()
    found._repr_html_()
    assert torch.equal(found.samples, before)
    assert Audio(found.samples.requires_grad_(), RATE)._repr_html_()
