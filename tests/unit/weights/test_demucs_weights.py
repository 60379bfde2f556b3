"""Official files of Demucs, as demucs 2.0.3 itself writes them, from a server of our own."""

import dataclasses

import pytest
import torch

from demucs_reference import import_demucs
from partita.errors import WeightsCorruptError, WeightsUnavailableError
from partita.models import create_model
from partita.weights import cards, places, store
from partita.weights.demucs import tensors_from_files

SOURCES = ["drums", "bass", "other", "vocals"]
CONFIG = {"sources": SOURCES, "hidden": 4, "depth": 2, "normalise": False}
OFFICIAL = ["demucs", "demucs48_hq", "demucs_extra"]


@pytest.fixture(scope="module")
def demucs():
    return import_demucs("model", "utils", "pretrained")


@pytest.fixture
def network(demucs):
    torch.manual_seed(0)
    return demucs.model.Demucs(SOURCES, channels=4, depth=2).eval()


@pytest.fixture
def publish(server, demucs, tmp_path, monkeypatch):
    """Let demucs write a state dict, put the file on the server; returns its card."""
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    folder = tmp_path / "published"
    folder.mkdir()

    def put(state):
        demucs.utils.save_state(state, folder / "demucs.th")
        (path,) = folder.iterdir()
        assert path.match("demucs-????????.th")
        server.files[path.name] = path.read_bytes()
        address = f"http://127.0.0.1:{server.server_port}/{path.name}"
        file = cards.UrlFile(address, path.stem[-8:])
        card = dataclasses.replace(
            cards.get_card("demucs"),
            config=CONFIG,
            remote=(cards.UrlSource({"all": file}, "demucs"),),
        )
        monkeypatch.setitem(cards.CARDS, card.name, card)
        return card

    return put


def state_of(demucs, network):
    return demucs.utils.get_state(network, None)


def assert_same_estimates(demucs, model, network):
    mixture = 0.1 * torch.randn(2, 3000, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        found = model(mixture[None])[0]
        expected = demucs.utils.apply_model(network, mixture)
    assert float(expected.abs().max()) > 1e-3
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-5


def test_one_file_becomes_a_model(demucs, publish, network, server):
    card = publish(state_of(demucs, network))
    model = store.load_model(card.name)
    assert model.sources == tuple(SOURCES)
    assert not model.training
    assert_same_estimates(demucs, model, network)
    assert len(server.asked) == 1
    assert not list((store.cache_folder() / "downloads").iterdir())  # its content is in the cache
    assert_same_estimates(demucs, store.load_model(card.name), network)
    assert len(server.asked) == 1


def test_content_of_another_hash_is_refused_and_removed(demucs, publish, network, server):
    card = publish(state_of(demucs, network))
    (name,) = server.files
    good, server.files[name] = server.files[name], server.files[name][:-1] + b"\x77"
    with pytest.raises(WeightsCorruptError, match=r"demucs-.*SHA-256 is .*, expected .*try again"):
        store.load_model(card.name)
    assert not places.is_cached(card)
    assert not list((store.cache_folder() / "downloads").iterdir())
    server.files[name] = good
    assert_same_estimates(demucs, store.load_model(card.name), network)


def test_a_file_put_there_by_hand(demucs, publish, network, server):
    card = publish(state_of(demucs, network))
    ((name, content),) = server.files.items()
    server.files.clear()  # no network
    with pytest.raises(WeightsUnavailableError) as info:
        store.load_model(card.name)
    here = store.cache_folder() / "downloads" / name
    assert f"get {card.remote[0].files['all'].url} and put it at {here}" in str(info.value)
    assert "\n" not in str(info.value)
    here.write_bytes(content)
    server.asked.clear()
    assert_same_estimates(demucs, store.load_model(card.name), network)
    assert server.asked == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda state: state.update(extra=torch.ones(2)), "has an unexpected tensor extra"),
        (lambda state: state.update({"encoder.0.1.weight": torch.ones(2)}), "has an unexpected"),
        (lambda state: state.pop("lstm.linear.bias") is None, "lacks recurrence.linear.bias"),
        (
            lambda state: state.update({"decoder.1.2.weight": torch.ones(2, 2)}),
            "has another shape or type for decoder.1.conv.weight",
        ),
        (lambda state: {key: value.double() for key, value in state.items()}, "or type for"),
    ],
    ids=["extra", "activation", "missing", "shape", "type"],
)
def test_other_networks_are_refused(demucs, publish, network, change, fault):
    state = state_of(demucs, network)
    card = publish(change(state) or state)
    with pytest.raises(WeightsCorruptError, match=fault) as info:
        store.load_model(card.name)
    assert "\n" not in str(info.value)
    assert not places.is_cached(card)


class _Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code from a file was run')",))


@pytest.mark.parametrize(
    "content",
    [_Evil(), {"lstm.linear.bias": _Evil()}, [torch.ones(1)], {"compressed": b"quantised"}],
    ids=["code", "code inside", "list", "quantised"],
)
def test_nothing_but_tensors_is_unpickled(publish, content):
    card = publish(content)
    with pytest.raises(WeightsCorruptError, match=r"demucs-\w+\.th: not a (file|dict) of tensors"):
        store.load_model(card.name)
    assert not places.is_cached(card)


def test_names_of_a_network_that_does_not_rewrite_stay_their_own(tmp_path):
    path = tmp_path / "demucs.th"
    torch.save({"decoder.0.1.weight": torch.ones(1), "decoder.0.0.weight": torch.ones(1)}, path)
    assert set(tensors_from_files({"all": path})) == {
        "decoder.0.1.weight",
        "decoder.0.rewrite.weight",
    }


@pytest.mark.parametrize("name", OFFICIAL)
def test_cards_are_demucs_own(demucs, name):
    card = cards.get_card(name)
    (file,) = card.remote[0].files.values()
    assert file.url == demucs.pretrained.get_url(name)
    assert file.sha256 == demucs.pretrained.PRETRAINED_MODELS[name]
    assert list(card.sources) == demucs.pretrained.SOURCES
    assert not card.commercial_use


@pytest.mark.parametrize(
    ("name", "channels"), [("demucs", 64), ("demucs48_hq", 48), ("demucs_extra", 64)]
)
def test_models_have_the_tensors_of_the_official_networks(demucs, tmp_path, name, channels):
    card = cards.get_card(name)
    model = create_model(card.model, card.config, initialise=False)
    with torch.device("meta"):
        theirs = demucs.model.Demucs(demucs.pretrained.SOURCES, channels=channels)
    shapes = {key: tensor.shape for key, tensor in theirs.state_dict().items()}
    # Only the names matter to the loader; a gigabyte of zeros is not written.
    path = tmp_path / "demucs.th"
    torch.save({key: torch.zeros(1).expand(shape) for key, shape in shapes.items()}, path)
    expected = {key: tensor.shape for key, tensor in tensors_from_files({"all": path}).items()}
    state = model.state_dict()
    assert {key: tensor.shape for key, tensor in state.items()} == expected
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    assert card.download_bytes == pytest.approx(size, rel=0.01)
