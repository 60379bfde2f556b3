import subprocess
import sys

import pytest
import torch

from common import SMALL_UNET
from partita.errors import UsageError, WeightsCorruptError, WeightsUnavailableError
from partita.models import create_model
from partita.weights.cards import CARDS
from partita.weights.checkpoint import save_checkpoint
from partita.weights.identity import checkpoint_sources
from partita.weights.resolve import resolve


def save(path, seed=0, **values):
    torch.manual_seed(seed)
    config = {"sources": ["a", "b"], **SMALL_UNET, **values}
    save_checkpoint(path, create_model("unet", config).eval())
    return str(path)


def test_names_that_mean_other_weights(tmp_path):
    names = [*CARDS, "hpss:harmonic+repet", "hpss:percussive+repet"]
    names = [name for name in names if not CARDS.get(name) or not CARDS[name].has_parts]
    digests = [resolve(name).digest for name in names]
    assert len(set(digests)) == len(digests)
    assert all(len(digest) == 64 for digest in digests)


def test_a_chain_is_what_it_stands_for():
    assert resolve("four-stems").digest == resolve(CARDS["four-stems"].chain).digest


def test_checkpoints(tmp_path):
    path = tmp_path / "own.safetensors"
    first = resolve(save(path)).digest
    assert resolve(save(path)).digest == first
    assert checkpoint_sources(path) == ("a", "b")
    assert resolve(save(tmp_path / "other name.safetensors")).digest == first
    assert resolve(save(path, seed=1)).digest != first
    assert resolve(save(path, sources=["b", "a"])).digest != first


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 100, b"\x02" + bytes(7) + b"{}"])
def test_what_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "own.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsCorruptError, match=r"own\.safetensors: not a "):
        _ = resolve(str(path)).digest


def test_what_is_not_there(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="no such checkpoint"):
        _ = resolve(str(tmp_path / "own.safetensors")).digest
    with pytest.raises(UsageError, match="unknown model 'own'"):
        _ = resolve("own").digest


def test_pytorch_is_not_needed():
    code = (
        "import sys; from partita.weights.resolve import resolve\n"
        "resolve('four-stems').digest; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
