"""Official files of Open-Unmix, as openunmix itself writes them, from a server of our own."""

import dataclasses
import hashlib
import inspect

import pytest
import torch

from openunmix_reference import import_openunmix, random_networks, save_networks
from partita.errors import WeightsCorruptError, WeightsUnavailableError
from partita.models import create_model
from partita.weights import cards, places, store
from partita.weights.open_unmix import tensors_from_files

SOURCES = ["vocals", "drums", "bass", "other"]
CONFIG = {"sources": SOURCES, "fft_samples": 256, "hop_samples": 64, "hidden": 8}
OFFICIAL = ["umx", "umxhq", "umxl", "umxse"]


@pytest.fixture(scope="module")
def openunmix():
    return import_openunmix()


@pytest.fixture
def networks(openunmix):
    return random_networks(openunmix, SOURCES, nb_bins=129, hidden_size=8, max_bin=93)


@pytest.fixture
def publish(server, tmp_path, monkeypatch):
    """Put files, source → content, on the server; returns their card."""
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))

    def put(contents):
        files = {}
        for source, content in contents.items():
            digits = hashlib.sha256(content).hexdigest()[:8]
            name = f"{source}-{digits}.pth"
            server.files[name] = content
            address = f"http://127.0.0.1:{server.server_port}/{name}"
            files[source] = cards.UrlFile(address, digits)
        card = dataclasses.replace(
            cards.get_card("umxhq"), config=CONFIG, remote=(cards.UrlSource(files, "open-unmix"),)
        )
        monkeypatch.setitem(cards.CARDS, card.name, card)
        return card

    return put


@pytest.fixture
def contents(networks, tmp_path):
    """The four files' content."""
    return {source: path.read_bytes() for source, path in saved(networks, tmp_path).items()}


def saved(networks, tmp_path):
    folder = tmp_path / "published"
    folder.mkdir(exist_ok=True)
    return save_networks(networks, folder)


def rewritten(path, change, **options):
    """Return a file's content after a change of its state dict."""
    state = torch.load(path, weights_only=True)
    torch.save(change(state) or state, path, **options)
    return path.read_bytes()


def assert_same_estimates(model, networks):
    generator = torch.Generator().manual_seed(5)
    mixture = torch.rand(2, 2, 129, 20, generator=generator)
    with torch.inference_mode():
        found = model.magnitudes(mixture)
        for index, network in enumerate(networks.values()):
            assert float((found[:, index] - network(mixture)).abs().max()) <= 1e-5


def test_four_files_become_one_model(publish, contents, networks, server):
    card = publish(contents)
    model = store.load_model(card.name)
    assert model.sources == tuple(SOURCES)
    assert not model.training
    assert_same_estimates(model, networks)
    assert len(server.asked) == 4
    assert not list((store.cache_folder() / "downloads").iterdir())  # their content is in the cache
    assert_same_estimates(store.load_model(card.name), networks)
    assert len(server.asked) == 4


