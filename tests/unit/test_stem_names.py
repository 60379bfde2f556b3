import pytest

from partita.errors import UnknownNameError, UsageError
from partita.stem_names import choose_stems, file_names, stem_members

SOURCES = ("vocals", "drums", "bass", "other")


@pytest.mark.parametrize(
    ("expression", "members"),
    [
        ("drums", ("drums",)),
        ("drums+bass", ("drums", "bass")),
        ("no_vocals", ("drums", "bass", "other")),
        ("no_drums+bass", ("vocals", "other")),
    ],
)
def test_expressions(expression, members):
    assert stem_members(expression, SOURCES) == members


def test_a_source_may_be_called_no_something():
    assert stem_members("no_reverb", ("no_reverb", "reverb")) == ("no_reverb",)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("vocal", "unknown stem 'vocal'; did you mean vocals?"),
        ("drums+bas", "unknown stem 'bas'; did you mean bass?"),
        ("", "unknown stem ''"),
        ("drums+drums", "twice"),
        ("no_vocals+drums+bass+other", "is empty"),
    ],
)
def test_impossible_expressions(expression, message):
    with pytest.raises(UsageError) as error:
        stem_members(expression, SOURCES)
    assert message in str(error.value)


def test_all_sources_by_default():
    assert list(choose_stems(SOURCES)) == list(SOURCES)


def test_two_stems():
    assert choose_stems(SOURCES, two_stems="vocals") == {
        "vocals": ("vocals",),
        "no_vocals": ("drums", "bass", "other"),
    }
    assert choose_stems(SOURCES, two_stems="drums+bass")["no_drums+bass"] == ("vocals", "other")


def test_choices_exclude_each_other():
    with pytest.raises(UsageError, match="exclude"):
        choose_stems(SOURCES, stems=["drums"], two_stems="vocals")
    with pytest.raises(UsageError, match="names a stem twice"):
        choose_stems(SOURCES, stems=["drums", "drums"])
    with pytest.raises(UnknownNameError):
        choose_stems(SOURCES, two_stems="flute")


def test_names_of_files():
    assert file_names(["a/b", "c\\d", "drums+bass"]) == {
        "a/b": "a_b", "c\\d": "c_d", "drums+bass": "drums+bass"
    }  # fmt: skip
    with pytest.raises(UsageError, match="stems 'a/b' and 'a_b' would get one file name: rename"):
        file_names(["a/b", "a_b"])
    with pytest.raises(UsageError, match="would get one file name on systems that do not tell"):
        file_names(["Voice", "flute", "voice"])
