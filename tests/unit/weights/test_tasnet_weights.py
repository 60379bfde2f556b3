"""Official files of Conv-TasNet, as demucs 2.0.3 itself writes them, from a server of our own."""

import dataclasses
import hashlib
import inspect

import pytest
import torch

from demucs_reference import import_demucs
from partita.errors import WeightsCorruptError
from partita.models import create_model
from partita.weights import cards, places, store
from partita.weights.conv_tasnet import tensors_from_files

SOURCES = ["drums", "bass", "other", "vocals"]
SIZES = {"N": 12, "L": 10, "B": 7, "H": 9, "P": 3, "X": 3, "R": 2}
CONFIG = {
    "sources": SOURCES,
    "filters": 12,
    "filter_samples": 10,
    "bottleneck": 7,
    "hidden": 9,
    "kernel": 3,
    "blocks": 3,
    "repeats": 2,
}
OFFICIAL = ["tasnet", "tasnet_extra"]


@pytest.fixture(scope="module")
def demucs():
    return import_demucs("tasnet", "utils", "pretrained")


@pytest.fixture
def network(demucs):
    torch.manual_seed(0)
    return demucs.tasnet.ConvTasNet(SOURCES, **SIZES).eval()


@pytest.fixture
def content(demucs, network, tmp_path):
    """A file as their ``save_state`` writes it, beginning of the hash in its name."""
    utils = demucs.utils
    utils.save_state(utils.get_state(network, None), tmp_path / "tasnet.th")
    (path,) = tmp_path.glob("tasnet-*.th")
    data = path.read_bytes()
    assert path.stem.endswith(hashlib.sha256(data).hexdigest()[:8])
    return data


@pytest.fixture
def publish(server, tmp_path, monkeypatch):
    """Put a file on the server; returns its card."""
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))

    def put(data):
        digits = hashlib.sha256(data).hexdigest()[:8]
        name = f"tasnet-{digits}.th"
        server.files[name] = data
        file = cards.UrlFile(f"http://127.0.0.1:{server.server_port}/{name}", digits)
        source = cards.UrlSource({"all": file}, "tasnet")
        card = dataclasses.replace(cards.get_card("tasnet"), config=CONFIG, remote=(source,))
        monkeypatch.setitem(cards.CARDS, card.name, card)
        return card

    return put


def assert_same_estimates(model, network):
    mixture = 0.3 * torch.randn(2, 2, 500, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        expected = network(mixture)
        assert float((model(mixture) - expected).norm() / expected.norm()) <= 1e-5


def test_a_file_becomes_a_model(publish, content, network, server):
    card = publish(content)
    model = store.load_model(card.name)
    assert model.sources == tuple(SOURCES)
    assert not model.training
    assert_same_estimates(model, network)
    assert len(server.asked) == 1
    assert not list((store.cache_folder() / "downloads").iterdir())  # its content is in the cache
    assert_same_estimates(store.load_model(card.name), network)
    assert len(server.asked) == 1


@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "pickle"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("norm", ["gLN", "cLN", "BN"])
def test_all_forms(demucs, tmp_path, norm, causal, legacy):
    torch.manual_seed(1)
    network = demucs.tasnet.ConvTasNet(SOURCES, **SIZES, norm_type=norm, causal=causal).eval()
    path = tmp_path / "tasnet.th"
    torch.save(network.state_dict(), path, _use_new_zipfile_serialization=not legacy)
    model = create_model("conv-tasnet", {**CONFIG, "norm": norm, "causal": causal}).eval()
    model.load_state_dict(tensors_from_files({"all": path}), strict=True)
    assert_same_estimates(model, network)


def test_content_of_another_hash_is_refused(publish, content, network, server):
    card = publish(content)
    (name,) = server.files
    server.files[name] = content[:-1] + b"\x77"
    with pytest.raises(WeightsCorruptError, match=r"tasnet-.*SHA-256 is .*, expected .*try again"):
        store.load_model(card.name)
    assert not places.is_cached(card)
    server.files[name] = content
    assert_same_estimates(store.load_model(card.name), network)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda state: {**state, "extra": torch.ones(2)}, "has an unexpected tensor extra"),
        (lambda state: _without(state, "encoder.conv1d_U.weight"), "lacks encoder|for decoder"),
        (lambda state: _without(state, "separator.network.2.1.2.net.0.weight"), "lacks blocks.5"),
        (
            lambda state: {**state, "separator.network.1.weight": torch.ones(2)},
            "has another shape or type for bottleneck",
        ),
        (
            lambda state: {**state, "decoder.basis_signals.weight": torch.ones(2, 12)},
            "has another shape or type for decoder",
        ),
        (
            lambda state: {**state, "decoder.basis_signals.weight": torch.ones(2)},
            "unexpected tensor decoder.basis_signals|lacks decoder",
        ),
        (
            lambda state: {**state, "separator.network.2.0.0.net.3.net.x.weight": torch.ones(2)},
            "has an unexpected tensor separator",
        ),
        (lambda state: {key: value.double() for key, value in state.items()}, "or type for"),
    ],
)
def test_other_networks_are_refused(publish, network, tmp_path, change, fault):
    path = tmp_path / "changed.th"
    torch.save(change(network.state_dict()), path)
    card = publish(path.read_bytes())
    with pytest.raises(WeightsCorruptError, match=fault) as info:
        store.load_model(card.name)
    assert "\n" not in str(info.value)
    assert not places.is_cached(card)


def _without(state, name):
    return {key: value for key, value in state.items() if key != name}


class _Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code from a file was run')",))


@pytest.mark.parametrize("content", [_Evil(), {"encoder": _Evil()}, [torch.ones(1)], {"a": "b"}])
def test_nothing_but_tensors_is_unpickled(publish, tmp_path, content):
    path = tmp_path / "evil.th"
    torch.save(content, path)
    with pytest.raises(WeightsCorruptError, match=r"tasnet-\w+\.th: not a (file|dict) of tensors"):
        store.load_model(publish(path.read_bytes()).name)


@pytest.mark.parametrize("name", OFFICIAL)
def test_cards_are_demucss_own(demucs, name):
    code = inspect.getsource(demucs.pretrained)
    (file,) = cards.get_card(name).remote[0].files.values()
    folder, _, filename = file.url.rpartition("/")
    assert f'"{folder}/"' in code
    assert f"'{name}': '{file.sha256}'" in code
    assert filename == f"{name}-{file.sha256}.th"
    assert f"SOURCES = {SOURCES}".replace("'", '"') in code
    assert list(cards.get_card(name).sources) == SOURCES


@pytest.mark.parametrize("name", OFFICIAL)
def test_models_have_the_tensors_of_the_official_network(demucs, tmp_path, name):
    card = cards.get_card(name)
    theirs = demucs.tasnet.ConvTasNet(SOURCES, X=10)
    path = tmp_path / "tasnet.th"
    torch.save(theirs.state_dict(), path)
    assert card.download_bytes == pytest.approx(path.stat().st_size, rel=0.01)
    expected = {key: tensor.shape for key, tensor in tensors_from_files({"all": path}).items()}
    state = create_model(card.model, card.config, initialise=False).state_dict()
    assert {key: tensor.shape for key, tensor in state.items()} == expected
    assert not card.commercial_use
