"""Store results of libnmfd 1.0.0 for tests/parity/test_libnmfd_parity.py.

    pip download --no-deps libnmfd==1.0.0
    unzip -d FOLDER libnmfd-1.0.0-py3-none-any.whl
    python scripts/freeze_libnmfd.py FOLDER

libnmfd requires numpy and pandas below 2, which conflict with partita's other tests, so it is not
installed beside them. Its NMFD runs with newer versions: only the progress bar, which
needs a notebook, and the import of matplotlib, which NMFD does not use, are replaced. The vectors
were made with numpy 2.4.6 and scipy 1.17.1.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parent.parent / "tests" / "parity" / "vectors" / "libnmfd.npz"


def import_nmfd(folder: str) -> types.ModuleType:
    """Import libnmfd's convolutive module from an unpacked wheel."""
    progress = types.ModuleType("tqdm")
    progress.tnrange = lambda count, **_: range(count)
    sys.modules["tqdm"] = progress
    for name in ("matplotlib", "matplotlib.pyplot"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["matplotlib"].pyplot = sys.modules["matplotlib.pyplot"]
    sys.path.insert(0, folder)
    from libnmfd.core import nmfconv

    return nmfconv


def spectrogram(rng: np.random.Generator, bins: int, frames: int) -> np.ndarray:
    """Return magnitudes over five decades, with silent frames and bins, as in encoded music."""
    magnitudes = rng.random((bins, frames)) * 10 ** rng.uniform(-4, 1, (bins, 1))
    magnitudes[:, frames // 2 : frames // 2 + 3] = 0
    magnitudes[-2:] = 0
    return magnitudes


def main() -> None:
    """Run libnmfd and write its inputs and results."""
    nmfconv = import_nmfd(sys.argv[1])
    rng = np.random.default_rng(0)
    vectors: dict[str, np.ndarray] = {}

    # A small problem after every iteration: libnmfd starts again for each.
    small = {"V": spectrogram(rng, 17, 30), "W": rng.random((17, 3, 5)) + 0.01}
    small["H"] = rng.random((3, 30)) + 0.01
    starts = [small["W"][:, k].copy() for k in range(3)]
    runs = [
        nmfconv.nmfd(small["V"], 3, None, count, 5, starts, small["H"]) for count in range(1, 31)
    ]
    small["Ws"], small["Hs"] = np.stack([r[4] for r in runs]), np.stack([r[1] for r in runs])
    vectors |= {f"small_{name}": array for name, array in small.items()}

    # Table 3 of the paper: libnmfd's random templates, uniform activations.
    table = {"V": spectrogram(rng, 65, 60), "H": np.ones((4, 60))}
    starts = nmfconv.init_templates(num_comp=4, num_bins=65, num_template_frames=8)
    table["W"] = np.stack(starts, axis=1)
    _, table["H30"], shares, _, table["W30"] = nmfconv.nmfd(
        table["V"], 4, None, 30, 8, starts, table["H"]
    )
    table["model"] = np.sum(shares, axis=0)
    vectors |= {f"table3_{name}": array for name, array in table.items()}

    TARGET.parent.mkdir(exist_ok=True)
    np.savez_compressed(TARGET, **vectors)
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
