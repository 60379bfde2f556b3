import pytest

from partita.audio.formats import FORMATS, stem_format
from partita.errors import UnknownNameError, UsageError


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_defaults(name):
    form = stem_format(name)
    assert form.name == name
    assert (form.bitrate > 0) == (name not in ("wav", "flac"))
    assert form.holds_all_stems == (name == "stem.mp4")


@pytest.mark.parametrize(
    ("text", "bitrate"), [("192k", 192_000), ("96000", 96_000), (" 64K", 64_000)]
)
def test_bit_rates(text, bitrate):
    assert stem_format("mp3", bitrate=text).bitrate == bitrate


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("wav", "20"), "does not exist for wav; known: 16, 24, float"),
        (("flac", "float"), "known: 16, 24"),
        (("wav", "16", "192k"), "is lossless"),
        (("mp3", "24"), "use --bitrate"),
        (("mp3", "16", "fast"), "not a bit rate"),
        (("mp3", "16", "1k"), "not a bit rate"),
    ],
)
def test_impossible_choices(arguments, message):
    with pytest.raises(UsageError, match=message):
        stem_format(*arguments)


def test_unknown_formats_get_suggestions():
    with pytest.raises(UnknownNameError, match="did you mean flac"):
        stem_format("flacc")
