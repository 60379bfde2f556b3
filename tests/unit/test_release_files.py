"""Files for releases say what is true of the repository: licences, targets of make, versions."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LIBRARIES = sorted((ROOT / "src").rglob("vendor/libraries.toml"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
if not WORKFLOWS:
    pytest.skip("only in the repository, not in distributions", allow_module_level=True)


def licence_of(path: Path) -> str:
    """Return the licence of a file as REUSE.toml has it: the last entry that fits counts."""
    entries = tomllib.loads((ROOT / "REUSE.toml").read_text())["annotations"]
    name = path.relative_to(ROOT).as_posix()
    fitting = [each for each in entries if each["path"] == "**" or fnmatch(name, each["path"])]
    return fitting[-1]["SPDX-License-Identifier"]


@pytest.mark.parametrize("table", LIBRARIES, ids=lambda path: path.parts[-4])
def test_licences_of_what_pages_carry(table):
    for name, library in tomllib.loads(table.read_text()).items():
        for file in library["files"]:
            assert licence_of(table.parent / file["name"]) == library["licence"], name
        assert (table.parent / library["licence_file"]).is_file(), name


def test_every_licence_is_in_the_metadata_and_has_its_text():
    entries = tomllib.loads((ROOT / "REUSE.toml").read_text())["annotations"]
    licences = {each["SPDX-License-Identifier"] for each in entries}
    assert licences == set(PROJECT["license"].split(" AND "))
    assert licences == {path.stem for path in (ROOT / "LICENSES").iterdir()}
    shipped = {path for each in PROJECT["license-files"] for path in ROOT.glob(each)}
    for table in LIBRARIES:
        for library in tomllib.loads(table.read_text()).values():
            assert table.parent / library["licence_file"] in shipped


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_targets_of_make(workflow):
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    steps = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make ([\w-]+)$", "\n".join(steps), re.M)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M), target
    assert targets or workflow.stem == "docker"


def test_workflows_run_what_ci_runs():
    local = (ROOT / ".ci/run").read_text()
    hosted = (ROOT / ".github/workflows/ci.yml").read_text()
    for target in re.findall(r"^make ([\w-]+)$", local, re.M):
        assert f"run: make {target}" in hosted


def test_citation_and_issue_forms():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == PROJECT["name"]
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    doctor = next(part for part in form["body"] if part["id"] == "doctor")
    assert doctor["validations"]["required"]
    assert "partita doctor --json" in doctor["attributes"]["label"]
