"""Configurations are stored in checkpoints: their JSON does not change by a byte."""

import dataclasses
import hashlib
import json

import pytest

from partita.models import config_type

#: SHA-256 of the JSON of the default configuration, as version 0.1 stored it.
DIGESTS = {
    "demucs-v3": "235e2837327bdf86e1f14651699bc9e44e1ad711a72c57a8a09b5f87638f6fd5",
    "hdemucs": "c6450c44cab741052a2b53ccceca51f98ef5b611ada4a373eed857d86e56bbd2",
    "htdemucs": "887ed014b9766949664c0fd1a2d96bd80f87895ca75d887d1d772f8f22ca0c4d",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_json_of_default_configurations_is_as_ever(name):
    text = json.dumps(config_type(name)().to_dict())
    assert hashlib.sha256(text.encode()).hexdigest() == DIGESTS[name]


@pytest.mark.parametrize("name", DIGESTS)
def test_key_order_names_fields_only_and_each_once(name):
    config = config_type(name)()
    keys = config.key_order.split()
    assert len(set(keys)) == len(keys)
    assert set(keys) <= {field.name for field in dataclasses.fields(config)}
    assert type(config).from_dict(config.to_dict()) == config
