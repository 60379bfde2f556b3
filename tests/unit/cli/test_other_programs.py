import pytest

from partita.cli.console import parse_time
from partita.cli.other_programs import template, translate
from partita.errors import UsageError

OPTIONS = {
    "--format": True, "--bits": True, "--model": True, "--two-stems": True, "--out": True,
    "-o": True, "--jobs": True, "-j": True, "--quiet": False, "-q": False, "--sum-to-mix": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("song.mp3 --mp3 --mp3-bitrate 320", "song.mp3 --format mp3 --format mp3 --bitrate 320"),
        ("--int24 song --flac", "--bits 24 song --format flac"),
        ("--float32 -j 2 song", "--bits float -j 2 song"),
        ("--two_stems=vocals song", "--two-stems=vocals song"),
        ("--two-stems vocals -o out song", "--two-stems vocals -o out song"),
        ("--output_format FLAC --output_dir out", "--format FLAC --out out"),
        ("--single_stem Vocals a b", "--stems Vocals a b"),
        ("--single_stem=Vocals a", "--stems Vocals a"),
        ("--targets vocals drums -q song.wav", "--stems vocals,drums -q song.wav"),
        ("song.wav --targets vocals --outdir o --ext .wav", None),
        ("-p spleeter:2stems -c mp3 -b 192k --mwf -s 5", None),
        ("-i a.mp3", "a.mp3"),
        ("--sum_to_mix -- --mp3 --output_dir", "--sum-to-mix -- --mp3 --output_dir"),
        ("--out --mp3 song", "--out --mp3 song"),  # a folder's name is a folder's name
        ("--unknown --un_known x -", "--unknown --un_known x -"),
    ],
)
def test_options_of_other_programs(typed, meant):
    found = " ".join(translate(typed.split(), OPTIONS))
    if meant is None:
        meant = {
            "song": "song.wav --stems vocals --out o --format .wav",
            "-p": "--model spleeter:2stems --format mp3 --bitrate 192k --wiener 1 --start 5",
        }[typed.split(".")[0].split()[0]]
    assert found == meant


def test_own_options_win():
    assert translate(["--mp3", "x"], {"--mp3": True}) == ["--mp3", "x"]


@pytest.mark.parametrize("typed", ["--clip-mode clamp", "--clip_mode=rescale", "--residual rest"])
def test_what_has_no_equal_gets_a_sentence(typed):
    with pytest.raises(UsageError, match=r"there is no --(clip-mode|residual): .*--") as error:
        translate(typed.split(), OPTIONS)
    assert "\n" not in str(error.value)


def test_a_value_that_is_missing():
    with pytest.raises(UsageError, match="--single-stem needs a value"):
        translate(["song", "--single_stem"], OPTIONS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("0", 0),
        (" 1.5 ", 1.5),
        (".5", 0.5),
        ("30s", 30),
        ("1:30", 90),
        ("01:05.5", 65.5),
        ("90:00", 5400),
        ("1:02:03.25", 3723.25),
    ],
)
def test_times(text, expected):
    assert parse_time("--start", text) == expected


@pytest.mark.parametrize(
    "text", ["", "-1", "1:60", "1:60:00", "1:2:3:4", "inf", "nan", "1e3", "abc", ":30", "1:", "١"]
)
def test_what_is_no_time(text):
    with pytest.raises(UsageError, match=r"--start .*is not a time: type seconds, m:ss or h:mm:ss"):
        parse_time("--start", text)


def test_fields_of_spleeter():
    assert template("{filename}/{instrument}.{codec}") == "{track}/{stem}.{ext}"
