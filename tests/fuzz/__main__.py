"""``python -m fuzz``: damage inputs for as long as it is told, keep what fails."""

import argparse
import sys
from pathlib import Path

from fuzz.loop import Fuzzer, replay
from fuzz.targets import TARGETS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--file", type=Path, help="try one saved failure again")
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; known: {', '.join(TARGETS)}")
    if arguments.file:
        finding = replay(arguments.file)
        print(finding.text if finding else "nothing found")
        sys.exit(1 if finding else 0)
    with Fuzzer(arguments.targets or list(TARGETS), arguments.seed, arguments.failures) as fuzzer:
        fuzzer.run(minutes=arguments.minutes)
        print(fuzzer.summary())
    sys.exit(1 if fuzzer.findings else 0)


if __name__ == "__main__":
    main()
