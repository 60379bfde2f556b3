"""Train some minutes on a GPU that can be had for some minutes, from what `gpu_pack.py` packed.

    python packages/partita-synthesis/scripts/gpu_training.py --pack PACK --out OUT
        [--minutes 9] [--resume FOLDER] [--recipe accompaniment-stems] [--from WEIGHTS]
        [--set KEY=VALUE]…

One command, which needs nothing but Python, PyTorch and this repository: it unpacks the wheels and
decodes the songs of the pack, lets all cores synthesise songs and draw excerpts into memory, and
trains beside them from the first excerpts on. Every minute, and at the end, OUT gets the weights
in 16 bits, the state to go on from in pieces below 16 MiB, the losses and a log. --resume goes on
from such a folder; where it holds the weights only, with these.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_files import do_without_pyav, has_pyav, join, put, roomy_folder, rounded, unpack

if TYPE_CHECKING:
    from partita.models import SeparationModel
    from partita.training.cache.decoded_songs import DecodedSongs, DecodedTrack
    from partita.training.recipes import Recipe
    from partita.training.run_folder import RunFolder
    from partita_synthesis.ring import RingReader

STATE, MODEL, LOG = "state.pt", "model.safetensors", "log.txt"
#: What suits a GPU; --set and the recipe's own settings of other names stay.
SETTINGS = {
    "batch_size": "64",
    "steps_per_epoch": "250",
    "warmup_steps": "200",
    "learning_rate": "2e-3",
    "ema_decay": "0.998",
    "workers": "4",
    "checkpoint_minutes": "1",
}
#: For the last validation and for writing; where that takes longer, the state is kept without it.
_END_S, _LAST_S = 20.0, 5.0
_LEAST_S, _GRACE_S = 3.0, 60.0  # of training, and for its end, however long it took until then
_FIRST_BATCHES = 4  # so many are drawn before the training begins
_FIRST_VALID = 1 << 40  # number of the first song that validates
_LOG_S = 10.0


def main() -> None:
    """Unpack, synthesise, train, keep."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0, help="from now to the end")
    parser.add_argument("--resume", type=Path, help="OUT of an earlier call")
    parser.add_argument("--recipe", default="accompaniment-stems")
    parser.add_argument("--from", dest="weights", help="a name or a file to begin with")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--stems", default="drums,bass,other", help="what is synthesised")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, help="processes; by default two cores are left")
    parser.add_argument("--slots", type=int, default=6000, help="excerpts in memory")
    parser.add_argument("--valid-songs", type=int, default=12, help="synthesised to validate on")
    parser.add_argument("--song-seconds", type=float, default=20.0, help="of synthesised songs")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="gpu-training-"))
    memory = Path(tempfile.mkdtemp(prefix="gpu-training-", dir=roomy_folder(options.slots)))
    try:
        unpack(options.pack, work)
        _train(options, work, memory, started)
    finally:
        shutil.rmtree(memory, ignore_errors=True)
        shutil.rmtree(work, ignore_errors=True)


def _train(options: argparse.Namespace, work: Path, memory: Path, started: float) -> None:
    from partita.training.recipes import load_recipe
    from partita.training.run import Start
    from partita_synthesis.ring import Drawing, ExcerptRing, writing

    log = Log(options.out / LOG, started)
    folder = kept_folder(work / "run", options.out)
    elapsed_s = restore(options.resume, folder) if options.resume else 0.0
    weights = options.weights
    if options.resume and not folder.state.exists():
        weights = str(work / MODEL)
        if not join(options.resume / MODEL, work / MODEL):
            raise SystemExit(f"{options.resume}: holds nothing of an earlier call")
    settings = settings_of(options.settings, options.device)
    recipe, model = Start(load_recipe(options.recipe), settings, weights).resolve()
    jobs = options.jobs or max(1, len(os.sched_getaffinity(0)) - 2)
    seed = options.seed + round(elapsed_s)  # a resumed training gets other songs
    stems = tuple(options.stems.split(","))
    songs = Songs(options.pack, stems, model.learned, model.sample_rate, options.song_seconds, seed)
    recorded, valid = songs.prepare(memory, jobs, options.valid_songs)
    log(f"{len(recorded)} recorded songs, {len(valid.tracks)} songs to validate, {jobs} processes")
    ring = ExcerptRing.create(
        memory,
        slots=options.slots,
        writers=jobs,
        rows=len(model.learned) + recipe.augmentation.distorts,
        channels=model.channels,
        samples=round(recipe.training.excerpt_s * model.sample_rate),
    )
    drawing = Drawing(
        songs.make, songs.sources, songs.rate, recorded, recipe.augmentation, songs.seed
    )
    with writing(ring, drawing) as reader:
        reader.wait(_FIRST_BATCHES * recipe.training.batch_size)
        log("the first excerpts are drawn")
        end_s = options.minutes * 60 - (time.monotonic() - started)
        seconds = max(end_s - _END_S, end_s / 2, _LEAST_S)
        minutes = (elapsed_s + seconds) / 60
        recipe = replace(recipe, training=replace(recipe.training, minutes=minutes))
        most_s = end_s - _LAST_S if end_s > 2 * _END_S else seconds + _GRACE_S
        with _at_most(most_s) as cancel:
            run(
                recipe,
                model,
                folder,
                reader,
                (recorded, valid),
                log,
                cancel,
                device=options.device,
                resumed=bool(options.resume),
                fresh=weights is None,
            )
    log(f"the weights are in {options.out / MODEL}")


