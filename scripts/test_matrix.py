"""Test partita with the oldest and the newest releases of its dependencies.

Builds environments on the oldest and the newest supported Python of this machine, once with the
lower bounds of pyproject.toml and once with the newest releases, installs partita there from its
source distribution and runs a selection of tests and the command line. If a release has no wheel
for a Python version, the next release with one is used.

    python scripts/test_matrix.py            all of it; downloads PyTorch, several gigabytes
    python scripts/test_matrix.py --short    the oldest releases on this Python, with its PyTorch
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEST_TOOLS = ["pytest>=8", "hypothesis>=6", "mutagen>=1.47"]
TESTS = [
    "tests/unit/audio",
    "tests/conformance/test_models.py::test_saved_and_loaded_it_gives_the_same",
    "tests/unit/weights/test_checkpoint.py",
    "tests/unit/test_public_api.py",
    "tests/e2e/test_models_and_doctor.py",
]
_PIP = ["-m", "pip", "--disable-pip-version-check", "--quiet"]


def main() -> None:
    """Build the environments and test in each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="oldest releases, this Python only")
    parser.add_argument("--folder", type=Path, default=ROOT / ".matrix", help="environments")
    arguments = parser.parse_args()
    if arguments.short:
        cells = [(Path(sys.executable), "oldest")]
    else:
        pythons = supported_pythons()
        ends = dict.fromkeys([min(pythons, key=_numbers), max(pythons, key=_numbers)])
        cells = [(pythons[end], which) for end in ends for which in ("oldest", "newest")]
    failed = []
    for python, which in cells:
        name = f"{_version(python)}-{which}"
        print(f"== Python {name} ({python})", flush=True)
        try:
            folder = build(arguments.folder / name, python, which, borrow_torch=arguments.short)
            check(folder)
        except subprocess.CalledProcessError as error:
            print(f"failed: {' '.join(map(str, error.cmd))}", flush=True)
            failed.append(name)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def supported_pythons() -> dict[str, Path]:
    """Return the installed interpreters, ``"3.11"`` → path; print missing ones."""
    found = {}
    for classifier in PROJECT["classifiers"]:
        match = re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", classifier)
        if match is None:
            continue
        version = match[1]
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        candidates = [shutil.which(f"python{version}"), *pyenv.glob(f"{version}.*/bin/python")]
        for candidate in filter(None, candidates):
            path = Path(candidate)
            if _version(path) == version:  # pyenv's shims exist for inactive versions too
                found[version] = path
                break
        else:
            print(f"Python {version}: not installed, not tested")
    return found or {_version(Path(sys.executable)): Path(sys.executable)}


def build(folder: Path, python: Path, which: str, *, borrow_torch: bool) -> Path:
    """Make the environment `folder`; return its interpreter."""
    run(python, "-m", "venv", "--clear", folder)
    inside = folder / "bin" / "python"
    if borrow_torch:
        lend_torch(folder)
    requirements = PROJECT["dependencies"]
    if which == "oldest":
        pinned = [
            oldest_wheel(inside, requirement)
            for requirement in requirements
            if not (borrow_torch and requirement.startswith("torch"))
        ]
        (folder / "oldest.txt").write_text("\n".join(pinned) + "\n")
        requirements = pinned
    run(inside, *_PIP, "install", *requirements, *TEST_TOOLS)
    run(inside, *_PIP, "install", unpacked_source(inside, folder / "source"))
    names = [_name(requirement) for requirement in PROJECT["dependencies"]]
    run(
        inside,
        "-c",
        f"from importlib.metadata import version as v\nfor n in {names}: print(n, v(n))",
    )
    return inside


def unpacked_source(python: Path, folder: Path) -> Path:
    """Make and unpack the source distribution; return the folder where README's commands work."""
    run(python, *_PIP, "install", "build")
    run(python, "-m", "build", "--sdist", "--outdir", folder, ROOT, stdout=subprocess.DEVNULL)
    (archive,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(archive, folder)
    source = folder / archive.name.removesuffix(".tar.gz")
    missing = [name for name in ("constraints.txt", "Makefile") if not (source / name).is_file()]
    if missing:
        sys.exit(f"the source distribution lacks {', '.join(missing)}")
    return source


def oldest_wheel(python: Path, requirement: str) -> str:
    """Return ``name==version`` for the first release at or above the bound that has a wheel."""
    name, bound = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()
    listing = subprocess.run(
        [python, "-m", "pip", "index", "versions", name],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    versions = re.findall(r"(?<=[ ,])\d+(?:\.\d+)*(?=,|\n)", listing.split("versions:")[1])
    for version in sorted(set(versions), key=_numbers):
        if _numbers(version) < _numbers(bound):
            continue
        pin = f"{name}=={version}"
        has_wheel = subprocess.run(
            [python, *_PIP, "install", "--dry-run", "--no-deps", "--only-binary=:all:", pin],
            capture_output=True, check=False,
        ).returncode == 0  # fmt: skip
        if has_wheel:
            return pin
    raise SystemExit(f"{requirement}: no release has a wheel for {python}")


def lend_torch(folder: Path) -> None:
    """Link PyTorch and what it requires, except partita's own requirements, from this Python."""
    own = {_name(requirement) for requirement in PROJECT["dependencies"]} - {"torch"}
    wanted, seen = ["torch"], set(own)
    (target,) = folder.glob("lib/python*/site-packages")
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for other systems
        needed = [each for each in distribution.requires or [] if "extra ==" not in each]
        wanted += [_name(requirement) for requirement in needed]
        for top in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
            if not (target / top).exists():
                (target / top).symlink_to(distribution.locate_file(top))


def check(python: Path) -> None:
    """Run the tests and separate a song from the command line."""
    environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    # Old releases may print deprecation warnings that are not ours.
    quiet = ["-q", "-W", "default", "-p", "no:cacheprovider"]
    run(python, "-m", "pytest", *quiet, *TESTS, cwd=ROOT, env=environment)
    work = python.parent.parent / "work"
    work.mkdir(exist_ok=True)
    partita = python.parent / "partita"
    song = (
        "import example_song, soundfile; "
        "soundfile.write('song.flac', example_song.mixture(example_song.render(4.0)).T, 44100)"
    )
    examples = {**environment, "PYTHONPATH": str(ROOT / "examples")}
    run(python, "-c", song, cwd=work, env=examples)
    for command in (
        ["--version"],
        ["models", "--help"],
        ["separate", "song.flac", "--model", "hpss", "--format", "mp3", "--overwrite"],
    ):
        run(partita, *command, cwd=work, env=environment)


def run(*command: object, **options: object) -> None:
    """Run a command; raise `subprocess.CalledProcessError` if it fails."""
    subprocess.run(list(map(str, command)), check=True, **options)


def _version(python: Path) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _name(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers without trailing zeros: 1.26 equals 1.26.0."""
    numbers = [int(number) for number in version.split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


if __name__ == "__main__":
    main()
