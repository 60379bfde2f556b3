"""The tutorial: stored without outputs, and it runs from top to bottom."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "tutorial.ipynb"


def test_the_notebook_is_stored_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 8
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_its_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)]+)\)", NOTEBOOK.read_text(encoding="utf-8"))
    assert targets
    assert all((NOTEBOOK.parent / target).is_file() for target in targets)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the kernel's libraries
def test_the_notebook_runs(tmp_path, monkeypatch):
    reason = "nbclient and ipykernel, which run notebooks, are not installed"
    pytest.importorskip("ipykernel", reason=reason)
    nbclient = pytest.importorskip("nbclient", reason=reason)
    nbformat = pytest.importorskip("nbformat", reason=reason)
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "PARTITA_HOME", "TMPDIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    notebook = nbformat.read(NOTEBOOK, 4)
    place = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pages = [
        output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})
    ]
    players = [html for html in pages if "data:audio/ogg" in html]
    tables = [html for html in pages if "<table" in html]
    assert [html.count("data:audio/ogg") for html in players] == [1, 3, 2, 2, 4]
    assert len(tables) == 2
    texts = "".join(output.get("text", "") for output in outputs)
    assert "epoch 4, valid loss" in texts
    gains = [float(gain) for gain in re.findall(r"tiny − hpss, \w+: ([+-][\d.]+) dB", texts)]
    assert len(gains) == 2
    assert sum(gains) > 0  # a hundred steps are enough to beat what has learned nothing
