"""The Dockerfile: what it copies, installs and starts is there."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer

from partita.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/guide/docker.md").read_text(encoding="utf-8")


def instructions(name):
    """Return the arguments of all instructions of a kind, each on one line."""
    text = re.sub(r"^#.*\n", "", TEXT, flags=re.M).replace("\\\n", " ")
    return [" ".join(found.split()) for found in re.findall(rf"^\s*{name} (.+)$", text, re.M)]


def test_what_is_copied_is_there_and_not_left_out():
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [shlex.split(each)[:-1] for each in instructions("COPY") if "--from" not in each]
    names = {name for each in copied for name in each}
    assert names
    for name in names:
        assert (ROOT / name).exists(), name
    assert {f"!{name}" for name in names} == {line for line in kept if line.startswith("!")}


def test_the_package_is_installed_as_make_installs_it():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = dict(re.findall(r"^(\w+) [?:]?= (.+)$", makefile, re.M))
    install = variables["INSTALL"].replace("$(PIP)", variables["PIP"])
    (built, _) = instructions("RUN")
    venv, python = built.split(" && ")
    assert venv == "python3 -m venv /opt/partita"  # as $(PYTHON) -m venv $(VENV)
    command = install.replace("$(BIN)", "/opt/partita/bin")
    assert python.startswith(command)
    (requirement,) = shlex.split(python.removeprefix(command))
    extra = re.fullmatch(r"\.\[(\w+)\]", requirement)[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra in project["optional-dependencies"]
    assert "partita" in project["scripts"]


def test_the_command_that_it_starts_parses():
    (command,) = (json.loads(each) for each in instructions("CMD") if '"serve"' in each)
    assert command[0] == "partita"
    group = typer.main.get_command(app)
    with group.make_context("partita", command[1:2], resilient_parsing=True) as up:
        serve = group.get_command(up, command[1])
    values = serve.make_context("serve", command[2:]).params
    assert values["host"] == "0.0.0.0"
    assert str(values["library"]) in json.loads(instructions("VOLUME")[0])
    assert str(values["port"]) == instructions("EXPOSE")[0]


def test_nobody_is_root_and_variables_are_known():
    (user,) = instructions("USER")
    assert int(user) > 0
    assert f"--uid {user}" in TEXT
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    for name in ("PARTITA_HOME", "PARTITA_TOKEN"):
        assert name in TEXT
        assert f'"{name}"' in sources
    (home,) = re.findall(r"PARTITA_HOME=(\S+)", TEXT)
    assert home in json.loads(instructions("VOLUME")[0])


def test_the_page_speaks_of_the_same():
    for name in (*re.findall(r"^ARG (\w+)", TEXT, re.M), *json.loads(instructions("VOLUME")[0])):
        assert name in PAGE
    assert "127.0.0.1:{0}:{0}".format(*instructions("EXPOSE")) in PAGE


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_hadolint_finds_nothing():
    subprocess.run(["hadolint", ROOT / "Dockerfile"], check=True)
