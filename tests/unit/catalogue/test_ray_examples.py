"""Examples of clusters: what Ray's launcher accepts, and commands and machines that fit."""

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from partita.cli.app import app

FOLDER = Path(__file__).resolve().parents[3] / "examples/ray"


def options_of(text):
    """Parse a command of partita as partita does; returns the options of ``catalogue run``."""
    command = typer.main.get_command(app)
    words = shlex.split(text)
    assert words[:3] == ["partita", "catalogue", "run"]
    run = command.commands["catalogue"].commands["run"]
    options = run.make_context("run", words[3:]).params
    assert options["engine"] == "ray"
    return options


def test_a_cluster_for_the_launcher():
    jsonschema = pytest.importorskip("jsonschema")
    found = importlib.util.find_spec("ray")
    if found is None:
        pytest.skip("Ray, whose schema this is, is not installed")
    schema = Path(found.origin).parent / "autoscaler/ray-schema.json"
    text = (FOLDER / "cluster.yaml").read_text()
    config = yaml.safe_load(text)
    jsonschema.validate(config, json.loads(schema.read_text()))
    assert config["head_node_type"] in config["available_node_types"]
    (command,) = re.findall(r'"(partita [^"]+)"', text.replace("\n#", ""))
    options = options_of(command)
    workers = config["available_node_types"]["gpu"]
    assert options["jobs"] == workers["max_workers"] == config["max_workers"]


def test_a_job_for_kuberay():
    job = yaml.safe_load((FOLDER / "kuberay_job.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    options = options_of(job["spec"]["entrypoint"])
    cluster = job["spec"]["rayClusterSpec"]
    (workers,) = cluster["workerGroupSpecs"]
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    assert options["jobs"] == workers["maxReplicas"]
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    (worker,) = workers["template"]["spec"]["containers"]
    assert head["image"] == worker["image"]  # the same partita and weights
    assert head["envFrom"] == worker["envFrom"]  # both read and write the store
    for container in (head, worker):
        assert container["resources"]["requests"] == container["resources"]["limits"]
    limits = worker["resources"]["limits"]
    assert int(limits["cpu"]) == options["cores"]
    assert int(limits["nvidia.com/gpu"]) == options["gpus"]
