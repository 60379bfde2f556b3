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
    ("text", "bitrate"),
    [("192k", 192_000), ("96000", 96_000), (" 64K", 64_000), ("320", 320_000), (320, 320_000),
     ("320kbps", 320_000), ("128 kbit/s", 128_000), (192_000, 192_000), ("192000bps", 192_000)],
)  # fmt: skip
def test_bit_rates(text, bitrate):
    assert stem_format("mp3", bitrate=text).bitrate == bitrate


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("wav", "20"), "does not exist for wav; known: 16, 24, float"),
        (("flac", "float"), "known: 16, 24"),
        (("wav", "16", "192k"), "is lossless"),
        (("mp3", "24"), "use `bitrate`"),
        (("mp3", "16", "fast"), "not a bit rate"),
        (("mp3", "16", "1k"), "not a bit rate"),
        (("mp3", None, "320m"), "not a bit rate"),
        (("mp3", None, "9" * 5000), "not a bit rate"),
    ],
)
def test_impossible_choices(arguments, message):
    with pytest.raises(UsageError, match=message):
        stem_format(*arguments)


@pytest.mark.parametrize(
    ("name", "bits", "expected"),
    [
        ("WAV", "float32", "float"), ("wav", "32f", "float"), ("wav", "F32", "float"),
        ("wav", "32-bit float", "float"), (".flac", "int24", "24"), ("FLAC", 24, "24"),
        (" flac ", "24bit", "24"), ("Stem.MP4", "16-bit", "16"), ("wav", None, "16"),
    ],
)  # fmt: skip
def test_names_that_people_type(name, bits, expected):
    form = stem_format(name, bits)
    assert form.bits == expected
    assert form.name in FORMATS


def test_stem_mp4_is_aac_or_alac():
    assert stem_format("stem.mp4").bitrate == 256_000
    assert stem_format("stem.mp4", "24").is_lossless
    with pytest.raises(UsageError, match=r"does not apply to stem.mp4 with `bits`"):
        stem_format("stem.mp4", "24", "192k")
    with pytest.raises(UsageError, match="known: 16, 24"):
        stem_format("stem.mp4", "float")


def test_unknown_formats_get_suggestions():
    with pytest.raises(UnknownNameError, match="did you mean flac"):
        stem_format("flacc")