def settings_of(changes: Sequence[str], device: str) -> list[str]:
    """Return the settings of the training, those that were named last."""
    from partita.devices import choose_device

    precision = "bfloat16" if choose_device(device).type == "cuda" else "float32"
    merged = {**SETTINGS, "precision": precision}
    if not has_pyav():
        merged["coded_mixtures"] = "0"
    for text in changes:
        key, _, value = text.partition("=")
        merged[key] = value
    return [f"{key}={value}" for key, value in merged.items()]


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[threading.Event]:
    """Give an event that is set when the seconds are over, or somebody ends the program."""
    event = threading.Event()
    timer = threading.Timer(max(seconds, 0), event.set)
    timer.daemon = True
    timer.start()
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: event.set())
    try:
        yield event
    finally:
        signal.signal(signal.SIGTERM, before)
        timer.cancel()


def run(
    recipe: Recipe,
    model: SeparationModel,
    folder: RunFolder,
    reader: RingReader,
    songs: tuple[Sequence[DecodedTrack], DecodedSongs],
    log: Log,
    cancel: threading.Event,
    *,
    device: str,
    resumed: bool,
    fresh: bool,
) -> None:
    """Train as long as the recipe says, or until it is cancelled; the state is kept either way."""
    import torch

    from partita.devices import choose_device
    from partita.training.fabric import make_fabric
    from partita.training.loop import Training
    from partita.training.song_sources import TrainingData

    recorded, valid = songs
    torch.set_float32_matmul_precision("high")
    description = {"recipe": recipe.name, "config": dict(recipe.config)}
    folder.check(description, resume=resumed, overwrite=False)
    folder.begin(description, resume=resumed)
    fabric = make_fabric(choose_device(device), recipe.training.precision)
    # Statistics of fresh networks are learned from what is there already.
    data = TrainingData(
        replace(valid, tracks=tuple(recorded)) if recorded else valid, valid, draw=reader.draw
    )
    watch = Watch(log, reader, recipe.training.batch_size)
    training = Training(model, recipe, data, folder, fabric, watch, fresh=fresh)
    try:
        training.run(cancel)
    except InterruptedError:
        log("the time is up before the last epoch was; the state is kept")
        if not folder.model.exists():
            folder.save_model(training.kept)


def kept_folder(path: Path, out: Path) -> RunFolder:
    """Return a run's folder that puts what it keeps into another one, too, in small files."""
    from partita.training.run_folder import RunFolder
    from partita.weights.checkpoint import save_checkpoint

    class KeptFolder(RunFolder):
        def save_model(self, model: SeparationModel) -> None:
            super().save_model(model)
            half = self.path / "half.safetensors"
            save_checkpoint(half, model, half=True)
            put(half, out / MODEL)

        def save_state(self, state: Mapping[str, Any]) -> None:
            super().save_state(rounded(state))
            put(self.state, out / STATE)

        def write_text(self, path: Path, text: str) -> None:
            super().write_text(path, text)
            put(path, out / path.name)

    out.mkdir(parents=True, exist_ok=True)
    path.mkdir(parents=True, exist_ok=True)
    return KeptFolder(path)


def restore(kept: Path, folder: Any) -> float:
    """Bring what an earlier call has kept to a run's folder; return its seconds of training."""
    if not join(kept / STATE, folder.state):
        return 0.0
    join(kept / MODEL, folder.model)
    shutil.copy(kept / folder.description.name, folder.description)
    return float(folder.load_state()["elapsed_s"])


