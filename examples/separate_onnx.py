"""Separate a song with exported models: ONNX Runtime, NumPy and soundfile, no PyTorch, no partita.

    partita export four-stems --out whole --whole
    python examples/separate_onnx.py whole song.wav stems

Takes a file or a folder of a chain that `partita export --whole` has written, and songs with one or
two channels at the models' sample rate; writes WAV files of 32-bit floats. Song and stems are read
and written block by block, so that memory does not grow with the song. Ordinary stereo and mono
songs give the stems of `partita separate`; nearly mono, one-sided and hard-panned ones, which
partita maps to ordinary stereo, give others.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import soundfile

Samples = npt.NDArray[np.float32]
Stems = dict[str, Samples]

BLOCK_SAMPLES = 1 << 18
WORKERS = min(4, os.cpu_count() or 1)  # windows at once: each takes memory


class Model:
    """A model as one graph: a window ``[2, samples]`` → estimates ``[sources, 2, samples]``."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # windows are computed in parallel instead
        options.enable_mem_pattern = False  # less memory
        options.add_session_config_entry("session.disable_quant_qdq", "1")  # int8: expanded once
        self._session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        said = self._session.get_modelmeta().custom_metadata_map
        if said.get("core") != "whole" or said["channels"] != "2" or said["window"] == "null":
            sys.exit(f"{path}: not a stereo model with windows, written by partita export --whole")
        self.sources, self.sample_rate = json.loads(said["sources"]), int(said["sample_rate"])
        self.length, self.overlap, self.step = json.loads(said["window"])
        self._least = int(said["least_samples"])
        self._names = [each.name for each in self._session.get_inputs()]

    def run(self, window: Samples, side: float) -> Samples:
        """Return estimates; `side` weights the difference of the channels: 1, or 0 in mono."""
        samples = window.shape[1]
        padded = np.pad(window, ((0, 0), (0, max(0, self._least - samples))))
        inputs = {"mixture": padded[None], "side": np.full(1, side, np.float32)}
        (estimates,) = self._session.run(None, {name: inputs[name] for name in self._names})
        return estimates[0, ..., :samples]

    def separate(
        self, blocks: Iterable[Samples], side: float, pool: ThreadPoolExecutor
    ) -> Iterator[Stems]:
        """Yield estimates of a stream of blocks: windows, crossfaded with squared sines."""
        hop, faded = self.length - self.overlap, None
        ramp = np.sin(np.pi / 2 * (np.arange(self.overlap) + 0.5) / max(1, self.overlap)) ** 2
        ramp = ramp.astype(np.float32)
        running: deque = deque()  # some windows ahead
        for window, span, is_last in self._windows(blocks):
            running.append((pool.submit(self.run, window, side), span))
            while running and (is_last or len(running) > WORKERS):
                future, used = running.popleft()
                estimates = future.result()[..., used]
                if faded is not None:
                    estimates[..., : self.overlap] *= ramp
                    estimates[..., : self.overlap] += faded
                if running or not is_last:
                    estimates, faded = estimates[..., :hop], estimates[..., hop:] * ramp[::-1]
                yield dict(zip(self.sources, estimates, strict=True))

    def _windows(self, blocks: Iterable[Samples]) -> Iterator[tuple[Samples, slice, bool]]:
        """Yield windows, which of their samples are used, and whether it is the last one.

        The last window is moved back to the end of the song, except up to a multiple of the step.
        """
        held, start = np.zeros((2, 0), np.float32), 0  # of the next window in what is held
        for block in blocks:
            held = np.concatenate([held, block], axis=1)
            while held.shape[1] - start > self.length:
                held, start = held[:, start:], self.length - self.overlap
                yield held[:, : self.length], slice(None), False
        end = held.shape[1]
        first = max(0, math.ceil((end - self.length) / self.step) * self.step)
        missing = max(0, first + self.length - end) if first else 0
        window = np.pad(held[:, first:], ((0, 0), (0, missing)))
        yield window, slice(start - first, end - first), True


def chained(
    first: Iterable[Stems], taken: str, second: Model, side: float, pool: ThreadPoolExecutor
) -> Iterator[Stems]:
    """Yield the first's estimates; the second separates one of them. Equal names are added."""
    waiting: dict[str, list[Samples]] = {}

    def stem() -> Iterator[Samples]:
        for estimates in first:
            for name, samples in estimates.items():
                waiting.setdefault(name, []).append(samples)
            yield from waiting.pop(taken)

    for parts in second.separate(stem(), side, pool):
        count, found = len(parts[second.sources[0]][0]), {}
        for name, blocks in waiting.items():
            joined = np.concatenate(blocks, axis=1)
            found[name], waiting[name] = joined[:, :count], [joined[:, count:]]
        for name, part in parts.items():
            found[name] = found[name] + part if name in found else part
        yield found


def read_models(path: Path) -> list[tuple[Model, str]]:
    """Return the models of a file or folder, and what each separates: a stem of those before."""
    if path.is_file():
        return [(Model(path), "")]
    parts = json.loads((path / "partita-model.json").read_text())["model"].get("chain", [{}])
    if any("file" not in part for part in parts):
        sys.exit(f"{path}: not a chain of models")
    return [(Model(path / part["file"]), part.get("separates", "")) for part in parts]


def main() -> None:
    """Separate one song."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("model", "song", "out"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    (first, _), *others = read_models(given.model)
    with contextlib.ExitStack() as stack:
        song = stack.enter_context(soundfile.SoundFile(given.song))
        rate, channels = song.samplerate, song.channels
        if channels > 2 or {first.sample_rate, *(each.sample_rate for each, _ in others)} != {rate}:
            sys.exit(
                f"{given.song}: {channels} channels at {rate} Hz: convert it to stereo at "
                f"{first.sample_rate} Hz"
            )
        how = float(channels == 2), stack.enter_context(ThreadPoolExecutor(WORKERS))
        read = song.blocks(BLOCK_SAMPLES, dtype="float32", always_2d=True)
        stream = first.separate((np.tile(block.T, (3 - channels, 1)) for block in read), *how)
        for model, taken in others:
            stream = chained(stream, taken, model, *how)
        given.out.mkdir(parents=True, exist_ok=True)
        partial = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=given.out, prefix=".")))
        files: dict[str, soundfile.SoundFile] = {}
        for estimates in stream:
            for name, stem in estimates.items():
                if name not in files:
                    new = soundfile.SoundFile(partial / f"{name}.wav", "w", rate, 2, "FLOAT")
                    files[name] = stack.enter_context(new)
                files[name].write(
                    stem.T if channels == 2 else np.tile(stem.mean(axis=0)[:, None], 2)
                )
        for name, file in files.items():  # complete: now under its final name
            file.close()
            (partial / f"{name}.wav").replace(given.out / f"{name}.wav")


if __name__ == "__main__":
    main()