def test_damage_in_the_cache_is_found_without_a_known_hash(publish, contents, networks, server):
    card = publish(contents)
    assert not card.tensors_sha256
    path = store.fetch(card)
    intact = path.read_bytes()
    for damage in (intact[:-1] + b"\x77", intact[: len(intact) // 2], b"garbage" * 100):
        path.write_bytes(damage)
        server.asked.clear()
        assert_same_estimates(store.load_model(card.name), networks)
        assert len(server.asked) == 4


def test_content_of_another_hash_is_refused_and_removed(publish, contents, server):
    card = publish(contents)
    name = card.remote[0].files["bass"].filename
    good, server.files[name] = server.files[name], contents["other"]
    with pytest.raises(WeightsCorruptError, match=r"bass-.*SHA-256 is .*, expected .*try again"):
        store.load_model(card.name)
    assert not places.is_cached(card)
    left = {path.name for path in (store.cache_folder() / "downloads").iterdir()}
    assert left == {card.remote[0].files[source].filename for source in ("vocals", "drums")}
    server.files[name] = good
    store.load_model(card.name)


def test_goes_on_with_what_is_missing(publish, contents, networks, server):
    card = publish(contents)
    files = card.remote[0].files
    bass = server.files.pop(files["bass"].filename)
    with pytest.raises(WeightsUnavailableError) as info:
        store.load_model(card.name)
    message = str(info.value)
    assert "\n" not in message
    assert "HTTP status 404" in message
    here = store.cache_folder() / "downloads" / files["bass"].filename
    assert f"get {files['bass'].url} and put it at {here}, and beside it" in message
    assert files["other"].url in message
    assert files["drums"].url not in message  # that is here already
    server.files[files["bass"].filename] = bass
    server.asked.clear()
    assert_same_estimates(store.load_model(card.name), networks)
    assert server.asked == [files["bass"].filename, files["other"].filename]


def test_files_put_there_by_hand(publish, contents, networks, server):
    card = publish(contents)
    server.files.clear()  # no network
    with pytest.raises(WeightsUnavailableError) as info:
        store.load_model(card.name)
    assert all(file.url in str(info.value) for file in card.remote[0].files.values())
    folder = store.cache_folder() / "downloads"
    for source, file in card.remote[0].files.items():
        (folder / file.filename).write_bytes(contents[source] if source != "drums" else b"else")
    with pytest.raises(WeightsCorruptError, match=r"drums-.*the file was removed"):
        store.load_model(card.name)
    drums = folder / card.remote[0].files["drums"].filename
    assert not drums.exists()
    drums.write_bytes(contents["drums"])
    server.asked.clear()
    assert_same_estimates(store.load_model(card.name), networks)
    assert server.asked == []


def test_files_of_the_first_releases(publish, contents, networks, tmp_path):
    """They kept the transform's window and the rate, counted no batches, and were no archives."""

    def age(state):
        for norm in ("bn1", "bn2", "bn3"):
            del state[f"{norm}.num_batches_tracked"]
        state["stft.window"] = state["transform.0.window"] = torch.hann_window(256)
        state["sample_rate"] = torch.tensor(44100.0)
        # Recurrent layers trained on a GPU hold their weights in one piece of memory.
        layers = {name: tensor for name, tensor in state.items() if name.startswith("lstm")}
        memory = torch.cat([tensor.flatten() for tensor in layers.values()])
        parts = memory.split([tensor.numel() for tensor in layers.values()])
        for (name, tensor), part in zip(layers.items(), parts, strict=True):
            state[name] = part.view(tensor.shape)

    for source, path in saved(networks, tmp_path).items():
        contents[source] = rewritten(path, age, _use_new_zipfile_serialization=False)
    assert_same_estimates(store.load_model(publish(contents).name), networks)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda state: state.update(extra=torch.ones(2)), "has an unexpected tensor"),
        (lambda state: state.pop("fc1.weight") is None, "lacks"),
        (lambda state: state.update({"fc3.weight": torch.ones(2, 2)}), "has another shape"),
        (lambda state: {key: value.double() for key, value in state.items()}, "or type for"),
    ],
    ids=["extra", "missing", "shape", "type"],
)
def test_other_networks_are_refused(publish, contents, networks, tmp_path, change, fault):
    contents["bass"] = rewritten(saved(networks, tmp_path)["bass"], change)
    card = publish(contents)
    with pytest.raises(WeightsCorruptError, match=rf"{fault} .*networks\.bass\.") as info:
        store.load_model(card.name)
    assert "\n" not in str(info.value)
    assert not places.is_cached(card)


class _Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code from a file was run')",))


@pytest.mark.parametrize("legacy", [False, True], ids=["archive", "pickle"])
@pytest.mark.parametrize(
    "content", [_Evil(), {"fc1.weight": _Evil()}, [torch.ones(1)], {"fc1.weight": "text"}]
)
def test_nothing_but_tensors_is_unpickled(publish, contents, tmp_path, content, legacy):
    path = tmp_path / "drums.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    contents["drums"] = path.read_bytes()
    card = publish(contents)
    with pytest.raises(WeightsCorruptError, match=r"drums-\w+\.pth: not a (file|dict) of tensors"):
        store.load_model(card.name)
    assert not places.is_cached(card)


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", b"PK\x03\x04" + bytes(100)])
def test_files_that_are_something_else(tmp_path, content):
    path = tmp_path / "vocals.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsCorruptError, match="not a file of tensors") as info:
        tensors_from_files({"vocals": path})
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", OFFICIAL)
def test_cards_are_openunmixs_own(openunmix, name):
    card = cards.get_card(name)
    code = inspect.getsource(getattr(openunmix, f"{name}_spec"))
    assert code.count("https://") == len(card.remote[0].files)
    for source, file in card.remote[0].files.items():
        assert f'"{source}": "{file.url}"' in code
        assert file.filename.endswith(f"{file.sha256}.pth")


@pytest.mark.parametrize("name", OFFICIAL)
def test_models_have_the_tensors_of_the_official_networks(openunmix, name):
    card = cards.get_card(name)
    model = create_model(card.model, card.config, initialise=False)
    with torch.device("meta"):
        theirs = getattr(openunmix, f"{name}_spec")(pretrained=False, device="meta")
    expected = {
        f"networks.{source}.{key}": tensor.shape
        for source, network in theirs.items()
        for key, tensor in network.state_dict().items()
    }
    state = model.state_dict()
    assert {key: tensor.shape for key, tensor in state.items()} == expected
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    assert card.download_bytes == pytest.approx(size, rel=0.01)
