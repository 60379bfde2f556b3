"""The loop: an input, damage, a worker that tries it, what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Self

from fuzz.inputs import write_inputs
from fuzz.mutations import mutate
from fuzz.targets import TARGETS

HANG_S = 10  # of processor time
MEMORY_MAX = 500_000_000  # bytes beyond what the process had
_STALL_S = 300  # without an answer, whatever the processor did: machines can be that busy
_CASES_PER_WORKER = 1000


@dataclass(frozen=True)
class Finding:
    """What should not have happened."""

    kind: str  # "exception", "memory", "hang" or "crash"
    text: str

    @property
    def signature(self) -> str:
        """The same for findings with one cause: what, and where in partita."""
        places = re.findall(r'File ".*?(partita/[^"]+\.py)", line (\d+)', self.text)
        return " ".join([self.kind, *(":".join(place) for place in places[-1:])])


class Worker:
    """A process that tries inputs, started again whenever it is lost."""

    def __init__(self, log: Path, module: str = "fuzz.targets", hang_s: int = HANG_S) -> None:
        self._log, self._module, self._hang_s = log, module, hang_s
        self._process: subprocess.Popen[str] | None = None
        self._cases = 0

    def attempt(self, target: str, path: Path) -> tuple[str, Finding | None]:
        """Return the outcome, "read" or "refused" or the finding's kind, and the finding."""
        if self._process is None or self._cases >= _CASES_PER_WORKER:
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        self._cases += 1
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps([target, str(path)]) + "\n")
            process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], _STALL_S)
        line = process.stdout.readline() if ready else ""
        if not line:
            finding = self._lost(process, stalled=not ready)
            return finding.kind, finding
        answer = json.loads(line)
        if answer["memory"] > MEMORY_MAX:
            finding = Finding("memory", f"{answer['memory'] / 1e6:.0f} MB\n{answer['text']}")
        elif answer["outcome"] == "exception":
            finding = Finding("exception", answer["text"])
        else:
            return answer["outcome"], None
        return finding.kind, finding

    def _start(self) -> None:
        self.close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fuzz.worker", self._module, str(self._hang_s), str(self._log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._cases = 0

    def _lost(self, process: subprocess.Popen[str], *, stalled: bool) -> Finding:
        if not stalled:
            process.wait()  # it is ending by itself: of what is to be known
        self.close()
        status = process.returncode
        if stalled:
            return Finding("hang", f"no answer for {_STALL_S} s")
        if status == -signal.SIGXCPU:
            return Finding("hang", f"more than {self._hang_s} s of processor time")
        name = signal.Signals(-status).name if status < 0 else f"status {status}"
        return Finding("crash", f"{name}\n{self._log.read_text()}")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(BrokenPipeError):
                self._process.communicate()
            self._process = None


class Fuzzer:
    """Damages inputs of some targets, in turn.

    Parameters
    ----------
    targets : list of str
    seed : int
        Of the same seed come the same cases.
    failures : Path
        Where inputs with findings are kept, one for each cause, a text with each.
    worker : Worker, optional
        One of the fuzzer's own unless given.
    """

    def __init__(
        self, targets: list[str], seed: int, failures: Path, worker: Worker | None = None
    ) -> None:
        self.findings: dict[str, Path] = {}
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._targets, self._seed, self._failures = targets, seed, failures
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-")
        self._inputs = write_inputs(Path(self._folder.name) / "inputs", targets)
        own = None if worker else Worker(Path(self._folder.name) / "crash.txt")
        self._own_worker, self._worker = own, worker or own
        self.on_case: Callable[[Path], object] = lambda _: None

    @property
    def whole_inputs(self) -> int:
        """So many cases come first that are not damaged: each must be read."""
        return max(len(inputs) for inputs in self._inputs.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own_worker is not None:
            self._own_worker.close()
        self._folder.cleanup()

    def run(self, *, cases: int | None = None, minutes: float | None = None) -> None:
        """Try so many cases of each target, or as many as go into so many minutes."""
        end = None if minutes is None else time.monotonic() + 60 * minutes
        case = 0
        while (cases is None or case < cases) and (end is None or time.monotonic() < end):
            for target in self._targets:
                self._one(target, case)
            case += 1

    def _one(self, target: str, case: int) -> None:
        rng = Random(f"{self._seed}/{target}/{case}")
        inputs = self._inputs[target]
        source = inputs[case % len(inputs)]
        data = source.read_bytes()
        if case >= len(inputs):  # the whole ones first: they must all be read
            others = [each.read_bytes() for each in rng.sample(inputs, min(3, len(inputs)))]
            data = mutate(rng, data, others, TARGETS[target].kind)
        suffix = source.name[source.name.index(".") :]
        # Each of its own name: some readers keep files open.
        path = Path(self._folder.name) / f"{target}-{case}{suffix}"
        path.write_bytes(data)
        self.on_case(path)
        outcome, finding = self._worker.attempt(target, path)
        path.unlink()
        self.outcomes[target, outcome] += 1
        if case < len(inputs) and outcome == "refused":
            finding = Finding("refused", f"the undamaged {source.name}")
        if finding is not None:
            self._keep(target, case, suffix, data, finding)

    def _keep(self, target: str, case: int, suffix: str, data: bytes, finding: Finding) -> None:
        signature = f"{target} {finding.signature}"
        if signature in self.findings:
            return
        self._failures.mkdir(parents=True, exist_ok=True)
        path = self._failures / f"{target}-{self._seed}-{case}{suffix}"
        path.write_bytes(data)
        again = f"PYTHONPATH=tests:examples python -m fuzz --file {path}"
        Path(f"{path}.txt").write_text(f"{signature}\n{again}\n\n{finding.text}\n")
        self.findings[signature] = path
        print(f"found: {signature}: {path}", flush=True)

    def summary(self) -> str:
        """Return counts by target and outcome."""
        lines = []
        for target in self._targets:
            counts = {k: n for (name, k), n in sorted(self.outcomes.items()) if name == target}
            lines.append(f"{target}: {', '.join(f'{n} {kind}' for kind, n in counts.items())}")
        return "\n".join([*lines, f"{len(self.findings)} causes found"])


def replay(path: Path) -> Finding | None:
    """Try one saved input again; its name begins with its target's."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        worker = Worker(Path(folder) / "crash.txt")
        try:
            return worker.attempt(path.name.split("-")[0], path.resolve())[1]
        finally:
            worker.close()
