"""Catalogues on Ray that are killed at random moments: nothing is lost, half-written or done twice.

    python benchmarks/catalogue_kills_ray.py [--songs 480] [--kills 30]

480 short songs, of which two are broken, one hangs and one takes all memory, on a Ray cluster of
two workers. A worker, the command or Ray's node process (raylet or GCS) gets SIGKILL at a random
moment, 30 times (with 200 songs, all have ended after about 13). After a worker the run goes on by
itself; the command and the cluster are started again. In the end all but the four are done and
verified, these are reported, no file under a final name is shorter than its song, and no song was
separated more often than it was in flight when something was killed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from catalogue_kills import RUN, check_files, planned, report, size_of

HARMFUL = ("broken", "torn", "hangs", "hoards")
JOBS = 2
NODE = ("raylet/raylet", "gcs/gcs_server")
PATIENCE_S = 300.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--songs", type=int, default=480)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, good = Path(name), options.songs - len(HARMFUL)
        os.environ.update(planned(folder, good, HARMFUL))
        os.environ["RAY_AUTH_MODE"] = "disabled"
        os.environ["RAY_gcs_rpc_server_reconnect_timeout_s"] = "10"  # noqa: SIM112
        run = [*RUN, "--memory-mb", "1200", "--engine", "ray"]
        killed = Counter[str]()
        moments = random.Random(options.seed)
        is_over = False
        while killed.total() < options.kills and not is_over:
            with cluster(folder) as (address, head):
                is_over = kill_often(run, address, head, folder, moments, killed, options.kills)
        with cluster(folder) as (address, _):
            last = subprocess.run([*run, "--address", address], cwd=folder, check=False)
        report(folder, good, JOBS * killed.total(), killed, last.returncode)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start Ray; on a busy machine it may need several attempts."""
    from ray_head import ray_head

    with contextlib.ExitStack() as stack:
        for tries in range(5):
            try:
                address, head = stack.enter_context(ray_head(JOBS, [folder / "site"]))
                break
            except AssertionError:
                print(f"Ray has not started, attempt {tries + 1}", flush=True)
        yield address, head


def kill_often(
    run: list[str],
    address: str,
    head: subprocess.Popen[bytes],
    folder: Path,
    moments: random.Random,
    killed: Counter[str],
    kills: int,
) -> bool:
    """Kill workers and commands until Ray's node process is killed; return whether all is done."""
    from ray_head import descendants

    driver = None
    while killed.total() < kills:
        if driver is None or driver.poll() is not None:
            if driver is not None and driver.returncode == 1:
                print("all songs have ended before the last kill")
                return True
            driver = subprocess.Popen([*run, "--address", address], cwd=folder)
        wait_for_a_song(driver, folder / "notes", moments)
        if driver.poll() is not None:
            continue
        victim = moments.choice(["worker", "driver", "node"])
        commands = descendants(head.pid)
        pids = {
            "driver": [driver.pid],
            "worker": [pid for pid, text in commands.items() if "SongActor" in text],
            "node": [pid for pid, text in commands.items() if text.split(" ")[0].endswith(NODE)],
        }[victim]
        if pids:
            os.kill(moments.choice(pids), signal.SIGKILL)
            killed[victim] += 1
            print(
                f"{killed.total()}: {victim}; {size_of(folder / 'notes')} bytes noted", flush=True
            )
        if victim == "driver":
            driver.wait()
        check_files(folder)
        if victim == "node" and pids:
            break
    if driver is not None:
        ended = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            driver.wait(PATIENCE_S)
            print(
                f"   the command ended after {time.monotonic() - ended:.0f} s: {driver.returncode}"
            )
        driver.kill()
        driver.wait()
    return False


def wait_for_a_song(driver: subprocess.Popen[bytes], notes: Path, moments: random.Random) -> None:
    """Wait for a random moment: one in ten while a run starts, else while songs are separated."""
    if moments.random() < 0.1:
        time.sleep(moments.uniform(0, 10))
        return
    before = size_of(notes)
    while driver.poll() is None and size_of(notes) == before:
        time.sleep(0.01)
    time.sleep(moments.uniform(0, 0.2))


if __name__ == "__main__":
    main()
