import copy

import pytest
import torch
from lightning_fabric import Fabric

from common import SMALL_UNMIX
from partita.models import create_model
from partita.training.optimisation import Optimisation
from partita.training.recipes import TrainingSettings


def start(**settings):
    torch.manual_seed(0)
    model = create_model("open-unmix", {"sources": ["tone", "noise"], **SMALL_UNMIX})
    return Optimisation(model, TrainingSettings(**settings), Fabric(accelerator="cpu", devices=1))


def sources(seed=0):
    return 0.1 * torch.randn(4, 2, 2, 2000, generator=torch.Generator().manual_seed(seed))


def take(optimisation, seed):
    torch.manual_seed(seed)  # dropout's
    losses = optimisation.learn(sources(seed))
    optimisation.step()
    return losses


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_state_that_is_taken_over_goes_on_the_same(ema_decay):
    first = start(ema_decay=ema_decay)
    take(first, 1)
    state = copy.deepcopy(first.state_dict())
    second = start(ema_decay=ema_decay)
    second.load_state_dict(state)
    assert torch.equal(take(first, 2), take(second, 2))
    kept = second.kept.state_dict()
    for name, value in first.kept.state_dict().items():
        assert torch.equal(value, kept[name]), name


def test_the_weights_that_are_kept_are_the_average():
    plain, averaged = start(ema_decay=0.0), start(ema_decay=0.9)
    assert plain.average is None
    assert averaged.average is not None
    assert averaged.kept is averaged.average.module


def test_learning_rates():
    constant = start(learning_rate=0.01, schedule="cosine", epochs=2, steps_per_epoch=5)
    constant.schedule(9, 0.0)
    assert 0 < constant.learning_rate < 0.01
    falling = start(learning_rate=0.01, schedule="plateau", decay_patience=1, decay_factor=0.5)
    for _ in range(4):
        falling.end_epoch(1.0)
    assert falling.learning_rate == 0.005
    falling.schedule(9, 0.0)
    assert falling.learning_rate == 0.005


def test_what_is_no_number_is_found():
    optimisation = start()
    optimisation.learn(sources())
    assert optimisation.gradients_are_finite()
    assert optimisation.weights_are_finite()
    next(optimisation.kept.parameters()).data[0] = torch.nan
    assert not optimisation.weights_are_finite()
