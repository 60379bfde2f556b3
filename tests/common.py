"""What tests of several folders import (fixtures are in conftest.py)."""

from pathlib import Path

#: Real recordings and other people's scores, where this machine has them.
SHARED = Path(__file__).resolve().parents[2] / "shared"

#: A U-Net that is quick to run.
SMALL_UNET = {
    "fft_samples": 512,
    "hop_samples": 128,
    "bins": 128,
    "frames": 128,
    "overlap_frames": 32,
    "widths": [4, 8],
}

#: An Open-Unmix that is quick to run and to train.
SMALL_UNMIX = {
    "fft_samples": 512,
    "hop_samples": 128,
    "frames": 256,
    "overlap_frames": 64,
    "hidden": 16,
}
