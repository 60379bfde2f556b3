"""The folder of a page that separates in the browser: its files, policy, licences and refusals."""

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch

from common import SMALL_UNET, SMALL_UNMIX
from partita.errors import UsageError, WeightsUnavailableError
from partita.models import create_model
from partita.weights.checkpoint import save_checkpoint
from partita.weights.resolve import resolve

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from partita.export.web import folder as page_folder
from partita.export.web import runtime as page_runtime
from partita.export.web.folder import export_page
from partita.export.web.site import POLICY


@pytest.fixture(scope="module")
def page(tiny_model, tmp_path_factory):
    """A page whose ONNX Runtime is not the real one: no file of it is looked into here."""
    folder = tmp_path_factory.mktemp("page") / "new"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_folder, "runtime_files", lambda: {"ort.wasm.min.mjs": b"export {}"})
        return export_page(resolve(str(tiny_model)), folder)


def test_the_page_names_only_files_that_are_there(page):
    index = (page.folder / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'(?:src|href)="([^"#]+)"', index)
    assert {"main.js", "player.js", "style.css", "LICENSES.txt"} <= set(named)
    missing = [name for name in named if not (page.folder / name).is_file()]
    assert missing == ["http://127.0.0.1:8000/"]  # what the page tells people on disk to open
    for script in page.folder.glob("*.js"):
        for name in re.findall(r'from "\./([^"]+)"', script.read_text(encoding="utf-8")):
            assert (page.folder / name).is_file()
    assert page.files == len(list(page.folder.iterdir()))
    assert page.size == sum(path.stat().st_size for path in page.folder.iterdir())


def test_the_policy_lets_the_page_reach_no_other_server(page):
    index = (page.folder / "index.html").read_text(encoding="utf-8")
    assert f'http-equiv="Content-Security-Policy" content="{POLICY}"' in index
    assert index.index("Content-Security-Policy") < index.index("<script")
    allowed = dict(part.split(" ", 1) for part in POLICY.split("; "))
    assert allowed["default-src"] == "'none'"
    assert allowed["connect-src"] == allowed["worker-src"] == "'self'"
    assert "<script>" not in index
    assert " style=" not in index


def test_facts_are_those_of_the_model(page, tiny_model):
    facts = json.loads((page.folder / "model.json").read_text(encoding="utf-8"))
    (member,) = facts["members"]
    assert facts["name"] == "tiny"
    assert facts["sampleRate"] == 44100
    assert facts["sources"] == member["sources"] == ["voice", "flute", "rest"]
    assert member["window"] == {"length": 127 * 128, "overlap": 32 * 128, "step": 1, "least": 488}
    assert member["bytes"] == (page.folder / member["file"]).stat().st_size
    assert member["taken"] is None


def test_licences_have_their_full_texts(page):
    notices = (page.folder / "LICENSES.txt").read_text(encoding="utf-8")
    for owner in ("The partita authors", "Microsoft Corporation", "David Junger", "Geraint Luff"):
        assert f"{owner}" in notices
    assert "Eigen" in notices  # third parties of ONNX Runtime
    own = Path(__file__).resolve().parents[3] / "LICENSE"
    if own.is_file():
        assert own.read_text(encoding="utf-8").strip() in notices


def test_weights_of_cards_have_their_evidence():
    from partita.export.web.notices import parts_of
    from partita.weights.identity import NamedModel

    spleeter, ours, _ = parts_of([NamedModel("spleeter-2stems"), NamedModel("accompaniment-stems")])
    assert "Deezer SA" in spleeter.text
    assert "JOSS paper" in spleeter.note
    assert "The partita authors" in ours.text


def test_an_earlier_page_is_replaced_and_other_files_stay(page, tiny_model, monkeypatch):
    monkeypatch.setattr(page_folder, "runtime_files", dict)
    (page.folder / "CNAME").write_text("stems.example")
    (page.folder / "index.html").write_text("old")
    export_page(resolve(str(tiny_model)), page.folder)
    assert "drop" in (page.folder / "index.html").read_text(encoding="utf-8")
    assert (page.folder / "CNAME").read_text() == "stems.example"
    (page.folder / "CNAME").unlink()


def test_a_folder_with_other_files_is_left_alone(tiny_model, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        export_page(resolve(str(tiny_model)), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


@pytest.mark.parametrize(
    ("model", "config", "reason"),
    [
        ("open-unmix", {"sources": ["voice", "rest"], **SMALL_UNMIX}, "around its network"),
        ("nmf", {"sources": ["voice", "rest"]}, "cannot run"),
        ("unet", {"sources": ["a", "b"], **SMALL_UNET, "channels": 1}, "mono"),
        ("unet", {"sources": ["a", "b"], **SMALL_UNET, "overlap_frames": 100}, "half"),
    ],
)
def test_what_the_page_cannot_run_is_said_before_anything_is_written(
    tmp_path, model, config, reason
):
    torch.manual_seed(0)
    checkpoint, folder = tmp_path / "model.safetensors", tmp_path / "page"
    save_checkpoint(checkpoint, create_model(model, config).eval())
    with pytest.raises(UsageError, match=reason):
        export_page(resolve(str(checkpoint)), folder)
    assert not folder.exists()


def test_ensembles_and_several_sample_rates_are_refused(tiny_model, tmp_path):
    other = tmp_path / "other.safetensors"
    config = {"sources": ["a", "b"], **SMALL_UNET, "sample_rate": 22050}
    save_checkpoint(other, create_model("unet", config).eval())
    with pytest.raises(UsageError, match="averages several"):
        export_page(resolve(f"{tiny_model},{other}"), tmp_path / "page")
    with pytest.raises(UsageError, match="22050 Hz and 44100 Hz"):
        export_page(resolve(f"{tiny_model}:rest+{other}"), tmp_path / "page")


def test_the_command_says_how_to_open_the_page(run, tiny_model, monkeypatch):
    monkeypatch.setattr(page_folder, "runtime_files", dict)
    done = run("export", tiny_model, "--format", "web", "--out", "my page")
    assert done.status == 0, done.err
    assert "exporting and checking" in done.out
    assert "python -m http.server --bind 127.0.0.1 --directory 'my page'" in done.out
    refused = run("export", tiny_model, "--format", "web", "--out", "p", "--quantise", "int8")
    assert refused.status == 2
    assert "pages have weights in float16" in refused.err


def test_without_npm_and_cache_it_says_where_to_put_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WeightsUnavailableError, match=r"npm is not installed.*put it at .*\.tgz"):
        page_runtime.runtime_files()


def test_files_of_the_runtime_are_the_pinned_ones():
    try:
        found = page_runtime.runtime_files()
    except WeightsUnavailableError as error:
        pytest.skip(f"no ONNX Runtime for browsers: {error}")
    for member in page_runtime._MEMBERS:
        content = found[member.member.rsplit("/", 1)[-1]]
        assert hashlib.sha256(content).hexdigest() == member.member_sha256
