"""Names that checkpoints are imported under."""

import subprocess
import sys
import unicodedata

import pytest

from partita.errors import UsageError
from partita.weights.imported_checkpoints import (
    check_new_name,
    imported_checkpoint,
    imported_names,
    is_name,
)
from partita.weights.own_checkpoints import own_checkpoint


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path))
    (tmp_path / "imported").mkdir()
    return tmp_path / "imported"


@pytest.mark.parametrize("name", ["a", "BS_Roformer-1297.v2", "2stems", "Gesänge", "歌声"])
def test_names(name, folder):
    assert is_name(name)
    check_new_name(name, ["hpss"])
    assert own_checkpoint(name) is None
    (folder / f"{name}.safetensors").touch()
    assert own_checkpoint(name) == imported_checkpoint(name) == folder / f"{name}.safetensors"
    assert imported_names() == [name]


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../up", "a/b", "a\\b", "/tmp/x", ".hidden", "-x", "a b", "a+b", "a:b"),
        *("a,b", "a=b", "a@b", "a\nb", "a\0b", "a*2", "x" * 65, "Nul", "com1.x", "x."),
        *("x.safetensors", "x.CKPT", "x.yaml", "a\u202eb", "~"),
    ],
)
def test_names_that_cannot_be(name):
    assert not is_name(name)
    assert imported_checkpoint(name) is None
    with pytest.raises(UsageError, match="a name has up to 64 letters") as info:
        check_new_name(name, [])
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", ["hpss", "HPSS", "Mine", "mine", "GESÄNGE"])
def test_names_that_are_taken(name, folder):
    for other in ("MINE", unicodedata.normalize("NFD", "Gesänge")):
        (folder / f"{other}.safetensors").touch()
    with pytest.raises(UsageError, match=r"is taken|is imported already"):
        check_new_name(name, ["hpss"])


def test_what_is_no_name_is_not_listed(folder):
    for name in (".mine.x.partial", "a b.safetensors", "notes.txt"):
        (folder / name).touch()
    assert imported_names() == []


def test_pytorch_is_not_loaded():
    code = "import sys, partita.weights.imported_checkpoints; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
