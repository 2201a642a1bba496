"""The files in clusters/: what Ray would refuse, what it would let through, and that each kind of mistake is found."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clusters import checks

FILES = sorted(path for path in checks.FOLDER.iterdir() if path.is_file())
CRDS = os.environ.get("SIFTLOOM_KUBERAY_CRDS")


def read(name: str) -> dict[str, Any]:
    """The only, or first, document of a cluster file."""
    return next(iter(read_all(name)))


def read_all(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((checks.FOLDER / f"{name}.yaml").read_text()))


def changed(document: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy in which the field at `place` has another value, or (None) is gone. A new field may be named too."""
    document = copy.deepcopy(document)
    at: Any = document
    *parents, last = [int(part) if part.isdigit() else part for part in place.split("/")]
    for part in parents:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return document


# what is in the files holds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", checks.LAUNCHERS)
def test_ray_accepts_the_launcher_files(name):
    assert checks.by_ray(read(name)) == []


@pytest.mark.parametrize("name", checks.LAUNCHERS)
def test_launcher_files_are_right_where_ray_does_not_look(name):
    assert checks.launcher(read(name)) == []


@pytest.mark.parametrize("name", ["kuberay-raycluster", "kuberay-rayjob"])
def test_kubernetes_files(name):
    for document in read_all(name):
        assert checks.kubernetes(document) == []


def test_the_volume_claim_of_the_pods_is_the_one_that_is_made():
    claims = {
        document["metadata"]["name"] for document in read_all("kuberay-raycluster") if "Claim" in document["kind"]
    }
    for name in ("kuberay-raycluster", "kuberay-rayjob"):
        assert set(re.findall(r"claimName: ([\w-]+)", (checks.FOLDER / f"{name}.yaml").read_text())) == claims


def test_the_job_runs_the_recipe_that_the_image_carries():
    job = read("kuberay-rayjob")["spec"]["entrypoint"].split()
    image = (checks.FOLDER / "Dockerfile").read_text()
    assert f"COPY recipes/demo.yaml {job[job.index('run') + 1]}" in image


@pytest.mark.skipif(CRDS is None, reason="SIFTLOOM_KUBERAY_CRDS names no folder with KubeRay's definitions")
@pytest.mark.parametrize("name", ["kuberay-raycluster", "kuberay-rayjob"])
def test_kuberays_own_definitions(name):
    document = read(name)
    assert checks.by_crd(document, Path(CRDS)) == []
    assert checks.by_crd({**document, "spec": {**document["spec"], "rayVersio": "1"}}, Path(CRDS))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_versions_are_those_of_the_project(path):
    assert checks.versions(path.read_text()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_the_reader_is_told_to_type(path):
    for line in checks.typed_lines(path):
        assert checks.by_program(line) == []
        for name in re.findall(r"\bclusters/[\w.-]+", line):
            assert (checks.ROOT / name).exists(), line


def test_the_page_names_every_file_and_no_other():
    page = (checks.FOLDER / "README.md").read_text()
    names = {path.name for path in FILES} - {"README.md"}
    assert set(re.findall(r"`([\w-]+\.(?:yaml|sh|json)|Dockerfile)`", page)) == names


# a mistake is found --------------------------------------------------------------------------------------------------

AWS, GCP = "available_node_types/curation/node_config/", "available_node_types/training/node_config/"


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("aws", "cluster_nam", "x", "cluster_nam"),
        ("aws", "available_node_types/curation/resources/CPU", 0.5, "0.5"),
        ("aws", "head_node_type", "heads", "head_node_type"),
        ("gcp", "available_node_types/training/max_worker", 1, "max_worker"),
        ("gcp", "setup_commands", "pip install x", "concatenate"),
        ("gcp", "docker/imag", "x", "imag"),
        ("onprem", "auth/ssh_usr", "x", "ssh_usr"),
        ("onprem", "provider/head_ip", None, "head_ip"),
    ],
)  # fmt: skip
def test_ray_finds(name, place, value, words):
    (complaint,) = checks.by_ray(changed(read(name), place, value))
    assert words in complaint


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("aws", "provider/regoin", "us-west-2", "regoin"),
        ("aws", "provider/region", None, "'region' is a required property"),
        ("aws", "provider/type", "awz", "awz"),
        ("aws", AWS + "InstanceTyp", "m6i.8xlarge", "InstanceTyp"),
        ("aws", AWS + "ImageId", "ami-edit", "ami-edit"),
        ("aws", AWS + "InstanceMarketOptions/MarketType", "sport", "sport"),
        ("aws", AWS + "IamInstanceProfile", None, "IamInstanceProfile"),
        ("aws", AWS + "BlockDeviceMappings/0/Ebs/VolumSize", 100, "VolumSize"),
        ("aws", "available_node_types/head/resources/CPU", 2, "the head takes tasks"),
        ("aws", "available_node_types/training/idle_timeout_s", None, "no idle_timeout_s"),
        ("aws", "max_workers", 3, "below the sum"),
        ("aws", "docker/run_options", [], "no RAY_AUTH_MODE in the shell"),
        ("onprem", "setup_commands", [], "no RAY_AUTH_MODE in the shell"),
        ("onprem", "worker_start_ray_commands", ["RAY_AUTH_MODE=token ray start --address=a"], "no --node-ip-address"),
        ("gcp", GCP + "machinetype", "g2-standard-16", "machinetype"),
        ("gcp", GCP + "scheduling/0/preemptable", True, "preemptable"),
        ("gcp", GCP + "disks/0/initializeParams/diskSizeGB", 10, "diskSizeGB"),
        ("gcp", GCP + "serviceAccounts/0/scope", "x", "scope"),
        ("gcp", "file_mounts/x", "constraint.txt", "no constraint.txt"),
        ("onprem", "provider/worker_ip", [], "worker_ip"),
        ("onprem", "provider/worker_ips/0", "node-2", "node-2"),
        ("onprem", "min_workers", 3, "not the number of worker_ips"),
        ("onprem", "worker_start_ray_commands/1", "export RAY_AUTH_MODE=token; ray start --adress=x", "--adress"),
        ("onprem", "worker_start_ray_commands/1", "ray start --address=x", "no RAY_AUTH_MODE"),
        ("local", "head_start_ray_commands/1", "export RAY_AUTH_MODE=token; ray start --head", "no autoscaler"),
        ("local", "head_start_ray_commands/0", "ray stopp", "no command stopp"),
    ],
)  # fmt: skip
def test_our_check_finds_what_ray_lets_through(name, place, value, words):
    document = changed(read(name), place, value)
    assert any(words in complaint for complaint in checks.launcher(document))


