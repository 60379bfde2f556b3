"""Write the bins of librosa's mel filters to tests/parity/vectors/mel_bands.json.

Needs librosa 0.11.0; the tests do not:

    python scripts/freeze_mel_bands.py
"""

import json
from pathlib import Path

import numpy as np
from librosa import filters

_OUT = Path(__file__).parents[1] / "tests" / "parity" / "vectors" / "mel_bands.json"
#: Sample rate, samples of a frame, bands.
_CASES = (
    *((44100, 2048, 60), (44100, 256, 6), (44100, 4096, 60), (44100, 2048, 64)),
    *((48000, 2048, 60), (22050, 1024, 40), (32000, 512, 20), (16000, 320, 16)),
)

if __name__ == "__main__":
    found = {}
    for rate, samples, bands in _CASES:
        passes = filters.mel(sr=rate, n_fft=samples, n_mels=bands) > 0
        edges = [np.nonzero(band)[0][[0, -1]].tolist() for band in passes]
        assert all(
            band[low : high + 1].all() for band, (low, high) in zip(passes, edges, strict=True)
        )
        found[f"{rate} {samples} {bands}"] = edges
    _OUT.write_text(json.dumps(found) + "\n")
