"""Bags of demucs: YAML files beside the networks that they name."""

import hashlib
import shutil

import pytest

from demucs4_files import FOUR, RATE, SMALL, random_state, write_bag, write_network
from demucs_files import write_package
from partita.errors import WeightsCorruptError, WeightsUnavailableError
from partita.weights import store
from partita.weights.bag_file import bag_file, read_bag
from partita.weights.identity import NamedModel
from partita.weights.licences import Licence
from partita.weights.plan import EnsemblePlan
from partita.weights.resolve import resolve


@pytest.fixture
def folder(tmp_path):
    """A folder as demucs 4.1.0 publishes one: two networks and their bag."""
    for seed, signature in enumerate(("aaaa0000", "bbbb1111")):
        write_network(tmp_path / "my bag" / f"{signature}.safetensors", seed=seed)
    write_bag(tmp_path / "my bag" / "mine.yaml", ["aaaa0000", "bbbb1111"])
    return tmp_path / "my bag"


def rewritten(folder, **said):
    return write_bag(folder / "mine.yaml", said.pop("models", ["aaaa0000", "bbbb1111"]), **said)


def names_of(folder):
    bag = folder / "mine.yaml"
    return [f"{folder / name}.safetensors@{bag}" for name in ("aaaa0000", "bbbb1111")]


def test_files_and_folders(folder, monkeypatch):
    bag = folder / "mine.yaml"
    assert bag_file(str(bag)) == bag_file(str(folder)) == bag
    for name in (bag, folder):
        plan = resolve(str(name)).root
        assert isinstance(plan, EnsemblePlan)
        assert [member.plan for member in plan.members] == [*map(NamedModel, names_of(folder))]
        assert [member.weights for member in plan.members] == [(1.0,), (1.0,)]
        assert plan.sources == tuple(FOUR)
        assert resolve(str(name)).licence == Licence("unknown", None)
    assert (resolve(str(bag)).label, resolve(str(folder)).label) == ("mine", "my bag")
    monkeypatch.chdir(folder)
    assert bag_file(".") is not None
    assert resolve(".").label == "my bag"
    assert resolve(f"{bag}:2,hpss").label == "mine-2,hpss"


def test_a_bag_of_one(folder):
    bag = rewritten(folder, models=["bbbb1111"], segment=44)
    assert resolve(str(bag)).root == NamedModel(names_of(folder)[1])


def test_weights(folder):
    bag = rewritten(folder, weights=[[1, 0, 0.5, 2], [0, 3, 1, 2]])
    rows = [member.weights for member in read_bag(bag)]
    assert rows == [(1.0, 0.0, 0.5, 2.0), (0.0, 3.0, 1.0, 2.0)]


def test_a_network_that_is_named_twice_has_both_weights(folder):
    """As in demucs's repro_mdx_a_time_only."""
    models = ["aaaa0000", "aaaa0000", "bbbb1111"]
    bag = rewritten(folder, models=models, weights=[[1, 0, 0, 2], [1, 1, 0, 1], [2, 1, 1, 3]])
    first, second = read_bag(bag)
    assert (first.weights, second.weights) == ((2.0, 1.0, 0.0, 3.0), (2.0, 1.0, 1.0, 3.0))
    assert [each.weights for each in read_bag(rewritten(folder, models=models))] == [(2.0,), (1.0,)]


@pytest.mark.parametrize(
    ("klass", "segment", "expected_s"),
    [("HTDemucs", 44, 0.5), ("HTDemucs", 0.25, 0.25), ("HDemucs", 44, 44)],
)
def test_segments(tmp_path, klass, segment, expected_s):
    """Networks with a transformer take none that is longer than what they learned from."""
    kwargs = SMALL if klass == "HTDemucs" else {**SMALL, "depth": 4, "norm_starts": 4}
    path = write_network(tmp_path / "cccc2222.safetensors", klass, kwargs)
    bag = write_bag(tmp_path / "one.yaml", ["cccc2222"], segment=segment)
    model = store.load_model(resolve(str(bag)).root)
    assert model.window.length == int(expected_s * RATE)
    assert store.load_model(str(path)).window.length == int(0.5 * RATE)