@dataclass(frozen=True)
class Songs:
    """The songs of a pack, and how more of them are made.

    Attributes
    ----------
    pack : Path
    stems : tuple of str
        What is synthesised.
    sources : tuple of str
        Of the model; what is not synthesised comes from recorded songs alone.
    rate : int
        In hertz.
    duration_s : float
        Of synthesised songs.
    seed : int
    """

    pack: Path
    stems: tuple[str, ...]
    sources: tuple[str, ...]
    rate: int
    duration_s: float
    seed: int

    def prepare(
        self, memory: Path, jobs: int, valid_songs: int
    ) -> tuple[tuple[DecodedTrack, ...], DecodedSongs]:
        """Decode recorded songs and make those that validate; return what trains and validates."""
        from partita.training.cache.decoded_songs import DecodedSongs
        from partita_synthesis.workers import in_processes

        songs = self.pack / "songs"
        names = [path for part in ("train", "valid") for path in sorted((songs / part).glob("*"))]
        tasks: list[Any] = [*range(_FIRST_VALID, _FIRST_VALID + valid_songs), *names]
        prepare = _Prepare(self, memory, tuple(tasks))
        tracks = list(in_processes(prepare, range(len(tasks)), min(jobs, len(tasks))))
        train = [t for t, task in zip(tracks, tasks, strict=True) if _is_in(task, "train")]
        valid = [t for t, task in zip(tracks, tasks, strict=True) if not _is_in(task, "train")]
        found = tuple(track for track in valid if track is not None)
        prepared = DecodedSongs(self.sources, False, found, self.rate, 2, ())
        return tuple(track for track in train if track is not None), prepared

    def make(self, number: int) -> DecodedTrack:
        """Make a song; numbers from `_FIRST_VALID` on are played by SoundFonts held out."""
        from partita_synthesis.song_pools import decoded_track

        return decoded_track(_studio(self, number >= _FIRST_VALID).song(number), self.sources)

    def decode(self, folder: Path) -> DecodedTrack:
        """Read a packed song."""
        import numpy as np
        import soundfile
        import soxr

        from partita_synthesis.song_pools import track_in_memory

        stems = {}
        for path in sorted(folder.glob("*.opus")):
            audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
            stems[path.stem] = soxr.resample(audio, rate, self.rate).T
        longest = max(stem.shape[1] for stem in stems.values())
        for name, stem in stems.items():
            padded = np.zeros((2, longest), np.float32)
            padded[:, : stem.shape[1]] = stem
            stems[name] = padded
        return track_in_memory(folder.name, stems, self.sources, self.rate)


_studios: dict[bool, Any] = {}  # of a process


def _studio(songs: Songs, held_out: bool) -> Any:
    from partita_synthesis import Studio, SynthesisSettings

    if held_out not in _studios:
        folder = songs.pack / ("held-out" if held_out else "share/sounds/sf2")
        fonts = tuple(str(path) for path in sorted(folder.glob("*.sf?")))
        seed = 0 if held_out else songs.seed  # every sitting is validated on the same songs
        settings = SynthesisSettings(
            songs.stems, songs.duration_s, songs.rate, 2, seed, soundfonts=fonts
        )
        _studios[held_out] = Studio(settings)
    return _studios[held_out]


@dataclass(frozen=True)
class _Prepare:
    """Brings one song to where all processes read it; sent to worker processes."""

    songs: Songs
    memory: Path
    tasks: tuple[Any, ...]

    def __call__(self, index: int) -> DecodedTrack | None:
        from partita_synthesis.ring import stored

        task = self.tasks[index]
        track = self.songs.make(task) if isinstance(task, int) else self.songs.decode(task)
        return track and stored(track, self.memory / f"song-{index}")


def _is_in(task: Any, part: str) -> bool:
    return isinstance(task, Path) and task.parent.name == part


class Log:
    """Prints lines with the time, and keeps them in a file."""

    def __init__(self, path: Path, started: float) -> None:
        self._path, self._started = path, started

    def __call__(self, line: str) -> None:
        """Say a line."""
        line = f"{time.monotonic() - self._started:6.1f} s  {line}"
        print(line, flush=True)
        with self._path.open("a") as file:
            file.write(line + "\n")


class Watch:
    """Tells the log how the training goes."""

    def __init__(self, log: Log, reader: RingReader, batch_size: int) -> None:
        self._log, self._reader, self._batch = log, reader, batch_size
        self._since, self._first = time.monotonic(), 0

    def step(self, step: int, steps: int, loss: float) -> None:
        """Say something now and then."""
        now = time.monotonic()
        if not self._first:
            self._since, self._first = now, step
        elif now - self._since >= _LOG_S:
            rate = (step - self._first) / (now - self._since)
            self._since, self._first = now, step
            ring, reader = self._reader.ring, self._reader
            self._log(
                f"step {step} of about {steps} · loss {loss:.5f} · {rate:.2f} steps/s "
                f"({rate * self._batch:.0f} excerpts/s) · {ring.written} excerpts drawn, "
                f"{reader.taken} used · {reader.alive} processes"
            )

    def epoch(self, row: Mapping[str, float]) -> None:
        """Say all losses."""
        self._log(" · ".join(f"{key} {value:.5g}" for key, value in row.items()))


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__":  # a process that synthesises
    do_without_pyav()
