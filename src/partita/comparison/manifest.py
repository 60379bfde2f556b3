"""What a comparison was made with: versions, hardware, command, data, entrants."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch

from partita import __version__
from partita.comparison.results import Comparison, EntrantResult
from partita.comparison.tracks import content_digest
from partita.datasets import Dataset, Track
from partita.devices import choose_device, processor_name
from partita.errors import PartitaError
from partita.evaluation.oracles import ORACLES
from partita.separation.result_cache import Cache
from partita.weights.resolve import resolve

_PACKAGES = ("torch", "numpy", "scipy", "soundfile", "av", "soxr", "lightning-fabric")


def manifest_of(
    comparison: Comparison, dataset: Dataset, cache: Path, *, command: str, device: str = "auto"
) -> dict[str, Any]:
    """Return what a comparison was made with, as values that JSON can represent.

    Nothing in it changes when the comparison is made again with nothing changed.

    Parameters
    ----------
    comparison : Comparison
    dataset : Dataset
        With all its subsets.
    cache : Path
        That the comparison had.
    command : str
        How it was started; empty: from Python.
    device : str
    """
    there = Cache(cache)
    scored = {track.name for track in comparison.tracks}
    trained = set(comparison.trained_on)
    return {
        "command": command,
        "versions": versions(),
        "hardware": hardware(device),
        "seed": comparison.seed,
        "options": {**comparison.options.as_settings(), "seconds": comparison.seconds},
        "data": {
            "root": str(comparison.data.resolve()),
            "layout": dataset.layout,
            "subset": comparison.subset,
            "drawn": comparison.is_drawn,
            "tracks": [
                {
                    "name": track.name,
                    "subset": track.subset,
                    "used": "scored" if track.name in scored else "trained on",
                    "sha256": _digest(there, track),
                }
                for track in dataset
                if track.name in scored | trained
            ],
            "problems": [str(problem) for problem in dataset.problems],
        },
        "entrants": [_entrant(result) for result in comparison.results],
    }


def versions() -> dict[str, str]:
    """Return the versions of partita, Python and the packages that compute."""
    found = {"partita": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def hardware(device: str = "auto") -> dict[str, Any]:
    """Return the machine: system, processor, cores, threads, device."""
    chosen = choose_device(device)
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else str(chosen)
    return {
        "system": platform.platform(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": name,
    }


def _digest(cache: Cache, track: Track) -> str | None:
    try:
        return content_digest(cache, track)
    except PartitaError:  # a track that cannot be read, as the results say
        return None


def _entrant(result: EntrantResult) -> dict[str, Any]:
    entrant, plan = result.entrant, result.entrant.training
    model = str(result.run) if result.run else entrant.model
    digest = None
    if model and model not in ORACLES:
        with contextlib.suppress(PartitaError):
            digest = resolve(model).digest
    return {
        "name": entrant.name,
        **({"model": entrant.model} if plan is None else dataclasses.asdict(plan)),
        "settings": dict(entrant.settings),
        "weights_sha256": digest,
        "costs": dataclasses.asdict(result.costs),
        "null_depth_db": dict(result.null_depth_db),
        "failures": dict(result.failures),
    }


def as_facts(manifest: dict[str, Any]) -> dict[str, str]:
    """Return the lines of a manifest that a page shows at its end."""
    machine = manifest["hardware"]
    facts = {
        "versions": ", ".join(f"{name} {number}" for name, number in manifest["versions"].items()),
        "hardware": (
            f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
            f"device {machine['device']}; {machine['system']}"
        ),
        "command": manifest["command"],
    }
    return {name: text for name, text in facts.items() if text}
