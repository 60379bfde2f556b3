import subprocess
import sys

import pytest

import partita


def test_everything_public_is_there():
    assert len(partita.__all__) <= 12
    for name in partita.__all__:
        assert getattr(partita, name) is not None
    assert dir(partita) == partita.__all__


def test_nothing_else_is():
    with pytest.raises(AttributeError, match="no attribute 'separator'"):
        _ = partita.separator


def test_importing_partita_does_not_import_pytorch():
    code = "import partita, sys; print('torch' in sys.modules, 'numpy' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "False"]


def test_the_command_line_shows_help_without_pytorch():
    code = (
        "import sys; sys.argv = ['partita', '--help']\n"
        "from partita.cli import main\n"
        "try: main()\nfinally: print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split()[-1] == "False"


def test_list_models_begins_with_the_default():
    from partita.weights.cards import CARDS, DEFAULT_MODEL

    listed = partita.list_models()
    assert listed[0] == DEFAULT_MODEL
    assert sorted(listed) == sorted(name for name, card in CARDS.items() if not card.member_of)
    assert "htdemucs_ft" in listed
