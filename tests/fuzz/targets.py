"""What is fuzzed: readers of files that come from anywhere."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import save

from common import SMALL_UNET
from msst_files import small_model, write_msst
from partita.audio.encode import encode_file
from partita.audio.formats import stem_format
from partita.audio.reader import open_audio
from partita.audio.tags import read_tags
from partita.datasets.table import read_csv
from partita.errors import PartitaError
from partita.evaluation.scores import read_scores
from partita.mixing import recipe as mix_recipe
from partita.models import create_model
from partita.separation.batch.manifest import Making, Manifest
from partita.training.augmentation import Augmentation
from partita.training.recipes import TrainingSettings, load_recipe
from partita.training.run_folder import RunFolder
from partita.training.settings import parse_settings
from partita.weights.bag_file import read_bag
from partita.weights.checkpoint import load_checkpoint
from partita.weights.demucs_package import model_from_package
from partita.weights.external_checkpoints import ExternalCheckpoint
from partita.weights.htdemucs_onnx import state_from_file
from partita.weights.identity import checkpoint_sources
from partita.weights.msst import load_external
from partita_synthesis._soundfont_file import open_soundfont_file
from partita_synthesis._soundfont_player import play_notes
from partita_synthesis.drum_kits import open_hydrogen_kit
from partita_synthesis.midi import read_midi
from partita_synthesis.score import Note
from partita_synthesis.song_pools import SynthesisPlan
from partita_synthesis.soundfonts import open_soundfont

HUB_SETTINGS = {**SMALL_UNET, "widths": [2, 2], "sources": ["a", "b"]}
_FORMATS = ("flac", "mp3", "opus", "m4a", "wav", "ogg")


@dataclass(frozen=True)
class Target:
    """A reader, and what kind of file it reads."""

    run: Callable[[Path], object]
    kind: str = "binary"


def _audio(path: Path) -> None:
    with open_audio(path) as reader:
        for block in reader.blocks():
            assert block.dtype == np.float32
            assert block.shape[0] == reader.channels


def _excerpt(path: Path) -> None:
    with open_audio(path, start_s=0.05, duration_s=0.1) as reader:
        total = sum(block.shape[1] for block in reader.blocks())
        assert total <= round(0.1 * reader.sample_rate)


def _tags(path: Path) -> None:
    """Tags never stop a separation: stems take whatever is found."""
    tags = read_tags(path)
    silence = np.zeros((2, 4410), np.float32)
    name = _FORMATS[len(path.read_bytes()) % len(_FORMATS)]
    try:
        encode_file(
            path.with_name(f"stem.{name}"), [silence], stem_format(name),
            sample_rate=44100, channels=2, frames=4410, tags=tags.for_stem("vocals", "song"),
        )  # fmt: skip
    except PartitaError as error:
        raise RuntimeError(f"tags stop stems in {name}: {tags}") from error


def _midi(path: Path) -> None:
    read_midi(path).score(0.0, 10.0)


def _soundfont(path: Path) -> None:
    open_soundfont(path)
    file = open_soundfont_file(path)
    for preset in itertools.islice(file.presets, 4):
        notes = [Note(0.1 * n, 0.05, key, 100) for n, key in enumerate((36, 60, 69, 127))]
        assert np.isfinite(play_notes(file, preset, notes, 8000, 16000, 0.0)).all()


def _record(path: Path) -> None:
    stem = path.with_name("vocals.wav")
    stem.write_bytes(b"stem")
    making = Making("0.1.0", "hpss", "aa", {"format": "wav"})
    record = Manifest(path)
    assert record.covers({"vocals": stem}) in (True, False)
    assert isinstance(record.difference({"vocals": stem}, making, stem), str)


def _settings(path: Path) -> None:
    parse_settings(path.read_text("utf-8", "replace").splitlines(), TrainingSettings, Augmentation)


def _mix_recipe(path: Path) -> None:
    recipe = mix_recipe.load_recipe(str(path))
    stems = ["vocals", "drums", "bass", "other"]
    tracks, pans = recipe.balance(stems), recipe.pans(stems)
    assert np.isfinite([[*factors.values()] for factors in tracks.values()]).all()
    assert all(-1 <= pan <= 1 for pan in pans.values())


def _state(path: Path) -> None:
    folder = path.parent / "run"
    folder.mkdir(exist_ok=True)
    run = RunFolder(folder)
    run.state.write_bytes(path.read_bytes())
    run.load_state()


def _kit(path: Path) -> None:
    folder = path.parent / "kit"
    folder.mkdir(exist_ok=True)
    (folder / "drumkit.xml").write_bytes(path.read_bytes())
    open_hydrogen_kit(folder)


def _plan(path: Path) -> None:
    SynthesisPlan.read(path, sources=["vocals", "rest"], sample_rate=44100, channels=2)


@functools.cache
def _whole_msst(family: str) -> Path:
    """Return a checkpoint that is whole; its YAML file lies beside it."""
    folder = tempfile.TemporaryDirectory(prefix="fuzz-msst-")
    _folders.append(folder)
    return write_msst(Path(folder.name), small_model(family))


_folders: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def _msst(path: Path) -> None:
    whole = _whole_msst(path.name.split(".")[1])
    load_external(ExternalCheckpoint(path, whole.with_suffix(".yaml")))


def _msst_config(path: Path) -> None:
    load_external(ExternalCheckpoint(_whole_msst(path.name.split(".")[1]), path))


@functools.cache
def _bare_checkpoint() -> bytes:
    """Return a checkpoint that says nothing of itself, as huggingface_hub's mixin writes it."""
    return save(create_model("unet", HUB_SETTINGS).state_dict(), {"format": "pt"})


def _hub_config(path: Path) -> None:
    folder = path.parent / "hub"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(path.read_bytes())
    (folder / "model.safetensors").write_bytes(_bare_checkpoint())
    load_checkpoint(folder / "model.safetensors")


def _bag(path: Path) -> None:
    """Read a bag whose networks are there, whatever is in them."""
    for name in ("aa", "bb"):
        path.with_name(f"{name}.th").touch()
    read_bag(path)


TARGETS = {
    "audio": Target(_audio),
    "excerpt": Target(_excerpt),
    "tags": Target(_tags),
    "checkpoint": Target(load_checkpoint, "safetensors"),
    "header": Target(checkpoint_sources, "safetensors"),
    "record": Target(_record, "json"),
    "state": Target(_state),
    "midi": Target(_midi),
    "soundfont": Target(_soundfont),
    "kit": Target(_kit, "text"),
    "recipe": Target(lambda path: load_recipe(str(path)), "text"),
    "mix_recipe": Target(_mix_recipe, "text"),
    "plan": Target(_plan, "text"),
    "settings": Target(_settings, "text"),
    "table": Target(read_csv, "text"),
    "scores": Target(read_scores, "json"),
    "package": Target(model_from_package, "archive"),
    "demucs_safetensors": Target(model_from_package, "safetensors"),
    "bag": Target(_bag, "text"),
    "msst": Target(_msst, "archive"),
    "msst_config": Target(_msst_config, "text"),
    "onnx": Target(state_from_file),
    "hub_config": Target(_hub_config, "json"),
}
