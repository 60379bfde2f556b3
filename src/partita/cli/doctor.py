"""``partita doctor``: versions, devices and a self test."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from partita.audio.formats import FORMATS_PER_STEM
from partita.cli.flags import with_flags
from partita.cli.terminal import terminal_columns, wrapped

_PACKAGES = ("partita", "torch", "numpy", "soundfile", "av", "soxr", "safetensors")
_TEST_RATE = 44100


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Print versions, devices, threads, cache and formats, and separate ten seconds."""
    report = {
        "versions": _versions(),
        "devices": _devices(),
        "cache": _cache(),
        "formats": _formats(),
        "self_test": _self_test(),
    }
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        for section, facts in report.items():
            print(section.replace("_", " "))
            for key, value in facts.items():
                line = f"  {key.replace('_', ' '):<14} {value}"
                print(wrapped(with_flags(line), 17, terminal_columns()))
    healthy = report["self_test"]["result"] == "ok"
    healthy &= all(state == "ok" for state in report["formats"].values())
    return 0 if healthy else 1


def _versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "system": platform.platform()} | versions


def _devices() -> dict[str, Any]:
    import torch

    from partita.devices import choose_device

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "cuda": ", ".join(names) or "none",
        "mps": "available" if torch.backends.mps.is_available() else "none",
        "used_by_auto": str(choose_device()),
    }


def _cache() -> dict[str, Any]:
    from partita.training.song_sources import decoded_folder
    from partita.weights.cache_folder import cache_folder, existing_folder
    from partita.weights.cards import CARDS
    from partita.weights.places import is_cached

    folder = cache_folder()
    cached = [
        card.name
        for card in CARDS.values()
        if card.download_bytes and not card.member_of and is_cached(card)
    ]
    return {
        "folder": str(folder),
        "weights": ", ".join(cached) or "none yet (partita models fetch NAME)",
        "training_data": f"{_gigabytes(decoded_folder()):.1f} GB decoded, may be deleted "
        f"({decoded_folder().name})",
        "free_space": f"{shutil.disk_usage(existing_folder(folder)).free / 1e9:.1f} GB",
    }


def _gigabytes(folder: Path) -> float:
    """Return the size of a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def _formats() -> dict[str, str]:
    """Encode and decode a tenth of a second in every format."""
    import torch

    from partita.audio.signal import Audio, load_audio

    tone = torch.sin(torch.arange(4410) * (2 * torch.pi * 440 / _TEST_RATE)).expand(2, -1) * 0.5
    states = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS_PER_STEM:
            path = Path(folder) / f"tone.{name}"
            try:
                Audio(tone, _TEST_RATE).save(path)
                read = load_audio(path)
                quiet = not 0.2 < float(read.samples.abs().max()) < 0.8
                states[name] = "decoded wrongly" if quiet else "ok"
            except Exception as error:
                states[name] = f"{type(error).__name__}: {error}"
    return states


def _self_test() -> dict[str, Any]:
    """Separate ten seconds of seeded noise with random weights; no network is needed."""
    import torch

    from partita.models import create_model
    from partita.separation.separator import Separator

    generator = torch.Generator().manual_seed(0)
    mixture = 0.1 * torch.randn(2, 10 * _TEST_RATE, generator=generator)
    separator = Separator(create_model("unet", {"sources": ["vocals", "accompaniment"]}))
    started = time.perf_counter()
    estimates = separator(mixture, _TEST_RATE)
    elapsed = time.perf_counter() - started
    complete = all(audio.samples.shape == mixture.shape for audio in estimates.values())
    finite = all(bool(audio.samples.isfinite().all()) for audio in estimates.values())
    null_depth_db = math.inf if estimates.null_depth_db is None else estimates.null_depth_db
    return {
        "result": "ok" if complete and finite and null_depth_db < -80 else "failed",
        "ten_seconds_in": f"{elapsed:.2f} s ({10 / elapsed:.0f}× real time)",
        "null_depth": f"{null_depth_db:.0f} dB",
    }
