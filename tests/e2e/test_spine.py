"""From the command to the network: which functions a song passes.

How it is counted: whenever the command calls a network, the functions of partita that run at that
moment are on the way, from the command on. A generator that is being advanced counts, and so does a
generator expression. A thread continues the way of whoever handed the work to it. A function that
stands there twice, because a chain holds a chain, counts once; list comprehensions belong to the
function that they stand in, as newer Pythons run them. What has returned by then (reading a block,
converting its rate, cutting windows) is not on the way, and what is inside the network is not ours.
"""

from __future__ import annotations

import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import partita
from partita.models._protocol import SeparationModel

COMMAND = "cli.separate.separate"
MOST = 8
ROOT = Path(partita.__file__).parent
#: From top to bottom: a function calls none of a layer above its own.
LAYERS = (
    *("cli", "separation.batch", "separation.stem_files", "separation.stream"),
    *("separation.chain", "separation.windowed"),
)


def name_of(frame):
    """Return module and function, ``separation.stream.MixtureStream.separate``."""
    path = Path(frame.f_code.co_filename)
    if not path.is_relative_to(ROOT):
        return None
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return re.sub(r"\.<locals>\.<(list|set|dict)comp>", "", f"{module}.{frame.f_code.co_qualname}")


def functions_of(frame):
    """Return the functions that run in this thread, from the outermost inwards."""
    found = []
    while frame is not None:
        found.append(name_of(frame))
        frame = frame.f_back
    return [name for name in reversed(found) if name]


class Traced:
    """The ways on which networks were called."""

    def __init__(self, monkeypatch):
        self.ways = set()
        self._before = threading.local()
        submit = ThreadPoolExecutor.submit

        def handed_on(pool, function, /, *arguments, **options):
            handed = self.functions()

            def run():
                self._before.functions = handed
                try:
                    return function(*arguments, **options)
                finally:
                    self._before.functions = []

            return submit(pool, run)

        monkeypatch.setattr(ThreadPoolExecutor, "submit", handed_on)
        call = SeparationModel.__call__

        def noted(model, *arguments, **options):
            way = self.functions()
            if not any(name.startswith("models.") for name in way):  # no network within another
                self.ways.add(tuple(way))
            return call(model, *arguments, **options)

        monkeypatch.setattr(SeparationModel, "__call__", noted)

    def functions(self):
        """Return the way to where this is called, each function once."""
        found = [*getattr(self._before, "functions", []), *functions_of(sys._getframe(1))]
        start = found.index(COMMAND) if COMMAND in found else 0
        return list(dict.fromkeys(found[start:]))


def layer_of(name):
    (layer,) = [n for n, layer in enumerate(LAYERS) if name.startswith(f"{layer}.")]
    return layer


@pytest.fixture
def ways(monkeypatch, run, tiny_model, tmp_path, write_song):
    """Separate half a second; return all ways from the command to networks."""
    (tmp_path / "one.safetensors").write_bytes(tiny_model.read_bytes())
    (tmp_path / "two.safetensors").write_bytes(tiny_model.read_bytes())
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, (2, 24000)).astype(np.float32)
    songs = [write_song(name, noise, 48000) for name in ("a.wav", "b.wav")]

    def found(model, *flags):
        traced = Traced(monkeypatch)
        assert run("separate", *songs, "-n", model, "--overwrite", *flags).status == 0
        assert traced.ways
        return traced.ways

    return found


ONE, TWO = "one.safetensors", "two.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "flags"),
    [
        (ONE, []),
        ("hpss", []),  # sees whole songs
        (ONE, ["--keep-rate", "--sum-to-mix"]),
        (ONE, ["--shifts", "2", "--wiener", "1"]),
        (ONE, ["--jobs", "2"]),
        (f"{ONE}:rest+hpss", ["--keep-rate", "--jobs", "2"]),
        (f"{ONE}:rest+hpss:harmonic+repet", []),
        (f"{ONE},{TWO}", ["--shifts", "1"]),
    ],
)
def test_at_most_eight_functions_none_of_which_goes_back(ways, model, flags):
    for way in ways(model, *flags):
        assert way[0] == COMMAND
        assert len(way) <= MOST, way
        layers = [layer_of(name) for name in way]
        assert layers == sorted(layers), way


@pytest.mark.slow
def test_what_they_are(ways):
    (way,) = ways(f"{ONE}:rest+hpss")
    assert list(way) == [
        "cli.separate.separate",
        "separation.batch.separate.separate_songs",
        "separation.batch.separate._Batch.run",
        "separation.stem_files.write_stems",
        "separation.stream.MixtureStream.separate",
        "separation.chain._ChainSeparation.push",
        "separation.windowed._WindowedSeparation.push",
        "separation.windowed.WindowedModel.estimate",
    ]


@pytest.mark.slow
def test_an_ensemble_of_chains_adds_one(ways):
    found = ways(f"{ONE}:rest+hpss,{TWO}:rest+hpss")
    assert {len(way) for way in found} == {MOST + 1}
    assert all(sorted(map(layer_of, way)) == list(map(layer_of, way)) for way in found)
