import errno

import pytest

from partita import errors


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("spleter-2stems", "did you mean spleeter-2stems?"),
        ("zzz", "known: spleeter-2stems, umx"),
    ],
)
def test_unknown_names_get_a_hint(name, hint):
    error = errors.UnknownNameError("model", name, ["umx", "spleeter-2stems"])
    assert str(error) == f"unknown model {name!r}; {hint}"


def test_long_lists_of_names_are_left_to_the_command_that_prints_them():
    error = errors.UnknownNameError("model", "zzz", ["umx"] * 2, "partita models")
    assert str(error) == "unknown model 'zzz'; partita models lists the known ones"
    near = errors.UnknownNameError("model", "umxh", ["umxhq"] * 2, "partita models")
    assert str(near) == "unknown model 'umxh'; did you mean umxhq?"


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("lr", ["learning_rate"]),
        ("LR", ["learning_rate"]),
        ("float32", []),
        ("--float32", []),
        ("layer", ["layers"]),
        ("learn", ["learning_rate"]),
        ("rate", ["learning_rate"]),
        ("--fromat", ["--format"]),
        ("--format-of-stems", ["--format"]),
        ("format", ["--format"]),
        ("l", []),
        ("", []),
    ],
)
def test_only_near_names_are_near(typed, near):
    assert errors.near_names(typed, ["layers", "learning_rate", "--format", "lags"]) == near


def test_unknown_name_without_candidates():
    assert str(errors.UnknownNameError("stem", "x", [])) == "unknown stem 'x'; none are known"


def test_one_line_escapes_what_breaks_terminals():
    assert errors.one_line("a\nb\x1b[31m ü 🎵") == "a\\nb\\x1b[31m ü 🎵"


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "disk is full"), (errno.EACCES, "permission"), (errno.ENOTDIR, "not a folder")],
)
def test_write_errors_say_what_to_do(number, advice):
    message = str(errors.write_error("x/y.wav", OSError(number, "text")))
    assert message.startswith("cannot write x/y.wav: ")
    assert advice in message


def test_other_write_errors_keep_the_systems_words():
    assert str(errors.write_error("x", OSError(errno.EIO, "I/O error"))).endswith(": I/O error")
