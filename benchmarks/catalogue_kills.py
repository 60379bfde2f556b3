"""Catalogues that are killed at random moments: nothing is lost, half-written or done twice.

    python benchmarks/catalogue_kills.py [--songs 200] [--kills 30] [--jobs 2]

200 short songs, of which two are broken, one hangs and one kills its worker, with a model that
notes each song that it separates. ``partita catalogue run`` or one of its workers gets SIGKILL at a
random moment, 30 times; the command is run again after each. In the end 196 songs are done and
verified, 4 are reported, no file under a final name is shorter than its song, and no song was
separated more often than it was in flight when something was killed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import soundfile

import partita
from partita.catalogue.store import Manifest
from partita.catalogue.verifying import verify

TESTS = Path(__file__).resolve().parents[1] / "tests"
HARMFUL = ("broken", "torn", "hangs", "kills")
SECONDS = 0.5
COMMAND = (sys.executable, "-m", "partita", "catalogue")
RUN = (*COMMAND, "run", "manifest", "--out", "stems", "-n", "poison", "--timeout", "3", "-q")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--songs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, good = Path(name), options.songs - len(HARMFUL)
        place = {"cwd": folder, "env": os.environ | planned(folder, good, HARMFUL)}
        run = [*RUN, "--jobs", str(options.jobs)]
        moments = random.Random(options.seed)
        killed: Counter[str] = Counter()
        while killed.total() < options.kills:
            process = subprocess.Popen(run, **place, stderr=subprocess.DEVNULL)
            killed[kill(process, moments, folder / "notes")] += 1
            check_files(folder)
            if process.returncode == 1:
                print("all songs have ended before the last kill", dict(killed))
                break
        status = subprocess.run(run, **place, check=False).returncode
        report(folder, good, options.jobs * killed.total(), killed, status)


def planned(folder: Path, good: int, harmful: Sequence[str]) -> dict[str, str]:
    """Write songs and their plan; return the variables by which runs find the model's plug-in."""
    sys.path.insert(0, str(TESTS))
    from catalogue_songs import poison_plugin, write_songs

    poison_plugin(folder / "site")
    write_songs(folder / "songs", good, seconds=SECONDS, names=harmful)
    root = Path(partita.__file__).parents[1]
    variables = {
        "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(root)]),
        "POISON_NOTES": str(folder / "notes"),
    }
    plan = [*COMMAND, "plan", "songs", "--out", "manifest", "-q"]
    subprocess.run(plan, cwd=folder, env=os.environ | variables, check=False)
    return variables


def kill(process: subprocess.Popen[bytes], moments: random.Random, notes: Path) -> str:
    """Kill a run or one of its workers at a random moment; return which.

    One in ten is killed while it starts, the others while they separate songs.
    """
    if moments.random() < 0.1:
        time.sleep(moments.uniform(0, 5))
    else:
        before = size_of(notes)
        while process.poll() is None and size_of(notes) == before:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.2))
    victim, pid = "driver", process.pid
    if moments.random() < 0.5 and (found := workers(process.pid)):
        victim, pid = "worker", moments.choice(found)
    if process.poll() is None:
        os.kill(pid, signal.SIGKILL)
    if victim == "worker":  # the run goes on; it is stopped a little later
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
    process.wait()
    return victim


def size_of(path: Path) -> int:
    """Return the size of a file; 0: there is none."""
    return path.stat().st_size if path.exists() else 0


def workers(pid: int) -> list[int]:
    """Return the processes of a run that separate songs."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        commands = {int(each): Path(f"/proc/{each}/cmdline").read_bytes() for each in children}
    except OSError:
        return []
    return [each for each, command in commands.items() if b"spawn_main" in command]


def check_files(folder: Path) -> None:
    """Stop if a file under a final name is not whole."""
    for path in (folder / "stems/poison").rglob("*.wav"):
        assert soundfile.info(path).frames == round(SECONDS * 44100), path


def report(folder: Path, good: int, most_twice: int, killed: Counter[str], status: int) -> None:
    """Check what is there in the end; print it."""
    manifest = Manifest(str(folder / "manifest"))
    counts = manifest.counts()
    separated = Counter((folder / "notes").read_text().split())
    faults = [verdict for verdict in verify(manifest, jobs=2) if verdict.fault]
    print(f"killed: {dict(killed)}; last exit status {status}; songs: {dict(counts)}")
    for record in manifest.records(("failed", "quarantined")):
        print(f"  {record.outcome}, {record.kind}: {record.cause}")
    again = sum(count - 1 for count in separated.values())
    print(
        f"stems at fault: {len(faults)}; separated again: {again}, at most {most_twice} in flight"
    )
    assert counts["done"] == good
    assert counts["failed"] + counts["quarantined"] == len(HARMFUL)
    assert not faults
    # The two harmful songs are tried three times each, and each kill of theirs counts as a try.
    assert again <= most_twice + 2 * 3


if __name__ == "__main__":
    main()
