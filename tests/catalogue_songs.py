"""Songs for tests of catalogues, some of which hang or kill who separates them."""

import dataclasses
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from partita.catalogue.engine import Policy
from partita.catalogue.records import PlannedSong, SongRecord
from partita.errors import UsageError

#: A model, as a plug-in, that hangs, dies or takes all memory where the mixture is so loud.
_MODEL = '''
import os, signal, time
from dataclasses import dataclass

import torch
from partita.models import ModelConfig, SeparationModel, Window, register_model

held = []


@dataclass(frozen=True)
class PoisonConfig(ModelConfig):
    sources: tuple[str, ...] = ("quiet", "loud")


@register_model("poison")
class Poison(SeparationModel):
    """Shares the mixture out; songs of a constant level harm it."""

    config_type = PoisonConfig
    window = Window(44100, 0)

    def forward(self, mixture):
        if notes := os.environ.get("POISON_NOTES"):
            with open(notes, "a") as file:
                file.write(f"{float(mixture.square().sum()):.6f}\\n")
        level = float(mixture.mean())
        if level > 0.6:
            time.sleep(3600)
        elif level > 0.4:
            held.append(torch.ones(400, 2**20, dtype=torch.float32))
            time.sleep(3600)
        elif level < -0.4:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.stack([0.25 * mixture, 0.75 * mixture], dim=1)
'''
LEVELS = {"hangs": 0.7, "hoards": 0.5, "kills": -0.5}


def poison_plugin(site: Path) -> None:
    """Write a distribution whose model is called poison; its folder goes into PYTHONPATH."""
    info = site / "poison-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: poison\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[partita.models]\npoison = poison_plugin:Poison\n")
    (site / "poison_plugin.py").write_text(_MODEL)


def write_songs(folder: Path, count: int, *, seconds: float = 0.5, names: tuple[str, ...] = ()):
    """Write songs of noise, each another one; and those of `LEVELS` and broken ones by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = np.random.default_rng(number).standard_normal(round(seconds * 44100))
        soundfile.write(folder / f"{number:03}.wav", 0.1 * noise, 44100)
    for name in names:
        if name in LEVELS:
            level = np.full(round(seconds * 44100), LEVELS[name])
            soundfile.write(folder / f"{name}.wav", level, 44100)
        else:
            (folder / f"{name}.wav").write_bytes(b"RIFF no sound here")
    return folder


@dataclass(frozen=True)
class PlainWork:
    """Work without a model: what a song does is its track."""

    notes: str
    policy: Policy = field(default_factory=Policy)
    refusal: str = ""
    dies: bool = False

    def open(self):
        if self.refusal:
            raise UsageError(self.refusal)
        if self.dies:
            os._exit(3)
        return _PlainWorker(self)

    def ended(self, attempt, kind, cause, elapsed_s):
        outcome = self.policy.outcome(kind, attempt.tries + 1)
        return dataclasses.replace(record(attempt, outcome), kind=kind, cause=cause)


class _PlainWorker:
    def __init__(self, work):
        self._work = work

    def process(self, attempt):
        what = attempt.song.track.rpartition("/")[2].split("-")[0]
        with Path(self._work.notes).open("a") as notes:
            notes.write(f"{attempt.song.track} {attempt.number}\n")
        if what == "hangs":
            time.sleep(3600)
        if what == "kills":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "crashes":
            os._exit(7)
        if what == "hoards":
            hoard = np.ones(2**29, np.uint8)  # systems may take back some of the rest
            time.sleep(3600)
            assert hoard is not None
        if what == "twice" and attempt.number == 1:
            return self._work.ended(attempt, "store", "the store did not answer", 0.0)
        if what == "slow":
            time.sleep(0.3)
        return record(attempt, "done")


def planned(track: str) -> PlannedSong:
    return PlannedSong(f"{abs(hash(track)):016x}"[:16], f"songs/{track}.wav", track)


def record(attempt, outcome) -> SongRecord:
    song = attempt.song
    return SongRecord(
        song.id, song.address, song.track, outcome, attempt.number, worker=str(os.getpid())
    )
