import contextlib
import threading

import pytest
import torch

from estimator_streams import estimated, most_waiting, noise
from partita.dsp.overlap_add import Window
from partita.errors import UsageError
from partita.models._protocol import ModelConfig, SeparationModel
from partita.separation.chain import Chain, Ensemble, build_estimator, chains_before
from partita.separation.windowed import InferenceOptions, estimate_blocks
from partita.weights.chain import Link
from partita.weights.identity import NamedModel
from partita.weights.plan import ChainPlan, EnsemblePlan, Member

RATE = 44100
CPU = InferenceOptions(torch.device("cpu"), torch.float32)


class Powers(SeparationModel):
    """Gives each source the mixture times a number, and notes how many windows run at once."""

    registry_name = "powers"
    config_type = ModelConfig
    lock = threading.Lock()
    running = most = 0

    def __init__(self, sources, first=1.0, window=1000, rate=RATE, channels=2):
        super().__init__(ModelConfig(tuple(sources.split()), rate, channels))
        self.window = window and Window(window, window // 4)
        self.factors = first + torch.arange(len(self.sources))

    def forward(self, mixture):
        with Powers.lock:
            Powers.running += 1
            Powers.most = max(Powers.most, Powers.running)
        found = mixture[:, None] * self.factors[:, None, None]
        with Powers.lock:
            Powers.running -= 1
        return found


def built(models, plan, options=CPU):
    return build_estimator(plan, options, lambda model: models[model.name])


def ensemble(*models, weights=(), options=CPU):
    rows = weights or [(1.0,)] * len(models)
    members = [Member(NamedModel(str(number)), tuple(row)) for number, row in enumerate(rows)]
    return built(
        {str(n): model for n, model in enumerate(models)},
        EnsemblePlan("all", tuple(members)),
        options,
    )


@pytest.mark.parametrize(
    "windows", [(1000, 600), (600, 1000), (None, 500), (500, None), (None, None)]
)
@pytest.mark.parametrize("block", [1, 900, 20000])
def test_the_mean_whatever_the_windows(windows, block):
    one, other = Powers("a b", 1, windows[0]), Powers("b a", 4, windows[1])
    mixture = noise(3, 2, 5000)
    both = ensemble(one, other)
    assert (both.sources, both.sample_rate, both.channels) == (("a", "b"), RATE, 2)
    expected = torch.stack([(1 + 5) / 2 * mixture, (2 + 4) / 2 * mixture], dim=1)
    torch.testing.assert_close(estimated(both, mixture, block), expected)


def test_weights_of_sources():
    models = Powers("a b c", 1), Powers("c b a", 4), Powers("a b c", 8)
    weights = [(1.0, 0.0, 2.0), (3.0, 1.0, 0.0), (0.0, 0.0, 2.0)]
    mixture = noise(1, 2, 3000)
    expected = [(1 * 1 + 3 * 6) / 4, 5.0, (2 * 3 + 2 * 10) / 4]
    found = estimated(ensemble(*models, weights=weights), mixture)
    for number, factor in enumerate(expected):
        torch.testing.assert_close(found[:, number], factor * mixture)


def test_one_weight_for_all_sources():
    both = ensemble(Powers("a b", 1), Powers("a b", 5), weights=[(3.0,), (1.0,)])
    mixture = noise(1, 2, 2500)
    expected = torch.stack([2 * mixture, 3 * mixture], dim=1)
    torch.testing.assert_close(estimated(both, mixture), expected)


def test_memory_does_not_grow():
    both = ensemble(Powers("a b"), Powers("a b", window=3000))
    assert most_waiting(both, 400) < most_waiting(both, 100) + 1000


def test_no_more_windows_at_once_than_of_one_model():
    Powers.most = 0
    members = [Powers("a b", number, 500) for number in range(5)]
    estimated(ensemble(*members), noise(1, 2, 20000), block=20000)
    assert 1 <= Powers.most <= torch.get_num_threads()


@pytest.mark.parametrize("blocks_read", [1, 3, None])
def test_threads_are_given_back(blocks_read):
    both = ensemble(Powers("a b"), Powers("a b", 2, 600))
    before = torch.get_num_threads(), threading.active_count()
    with contextlib.closing(
        estimate_blocks(both, torch.split(noise(1, 2, 20000), 500, dim=-1))
    ) as stream:
        for _, _ in zip(range(blocks_read or 1000), stream, strict=False):
            pass
    assert (torch.get_num_threads(), threading.active_count()) == before


def test_each_member_has_delays_of_its_own():
    options = InferenceOptions(CPU.device, CPU.precision, shifts=2, seed=3)
    both = ensemble(Powers("a b"), Powers("a b"), options=options)
    first, second = (model.offsets for model in both.models)
    assert first != second
    mixture = noise(1, 2, 9000)
    expected = torch.stack([mixture, 2 * mixture], dim=1)
    torch.testing.assert_close(estimated(both, mixture), expected)


@pytest.mark.parametrize("other", [(22050, 2), (RATE, 1)])
def test_members_of_another_rate_or_channel_count_are_refused(other):
    rate, channels = other
    with pytest.raises(UsageError, match=r"1 works at .* members of an ensemble must not") as info:
        ensemble(Powers("a b"), Powers("a b", 1, 1000, rate, channels))
    assert "\n" not in str(info.value)


def test_an_ensemble_within_a_chain_and_a_chain_within_an_ensemble():
    models = {
        "one": Powers("vocals accompaniment", 1),
        "two": Powers("accompaniment vocals", 3),
        "last": Powers("drums bass", 5),
    }
    mean = EnsemblePlan("mean", (Member(NamedModel("one")), Member(NamedModel("two"))))
    links = (Link("mean"), Link("last", "accompaniment"))
    chain = ChainPlan((mean, NamedModel("last")), links)
    mixture = noise(1, 2, 4000)
    found = built(models, chain)
    assert found.sources == ("vocals", "drums", "bass")
    expected = torch.stack([2.5 * mixture, 5 * 2.5 * mixture, 6 * 2.5 * mixture], dim=1)
    torch.testing.assert_close(estimated(found, mixture), expected)

    direct = Powers("bass vocals drums", 1)
    models["direct"] = direct
    whole = built(models, EnsemblePlan("all", (Member(chain), Member(NamedModel("direct")))))
    parts = [(2.5 + 2) / 2, (12.5 + 3) / 2, (15 + 1) / 2]
    expected = torch.stack([part * mixture for part in parts], dim=1)
    torch.testing.assert_close(estimated(whole, mixture), expected)
    one, two, last, alone = whole.models
    assert [model.sources[0] for model in (one, two, last, alone)] == [
        "vocals", "accompaniment", "drums", "bass"
    ]  # fmt: skip
    assert isinstance(whole, Ensemble)
    assert [chains_before(whole, model) for model in (one, two, alone)] == [(), (), ()]
    (before,) = chains_before(whole, last)
    assert isinstance(before, Chain)
    assert before.taken == "accompaniment"


def test_windows_apply_to_the_members_that_have_some():
    options = InferenceOptions(CPU.device, CPU.precision, segment_s=0.2, overlap=0.5)
    both = ensemble(Powers("a b", window=None), Powers("a b"), options=options)
    assert [model.window for model in both.models] == [None, Window(8820, 4410)]
    with pytest.raises(UsageError, match="sees whole tracks: `segment_s`"):
        ensemble(Powers("a", window=None), Powers("a", window=None), options=options)
