"""Fetch the JavaScript libraries that pages carry: `python scripts/page_libraries.py`.

`libraries.toml` beside them names versions, files and their SHA-256. To take a newer version,
change its number there; what this then says of each file goes there, too, once you have looked at
it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src/partita"
FOLDERS = tuple(SOURCE / place / "page/vendor" for place in ("reports", "serve", "export/web"))


def main() -> int:
    """Return 1 if a file is not the one that is noted."""
    return int(sum(map(_fetch_all, FOLDERS)) > 0)


def _fetch_all(vendor: Path) -> int:
    """Return how many files are not those that are noted."""
    libraries = tomllib.loads((vendor / "libraries.toml").read_text(encoding="utf-8"))
    different = 0
    for name, library in libraries.items():
        with tempfile.TemporaryDirectory() as folder:
            package = _fetch(f"{name}@{library['version']}", Path(folder))
            for file in library["files"]:
                content = (package / file["from"]).read_bytes()
                found = hashlib.sha256(content).hexdigest()
                if found == file["sha256"]:
                    (vendor / file["name"]).write_bytes(content)
                else:
                    different += 1
                    print(f"{file['name']}: noted is {file['sha256']}, found is {found}")
    return different


def _fetch(package: str, folder: Path) -> Path:
    command = ["npm", "pack", package, "--silent"]
    packed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    with tarfile.open(folder / packed.stdout.strip().splitlines()[-1]) as file:
        file.extractall(folder, filter="data")
    return folder / "package"


if __name__ == "__main__":
    sys.exit(main())