HEAD, GROUP = "spec/headGroupSpec/", "spec/workerGroupSpecs/0/"
BOX = GROUP + "template/spec/containers/0/"


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("kuberay-raycluster", "apiVersion", "ray.io/v1alpha1", "ray.io/v1"),
        ("kuberay-raycluster", "kind", "RayClusters", "RayClusters"),
        ("kuberay-raycluster", "metadata/name", "Siftloom", "Siftloom"),
        ("kuberay-raycluster", "spec/headGroupSpec", None, "'headGroupSpec' is a required property"),
        ("kuberay-raycluster", "spec/authOptions", None, "authOptions"),
        ("kuberay-raycluster", HEAD + "rayStartParams/num-cpus", 0, "0 is not of type 'string'"),
        ("kuberay-raycluster", HEAD + "rayStartParams/num-cpus", "4", "the head takes tasks"),
        ("kuberay-raycluster", HEAD + "rayStartParams/num-cpu", "0", "--num-cpu"),
        ("kuberay-raycluster", GROUP + "minReplica", 1, "minReplica"),
        ("kuberay-raycluster", GROUP + "maxReplicas", None, "maxReplicas"),
        ("kuberay-raycluster", GROUP + "replicas", 99, "not between"),
        ("kuberay-raycluster", GROUP + "rayStartParams/memory", "1Gi", "--memory"),
        ("kuberay-raycluster", GROUP + "template/spec/securityContext", None, "securityContext"),
        ("kuberay-raycluster", BOX + "imag", "x", "imag"),
        ("kuberay-raycluster", BOX + "image", None, "image"),
        ("kuberay-raycluster", BOX + "resources/limits/memory", "64Gi", "limits differ"),
        ("kuberay-raycluster", BOX + "resources/limits/memory", "64 GB", "64 GB"),
        ("kuberay-raycluster", BOX + "volumeMounts/0/name", "stores", "mounts and volumes differ"),
        ("kuberay-rayjob", "spec/entrypoint", None, "entrypoint"),
        ("kuberay-rayjob", "spec/entrypoint", "python -m siftloom run x.yaml --stor /store", "--stor"),
        ("kuberay-rayjob", "spec/rayClusterSpecs", {}, "rayClusterSpecs"),
        ("kuberay-rayjob", "spec/rayClusterSpec/workerGroupSpecs/0/template/spec/container", [], "container"),
    ],
)  # fmt: skip
def test_our_check_finds_in_kubernetes_files(name, place, value, words):
    assert any(words in complaint for complaint in checks.kubernetes(changed(read(name), place, value)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image: rayproject/ray:2.59.0-py311", "Ray 2.59.0"),
        ("image: rayproject/ray:2.60.9-py311", "constraints.txt"),
        ("rayVersion: '2.61.0'", "Ray 2.61.0"),
        ("FROM rayproject/ray:2.60.0-py310", "Python 3.10"),
        ("dist/siftloom-9.1.0-py3-none-any.whl", "siftloom 9.1.0"),
        ("image: REGISTRY/siftloom:9.1.0", "siftloom 9.1.0"),
    ],
)
def test_another_version_is_found(text, words):
    (complaint,) = checks.versions(text)
    assert words in complaint


@pytest.mark.parametrize(
    "line",
    [
        "ray upp clusters/aws.yaml",
        "ray start --head --dashboard-hosts=127.0.0.1",
        "ray job submit --workingdir . -- python -m siftloom run x.yaml",
        "ray job submit --working-dir . -- python -m siftloom run x.yaml --stor s3://bucket/runs",
        "siftloom submit mine.yaml --adress http://127.0.0.1:8265",
        "siftloom submitt mine.yaml",
    ],
)
def test_a_misspelt_command_is_found(line):
    assert checks.by_program(line)
