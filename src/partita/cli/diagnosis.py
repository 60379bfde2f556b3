"""What ``partita doctor`` finds: facts by section, each a short text."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from partita.audio.formats import FORMATS_PER_STEM

if TYPE_CHECKING:
    import torch

#: Section → fact → its value, for a person to read.
Report = dict[str, dict[str, str]]

_PACKAGES = ("partita", "torch", "numpy", "soundfile", "av", "soxr", "safetensors")
_DECODERS = (
    *("mp3", "aac", "opus", "vorbis", "flac", "alac", "ac3", "eac3"),
    *("wmav2", "ape", "wavpack", "tta", "dca"),
)
#: Variables that change what partita and PyTorch do; their values are no secrets.
_VARIABLES = (
    *("PARTITA_HOME", "PARTITA_COMMERCIAL_ONLY", "CUDA_VISIBLE_DEVICES"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TMPDIR"),
)
#: Only whether these are set: their values are secrets, or may hold a password.
_SECRET_VARIABLES = ("PARTITA_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "PIP_INDEX_URL")
_FOR_DEVELOPERS = ("dev", "docs", "release", "test")
#: What the names of some parts of the cache do not say.
_ABOUT_PARTS = {"excerpts": " of decoded training data, may be deleted"}
_TEST_RATE = 44100
_OK = "ok"


def diagnosis() -> Report:
    """Examine partita, what it depends on, and the machine; needs no network.

    Returns
    -------
    dict
        Section → fact → value.
    """
    return {
        "versions": _versions(),
        "extras": _extras(),
        "machine": _machine(),
        "environment": _environment(),
        "devices": _devices(),
        "cache": _cache(),
        "formats": _formats(),
        "decoders": _decoders(),
        "self_test": _self_test(),
    }


def healthy(report: Report) -> bool:
    """Return whether formats, devices and the self test of a report are as they should be."""
    devices_work = all("fails" not in state for state in report["devices"].values())
    formats_work = all(state == _OK for state in report["formats"].values())
    return devices_work and formats_work and report["self_test"]["result"] == _OK


def _versions() -> dict[str, str]:
    import av
    import soundfile

    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    libraries = {
        "ffmpeg": str(av.ffmpeg_version_info),
        "libsndfile": soundfile.__libsndfile_version__,
    }
    system = {"python": platform.python_version(), "system": platform.platform()}
    return system | packages | libraries


def _extras() -> dict[str, str]:
    """Return which extras are installed, and which distributions the others lack."""
    needed: dict[str, list[str]] = {
        extra: []
        for extra in importlib.metadata.metadata("partita").get_all("Provides-Extra") or []
        if extra not in _FOR_DEVELOPERS
    }
    for requirement in importlib.metadata.requires("partita") or []:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w.-]+)['\"]", requirement)
        if name and extra and extra[1] in needed:
            needed[extra[1]].append(name[0])
    return {
        extra: f"no: {', '.join(missing)}" if (missing := _missing(names)) else "yes"
        for extra, names in sorted(needed.items())
    }


def _missing(distributions: list[str]) -> list[str]:
    missing = []
    for name in distributions:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    return missing


def _machine() -> dict[str, str]:
    from partita.devices import processor_name

    facts = {"processor": processor_name(), "cores": _cores()}
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        facts["memory"] = f"{total / 1e9:.1f} GB"
    free = shutil.disk_usage(tempfile.gettempdir()).free
    facts["temporary"] = f"{tempfile.gettempdir()}, {free / 1e9:.1f} GB free"
    return facts


def _environment() -> dict[str, str]:
    values = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    secrets = {
        name: "set, not shown"
        for name in _SECRET_VARIABLES
        if name in os.environ or name.lower() in os.environ
    }
    return values | secrets or {"variables": "none that matters is set"}


def _cores() -> str:
    count = os.cpu_count() or 1
    if not hasattr(os, "sched_getaffinity"):
        return str(count)
    usable = len(os.sched_getaffinity(0))
    return str(count) if usable == count else f"{usable} of {count}"


def _devices() -> dict[str, str]:
    import torch

    from partita.devices import choose_device

    facts = {
        "cpu": f"{_state('cpu')}, {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(torch.get_num_threads()),
    }
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        facts[f"cuda:{index}"] = (
            f"{_state(f'cuda:{index}')}, {properties.name}, {properties.total_memory / 1e9:.0f} GB"
        )
    if not torch.cuda.is_available():
        built = f"PyTorch is built for CUDA {torch.version.cuda}" if torch.version.cuda else ""
        facts["cuda"] = f"none{built and f' ({built})'}"
    facts["mps"] = _state("mps") if torch.backends.mps.is_available() else "none"
    return facts | {"used_by_auto": str(choose_device())}


def _state(device: str) -> str:
    """Return whether a device convolves and transforms as it should."""
    import torch

    try:
        signal = torch.ones(1, 1, 64, device=device)
        convolved = torch.nn.functional.conv1d(signal, torch.ones(1, 1, 3, device=device))
        right = bool((convolved == 3).all()) and float(torch.fft.rfft(signal).abs().sum()) == 64
    except Exception as error:
        return f"fails: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return _OK if right else "fails: computes wrongly"


def _cache() -> dict[str, str]:
    from partita.weights.cache_folder import cache_folder, existing_folder
    from partita.weights.cards import CARDS
    from partita.weights.places import is_cached

    folder = cache_folder()
    cached = [
        card.name
        for card in CARDS.values()
        if card.download_bytes and not card.member_of and is_cached(card)
    ]
    parts = sorted(path for path in folder.glob("*") if path.is_dir())
    return {
        "folder": str(folder),
        "free_space": f"{shutil.disk_usage(existing_folder(folder)).free / 1e9:.1f} GB",
        "cached": ", ".join(cached) or "no weights yet (partita models fetch NAME)",
        **{part.name: _size(part) + _ABOUT_PARTS.get(part.name, "") for part in parts},
    }


def _size(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    if not files:
        return "empty"
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e3:.0f} kB"


def _formats() -> dict[str, str]:
    """Encode and decode a tenth of a second in every format."""
    import torch

    tone = torch.sin(torch.arange(4410) * (2 * torch.pi * 440 / _TEST_RATE)).expand(2, -1) * 0.5
    with tempfile.TemporaryDirectory() as folder:
        return {name: _coded(tone, Path(folder) / f"tone.{name}") for name in FORMATS_PER_STEM}


def _coded(tone: torch.Tensor, path: Path) -> str:
    from partita.audio.signal import Audio, load_audio

    try:
        Audio(tone, _TEST_RATE).save(path)
        peak = float(load_audio(path).samples.abs().max())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return _OK if 0.2 < peak < 0.8 else "decoded wrongly"


def _decoders() -> dict[str, str]:
    import av

    there = [name for name in _DECODERS if name in av.codecs_available]
    missing = [name for name in _DECODERS if name not in there]
    return {"there": ", ".join(there)} | ({"missing": ", ".join(missing)} if missing else {})


def _self_test() -> dict[str, str]:
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
        "result": _OK if complete and finite and null_depth_db < -80 else "failed",
        "ten_seconds_in": f"{elapsed:.2f} s ({10 / elapsed:.0f}× real time)",
        "null_depth": f"{null_depth_db:.0f} dB",
    }
