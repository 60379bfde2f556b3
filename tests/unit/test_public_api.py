import subprocess
import sys

import pytest

import partita


def printed_by(code):
    """Return what a program in a process of its own prints, word by word."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_everything_public_is_there():
    assert len(partita.__all__) <= 12
    for name in partita.__all__:
        assert getattr(partita, name) is not None
    assert set(partita.__all__) < set(dir(partita))


def test_packages_are_attributes():
    names = set(dir(partita)) - set(partita.__all__)
    assert {"audio", "datasets", "errors", "evaluation", "models", "training", "weights"} < names
    for name in names:  # even if none was imported before
        assert partita.__getattr__(name).__name__ == f"partita.{name}"


def test_nothing_else_is():
    with pytest.raises(AttributeError, match="no attribute 'separator'"):
        _ = partita.separator


def test_importing_partita_imports_nothing_of_others():
    code = (
        "import sys; before = set(sys.modules); import partita\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(names - set(sys.stdlib_module_names)))"
    )
    assert printed_by(code) == ["partita"]


def test_nor_do_lists_of_weights_import_pytorch():
    code = "import partita, sys; partita.list_weights(); print('torch' in sys.modules)"
    assert printed_by(code) == ["False"]


def test_the_command_line_shows_help_without_pytorch():
    code = (
        "import sys; sys.argv = ['partita', '--help']\n"
        "from partita.cli import main\n"
        "try: main()\nfinally: print('torch' in sys.modules)"
    )
    assert printed_by(code)[-1] == "False"


def test_list_weights_begins_with_the_default():
    from partita.weights.cards import CARDS, DEFAULT_MODEL

    listed = partita.list_weights()
    assert listed[0] == DEFAULT_MODEL
    assert sorted(listed) == sorted(name for name, card in CARDS.items() if not card.member_of)
    assert "htdemucs_ft" in listed
    assert partita.weights.get_card(listed[0]) is CARDS[DEFAULT_MODEL]
    assert repr(partita.weights.get_card("hpss")).startswith("Card('hpss': harmonic, percussive, ")


def test_list_models_names_architectures():
    assert {"unet", "htdemucs", "hpss"} < set(partita.list_models())
    assert "four-stems" not in partita.list_models()