def test_digests(folder):
    bag = folder / "mine.yaml"
    first = resolve(str(bag)).digest
    assert resolve(str(folder)).digest == first
    rewritten(folder, weights=[[1, 1, 1, 1], [1, 1, 1, 2]])
    assert resolve(str(bag)).digest != first


def test_a_missing_network_is_one_line(folder):
    (folder / "bbbb1111.safetensors").unlink()
    with pytest.raises(WeightsUnavailableError, match="the model bbbb1111 is missing: put") as info:
        resolve(str(folder / "mine.yaml"))
    assert "\n" not in str(info.value)


def test_two_files_of_one_network(folder):
    shutil.copy(folder / "aaaa0000.safetensors", folder / "aaaa0000.th")
    with pytest.raises(WeightsCorruptError, match=r"several files are the model aaaa0000"):
        resolve(str(folder / "mine.yaml"))


def test_hashes_in_names_are_checked(folder):
    """Packages of demucs are called after their SHA-256."""
    (folder / "aaaa0000.safetensors").unlink()
    state = {name: tensor.half() for name, tensor in random_state().items()}
    path = write_package(folder / "aaaa0000-0.th", "HTDemucs", kwargs=SMALL, state=state)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    for name, is_right in ((f"aaaa0000-{digest}.th", True), ("aaaa0000-00000000.th", False)):
        path = path.rename(folder / name)
        plan = resolve(str(folder / "mine.yaml")).root
        assert plan.sources == tuple(FOUR)
        member = plan.members[0].plan
        if is_right:
            assert store.load_model(member).sources == tuple(FOUR)
            continue
        with pytest.raises(WeightsCorruptError, match="does not have the SHA-256 in its name"):
            store.load_model(member)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("audio: {}", "names no models, as a bag does; .* CHECKPOINT@"),
        ("models: aaaa0000", "models must be a list of texts, not 'aaaa0000'"),
        ("models: []", r"models is empty"),
        ("models: [1]", "models must be a list of texts"),
        ("models: [../aaaa0000]", "a model is called '../aaaa0000'"),
        ("models: ['*']", r"a model is called '\*'"),
        ("models: !!python/object/apply:os.system [x]", "not a readable YAML file"),
        ("models: [aaaa0000\n", "not a readable YAML file"),
        ("models: [aaaa0000, bbbb1111]\nweights: [[1]]", "weights have 1 rows for 2 models"),
        (
            "models: [aaaa0000, bbbb1111]\nweights: [1, 1]",
            "weights must be a list of lists of finite",
        ),
        ("models: [aaaa0000, bbbb1111]\nweights: [[1, 1], [1]]", "rows of weights differ"),
        (
            "models: [aaaa0000, bbbb1111]\nweights: [[-1], [1]]",
            "weights must be .* numbers of 0 or more",
        ),
        ("models: [aaaa0000, bbbb1111]\nweights: [[.nan], [1]]", "weights must be"),
        ("models: [aaaa0000, bbbb1111]\nweights: [[x], [1]]", "weights must be .*'x'"),
        (
            "models: [aaaa0000]\nsegment: long",
            "must be a finite number from 0.001 to 3,600, not 'long'",
        ),
        ("models: [aaaa0000]\nsegment: 0", "segment \\(in seconds\\) must be"),
    ],
)
def test_what_is_no_bag(folder, content, fault):
    bag = folder / "mine.yaml"
    bag.write_text(content)
    with pytest.raises(WeightsCorruptError, match=fault) as info:
        resolve(str(bag))
    assert "\n" not in str(info.value)


def test_a_bag_that_is_not_there(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="no such bag of models"):
        resolve(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("weights", "fault"),
    [
        ([[1, 1, 1], [1, 1, 1]], "3 weights for 4 sources"),
        ([[1, 1, 1, 0], [1, 1, 1, 0]], "no member has a weight for vocals"),
    ],
)
def test_weights_that_do_not_fit_the_networks(folder, weights, fault):
    bag = rewritten(folder, weights=weights)
    with pytest.raises(WeightsCorruptError, match=fault):
        _ = resolve(str(bag)).sources


def test_networks_of_other_stems(folder):
    write_network(folder / "bbbb1111.safetensors", kwargs={**SMALL, "sources": ["a", "bass"]})
    with pytest.raises(WeightsCorruptError, match=r"must give the same stems \(both give: bass\)"):
        _ = resolve(str(folder)).sources
