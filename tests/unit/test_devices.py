import pytest
import torch

from partita.devices import choose_device, choose_precision
from partita.errors import UnknownNameError, UsageError


def test_auto_finds_something():
    assert choose_device("auto").type in ("cpu", "cuda", "mps")


def test_missing_devices_are_errors_not_silence():
    index = torch.cuda.device_count()
    with pytest.raises(UsageError, match=f"'cuda:{index}' is not there"):
        choose_device(f"cuda:{index}")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu0"])
def test_unknown_devices(name):
    with pytest.raises(UnknownNameError, match="unknown device"):
        choose_device(name)


def test_precisions():
    assert choose_precision("auto") is torch.float32
    assert choose_precision("bfloat16") is torch.bfloat16
    with pytest.raises(UnknownNameError, match="did you mean float"):
        choose_precision("float8")
