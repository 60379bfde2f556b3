import json
import shutil

import numpy as np
import pytest
import soundfile

from partita.child_process import Reporter
from partita.comparison.jobs import TrainingJob
from partita.comparison.results import TrainingPlan
from partita.datasets import open_dataset

SMALL = (
    *("epochs=1", "steps_per_epoch=1", "batch_size=1", "excerpt_s=0.3", "valid_tracks=0"),
    *("sources=drums,bass", "hidden=4", "fft_samples=512", "hop_samples=256", "sample_rate=8000"),
)


def job(data, folder):
    dataset = open_dataset(data)
    plan = TrainingPlan("umx-tiny", SMALL, None)
    return TrainingJob(data, dataset.layout, plan, dataset, (), folder, "cpu")


@pytest.mark.slow
def test_a_training_whose_songs_have_moved_begins_anew(tmp_path):
    pytest.importorskip("lightning_fabric")
    for stem in ("drums", "bass"):
        path = tmp_path / "here/song" / f"{stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal((8000, 2)), 8000)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    run = tmp_path / "run"
    for place in ("here", "there"):
        job(tmp_path / place, run).run(Reporter(lambda _message: None))
        said = json.loads((run / "run.json").read_text())
        assert said["data"] == str(tmp_path / place)
        assert (run / "model.safetensors").exists()
