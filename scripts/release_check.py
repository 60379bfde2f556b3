"""Check everything that a release needs, without publishing anything.

Builds the source distributions and wheels of partita and its plug-ins, twice, to see that they are
the same to the byte; checks their metadata, what they contain, and the licences of all files;
installs each in an empty environment and runs the README's commands there without a network; lists
what a release depends on (CycloneDX).

    python scripts/release_check.py [--out dist] [--folder build/release]

Distributions and the list of dependencies are in --out afterwards.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

from test_matrix import PROJECT, ROOT, lend_torch, run

_DISTRIBUTIONS = {"partita": ROOT, "partita_synthesis": ROOT / "packages/partita-synthesis"}
#: Weights are the only large files.
_MOST_BYTES = 1_000_000
_WEIGHTS = "partita/weights/bundled/"
#: What the README's commands and their test need.
_EXTRAS = "compare,mix,serve,train"
_TEST_TOOLS = ("pytest>=8", "hypothesis>=6", "mutagen>=1.47")
_README_TEST = "tests/e2e/test_readme.py"
#: Nothing listens there: whoever wants the network fails at once.
_NO_NETWORK = "http://127.0.0.1:9"


def main() -> None:
    """Check all of it; exit with what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/release", help="environments")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONPATH", None)  # what is installed is checked, not what lies here
    out, folder = arguments.out.resolve(), arguments.folder.resolve()
    for each in (out, folder):
        shutil.rmtree(each, ignore_errors=True)
        each.mkdir(parents=True)
    step("licences of all files")
    run(tool("reuse"), "--root", ROOT, "lint", "--quiet")
    step("distributions, twice")
    files = built(out)
    same_again(files, built(folder / "again"))
    step("metadata and contents")
    run(tool("twine"), "check", "--strict", *files)
    for file in files:
        check_contents(file)
    step("the wheels in an empty environment, the README's commands without a network")
    python = environment(folder / "wheel", [file for file in files if file.suffix == ".whl"])
    check_readme(python, folder / "work")
    step("the source distributions in an empty environment")
    sources = environment(folder / "sdist", [file for file in files if file.suffix != ".whl"])
    run(sources.with_name("partita"), "doctor", cwd=folder)
    step("dependencies")
    list_dependencies(python, out / f"partita-{version(files)}.cdx.json")
    print(f"\nReady: {', '.join(path.name for path in sorted(out.iterdir()))} in {out}")


def step(what: str) -> None:
    """Print what is checked next."""
    print(f"== {what}", flush=True)


def tool(name: str) -> Path:
    """Return a program of this environment."""
    return Path(sys.executable).with_name(name)


