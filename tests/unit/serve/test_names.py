import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.serve.names import download_name, folder_name, safe_extension, shown_name


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Music\\Lied.mp3", "Lied"),
        ("a\nb\0c.flac", "a b c"),
        ("..", "song"),
        ("", "song"),
        (".mp3", "mp3"),
        ("日本の歌.m4a", "日本の歌"),
        ("Vol. 2", "Vol. 2"),
        ("Lied.STEM.mp4", "Lied"),
        ("no.one.knows", "no.one.knows"),
    ],
)
def test_what_people_see(sent, shown):
    assert shown_name(sent) == shown


def test_extensions_are_usual_ones_or_none():
    assert safe_extension("x.WAV") == ".wav"
    for name in ("x.m3u8", "x.ffconcat", "x.mpd", "x", "x.wav/../y", "x.php"):
        assert safe_extension(name) == ""


@given(st.text(max_size=300))
def test_no_name_leaves_its_folder(name):
    shown = shown_name(name)
    assert shown
    assert len(shown) <= 200
    assert shown.isprintable()
    folder = folder_name(name, "0123")
    assert folder.isascii()
    assert folder.endswith("0123")
    assert not set(folder) & set('/\\.:*?"<>| \0')
    assert not set(download_name(name)) & set('/\\:*?"<>|\0')
