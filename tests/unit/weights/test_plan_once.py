"""A name is resolved once, and every checkpoint is opened as often as it has to be."""

import sys
from collections import Counter

import numpy as np
import pytest
import safetensors
import torch

from common import SMALL_UNET
from partita import Separator
from partita.models import create_model
from partita.weights import chain, checkpoint, resolve
from partita.weights.checkpoint import save_checkpoint

OPENED = Counter()


def count_opened(event, arguments):
    if event == "open":
        OPENED[str(arguments[0])] += 1


@pytest.fixture(scope="module", autouse=True)
def opened():
    sys.addaudithook(count_opened)  # which cannot be taken away


@pytest.fixture
def counts(monkeypatch, tmp_path):
    """How often chains were parsed and tensors loaded."""
    found = Counter()
    parse, load = chain.parse_chain, safetensors.safe_open

    def parsed(name):
        found["parsed", name] += 1
        return parse(name)

    def loaded(path, *arguments, **options):
        found["loaded", path.name] += 1
        return load(path, *arguments, **options)

    monkeypatch.setattr(resolve, "parse_chain", parsed)
    monkeypatch.setattr(checkpoint, "safe_open", loaded)
    torch.manual_seed(0)
    config = {"sources": ["voice", "rest"], **SMALL_UNET}
    for name in ("one", "two"):
        save_checkpoint(tmp_path / f"{name}.safetensors", create_model("unet", config).eval())
    OPENED.clear()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_the_command(counts, run, tmp_path, write_song, count):
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, (2, 9000)).astype(np.float32)
    songs = [write_song(f"{number}.wav", noise) for number in range(count)]
    name = f"{tmp_path / 'one.safetensors'}:rest+{tmp_path / 'two.safetensors'}"
    result = run("separate", *songs, "-n", name, "--json", "--resume")
    assert result.status == 0, result.err
    assert counts == {
        ("parsed", name): 1,
        ("loaded", "one.safetensors"): 1,
        ("loaded", "two.safetensors"): 1,
    }
    # Its header once, and the tensors: safetensors opens files where no hook hears it.
    assert {OPENED[str(tmp_path / f"{n}.safetensors")] for n in ("one", "two")} == {1}


def test_a_separator(counts, tmp_path):
    names = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    separator = Separator(names, stems="voice")
    assert counts == {
        ("parsed", str(names[0])): 1,
        ("parsed", str(names[1])): 1,
        ("loaded", "one.safetensors"): 1,
        ("loaded", "two.safetensors"): 1,
    }
    assert {OPENED[str(name)] for name in names} == {1}
    plan = separator.plan
    assert (plan.sources, plan.licence, len(plan.digest)) == (("voice", "rest"), None, 64)
    again = Separator(plan, stems="rest")
    assert list(again.stems) == ["rest"]
    assert counts["parsed", str(names[0])] == 1
    assert {OPENED[str(name)] for name in names} == {1}