def built(out: Path) -> list[Path]:
    """Build all distributions; their times are the last commit's."""
    commit = ["git", "log", "-1", "--format=%ct"]
    moment = subprocess.run(commit, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    settings = {**os.environ, "SOURCE_DATE_EPOCH": moment.strip()}
    for source in _DISTRIBUTIONS.values():
        run(sys.executable, "-m", "build", "--quiet", "--outdir", out, source, env=settings)
    return sorted(out.iterdir())


def same_again(first: list[Path], second: list[Path]) -> None:
    """Exit unless both builds have the same files."""
    digests = [
        {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        for files in (first, second)
    ]
    if digests[0] != digests[1]:
        names = {name for name, digest in digests[0].items() if digests[1].get(name) != digest}
        sys.exit(f"a second build differs: {', '.join(sorted(names))}")
    for name, digest in digests[0].items():
        print(f"{digest[:16]}  {name}")


def check_contents(distribution: Path) -> None:
    """Exit if a file is missing, too large or has no place in a release."""
    contents = sizes(distribution)
    parts = {name for file in contents for name in Path(file).parts}
    problems = [
        f"{file}: {size / 1e6:.1f} MB"
        for file, size in contents.items()
        if size > _MOST_BYTES and _WEIGHTS not in file
    ]
    problems += [f"holds {name}" for name in ("__pycache__", ".git", ".venv") if name in parts]
    if not any(Path(file).name == "LICENSE" for file in contents):
        problems.append("has no LICENSE")
    if distribution.suffix == ".whl":
        problems += metadata_problems(distribution)
    if problems:
        sys.exit(f"{distribution.name}: {'; '.join(problems)}")
    total = sum(contents.values())
    print(f"{distribution.name}: {len(contents)} files, {total / 1e6:.1f} MB unpacked")


def sizes(distribution: Path) -> dict[str, int]:
    """Return the files of a wheel or a source distribution."""
    if distribution.suffix == ".whl":
        with zipfile.ZipFile(distribution) as archive:
            return {each.filename: each.file_size for each in archive.infolist()}
    with tarfile.open(distribution) as archive:
        return {each.name: each.size for each in archive.getmembers() if each.isfile()}


def metadata_problems(wheel: Path) -> list[str]:
    """Return what a wheel's metadata lacks or contradicts."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
        licences = [each for each in archive.namelist() if ".dist-info/licenses/" in each]
    problems = [
        f"no {field} in its metadata"
        for field in ("Name", "Version", "Summary", "License-Expression", "Requires-Python")
        if not metadata[field]
    ]
    if not metadata.get_payload():
        problems.append("no description in its metadata")
    if len(licences) != len(metadata.get_all("License-File") or []):
        problems.append("not all licence files are there")
    return problems


def environment(folder: Path, distributions: list[Path]) -> Path:
    """Install distributions in a new environment, with this one's PyTorch; return its Python."""
    run(sys.executable, "-m", "venv", folder)
    lend_torch(folder)
    python = folder / "bin" / "python"
    own, *others = sorted(distributions, key=lambda file: len(file.name.split("-")[0]))
    wanted = [f"partita[{_EXTRAS}] @ {own.as_uri()}", *others, *_TEST_TOOLS]
    run(python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet",
        "--constraint", ROOT / "constraints.txt", *wanted)  # fmt: skip
    return python


def check_readme(python: Path, work: Path) -> None:
    """Run the README's commands with what is installed, without a network."""
    work.mkdir()
    partita = python.with_name("partita")
    run(partita, "models", "fetch", "four-stems", cwd=work)
    no_network = dict.fromkeys(("PIP_INDEX_URL", "NPM_CONFIG_REGISTRY"), _NO_NETWORK)
    no_network |= dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), _NO_NETWORK)
    settings = {**os.environ, **no_network, "OMP_NUM_THREADS": "1"}
    for arguments in (["--version"], ["models"], ["doctor"]):
        run(partita, *arguments, cwd=work, env=settings, stdout=subprocess.DEVNULL)
    # Not the tests' own warnings are at stake here.
    quiet = ("-q", "-W", "default", "-p", "no:cacheprovider")
    run(python, "-m", "pytest", *quiet, _README_TEST, cwd=ROOT, env=settings)


def list_dependencies(python: Path, file: Path) -> None:
    """Write which distributions an installation consists of, as CycloneDX."""
    run(tool("cyclonedx-py"), "environment", "--output-reproducible", "--of", "JSON", "-o", file,
        "--pyproject", ROOT / "pyproject.toml", python)  # fmt: skip
    components = json.loads(file.read_text())["components"]
    listed = {each["name"].lower().replace("_", "-") for each in components}
    needed = {requirement.partition(">")[0].lower() for requirement in PROJECT["dependencies"]}
    if missing := needed - listed:
        sys.exit(f"{file.name} lacks {', '.join(sorted(missing))}")
    unknown = sorted(each["name"] for each in components if not each.get("licenses"))
    print(f"{len(components)} distributions; no licence stated by: {', '.join(unknown) or 'none'}")


def version(files: list[Path]) -> str:
    """Return the version of partita's wheel."""
    return next(file.name.split("-")[1] for file in files if file.name.startswith("partita-"))


if __name__ == "__main__":
    main()
