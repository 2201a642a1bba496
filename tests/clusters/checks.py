"""What is looked at in a cluster file. Each check returns its complaints, so that a test can also ask it for one."""

from __future__ import annotations

import contextlib
import copy
import io
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
from packaging.specifiers import SpecifierSet

from tests.clusters import schemas

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "clusters"
LAUNCHERS = ("local", "onprem", "aws", "gcp")
SEPARATORS = re.compile(r"\s*(?:;|&&|\|\||\n)\s*")


def by_schema(document: Any, schema: schemas.Schema) -> list[str]:
    errors = jsonschema.Draft202012Validator(schema).iter_errors(document)
    return [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


# launcher files ------------------------------------------------------------------------------------------------------


def by_ray(config: dict[str, Any]) -> list[str]:
    """What `ray up` itself would say before it starts anything."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    words = io.StringIO()
    try:
        with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
            validate_config(prepare_config(copy.deepcopy(config)))
    except jsonschema.ValidationError as error:
        return [error.message]
    except (Exception, SystemExit) as error:  # the launcher leaves with click's exceptions, with or without words
        return [f"{error} {words.getvalue()}".strip() or type(error).__name__]
    return []


def launcher(config: dict[str, Any]) -> list[str]:
    """What Ray lets through: the insides of `provider` and `node_config`, and the sense of the whole."""
    kind = config["provider"].get("type")
    if kind not in schemas.PROVIDERS:
        return [f"provider.type: {kind} is none of {', '.join(schemas.PROVIDERS)}"]
    found = by_schema(config["provider"], schemas.PROVIDERS[kind])
    types = config.get("available_node_types", {})
    for name, node in types.items():
        found += [f"{name}.{complaint}" for complaint in by_schema(node["node_config"], schemas.NODES[kind])]
        if name == config["head_node_type"]:
            if node["resources"].get("CPU") != 0 or node.get("max_workers") != 0:
                found.append(f"{name}: the head takes tasks, or workers are made of it")
        elif "idle_timeout_s" not in node or "min_workers" not in node:
            found.append(f"{name}: no idle_timeout_s or no min_workers")
    if sum(node.get("min_workers", 0) for node in types.values()) > config["max_workers"]:
        found.append("max_workers is below the sum of min_workers")
    if kind == "local" and config["min_workers"] != len(config["provider"]["worker_ips"]):
        found.append("min_workers is not the number of worker_ips")
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    shells = [*config.get("setup_commands", []), *config.get("docker", {}).get("run_options", [])]
    if not any("RAY_AUTH_MODE=token" in text for text in shells):
        found.append("no RAY_AUTH_MODE in the shell of `ray exec`")
    for command in (command for command in starts if "ray start" in command):
        if config["provider"].get("worker_ips") and "--node-ip-address" not in command:
            found.append(f"no --node-ip-address, which needs a default route: {command}")
        if "RAY_AUTH_MODE=token" not in command:
            found.append(f"no RAY_AUTH_MODE before: {command}")
        if "--address" not in command and "--autoscaling-config=~/ray_bootstrap_config.yaml" not in command:
            found.append(f"no autoscaler on the head: {command}")
    for command in (command for text in starts for command in SEPARATORS.split(text)):
        found += by_program(command)
    for remote, local in config["file_mounts"].items():
        if not local.startswith(("~", "dist/")) and not (ROOT / local).exists():
            found.append(f"file_mounts {remote}: no {local} in the repository")
    return found


# Kubernetes ----------------------------------------------------------------------------------------------------------


def kubernetes(document: dict[str, Any]) -> list[str]:
    kind = document.get("kind")
    if kind not in schemas.MANIFESTS:
        return [f"kind: {kind} is none of {', '.join(schemas.MANIFESTS)}"]
    found = by_schema(document, schemas.MANIFESTS[kind])
    if found or kind == "PersistentVolumeClaim":
        return found
    spec = document["spec"]
    cluster = spec.get("rayClusterSpec", spec)
    if cluster["headGroupSpec"]["rayStartParams"].get("num-cpus") != "0":
        found.append("the head takes tasks")
    groups = cluster["workerGroupSpecs"]
    for group in groups:
        if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
            found.append(f"{group['groupName']}: replicas are not between minReplicas and maxReplicas")
    for group in [cluster["headGroupSpec"], *groups]:
        options = " ".join(f"--{name}={value}" for name, value in group["rayStartParams"].items())
        found += by_program(
            f"ray start --head {options}".replace("--disable-usage-stats=true", "--disable-usage-stats")
        )
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        if {mount["name"] for mount in container["volumeMounts"]} != {volume["name"] for volume in pod["volumes"]}:
            found.append(f"{container['name']}: mounts and volumes differ")
        if container["resources"]["requests"] != container["resources"]["limits"]:
            found.append(f"{container['name']}: limits differ from requests")
    if "entrypoint" in spec:
        found += by_program(spec["entrypoint"])
    return found


def by_crd(document: dict[str, Any], folder: Path) -> list[str]:
    """Against KubeRay's own definitions (`ray.io_rayclusters.yaml`, `ray.io_rayjobs.yaml`),
    with unknown fields refused."""
    import yaml

    text = (folder / f"ray.io_{document['kind'].lower()}s.yaml").read_text()
    (version,) = [
        v for v in yaml.safe_load(text)["spec"]["versions"] if v["name"] == document["apiVersion"].split("/")[1]
    ]
    schema = _strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {}
    return by_schema(document, schema)


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") is True:
        return {"type": ["integer", "string"]}
    closed = isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema
    keeps = schema.get("x-kubernetes-preserve-unknown-fields") is True
    plain = {name: _strict(part) for name, part in schema.items() if not name.startswith("x-kubernetes-")}
    return (
        {**plain, "additionalProperties": False} if closed and not keeps and schema.get("type") == "object" else plain
    )


# commands ------------------------------------------------------------------------------------------------------------


def by_program(line: str) -> list[str]:
    """A command line of Ray or siftloom, put before the parser of the installed program; nothing is run."""
    words = shlex.split(line)
    if words[:3] == ["python", "-m", "siftloom"]:
        words = words[2:]
    if not words or words[0] not in ("ray", "siftloom"):
        return []
    command: Any = _program(words[0])
    rest = words[1:]
    found = by_program(shlex.join(rest[rest.index("--") + 1 :])) if "--" in rest else []  # what `ray job submit` runs
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            return [*found, f"{line}: no command {' '.join(rest[:1])}"]
        command = command.commands[rest.pop(0)]
    try:
        command.make_context(command.name, rest)
    except Exception as error:  # Ray stands on click, typer on a copy of it, so there are two classes of the same error
        if not hasattr(error, "format_message"):
            raise
        found.append(f"{line}: {error.format_message()}")
    return found


def _program(name: str) -> Any:
    if name == "ray":
        from ray.scripts.scripts import cli

        return cli
    import typer

    from siftloom.cli.main import app

    return typer.main.get_command(app)


def typed_lines(path: Path) -> Iterator[str]:
    """The commands that the comment at the head of a file, or a block of a page, tells the reader to type."""
    text = path.read_text()
    if path.suffix == ".md":
        for block in re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            yield from block.splitlines()
    else:
        for line in re.findall(r"^#   (\S.*)$", text, re.MULTILINE):
            yield re.sub(r"\s+#.*$", "", line)


# versions ------------------------------------------------------------------------------------------------------------


def versions(text: str) -> list[str]:
    """Every version of Ray, Python and siftloom that a file names must be that of pyproject.toml, constraints.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = [need.split("]")[1] for need in project["dependencies"] if need.startswith("ray[")]
    (pinned,) = re.findall(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    rays = re.findall(r"rayproject/ray:([\d.]+)", text) + re.findall(r"rayVersion: *['\"]?([\d.]+)", text)
    found = [
        f"Ray {ray}: pyproject.toml wants {wanted}, constraints.txt {pinned}"
        for ray in rays
        if ray not in SpecifierSet(wanted) or ray != pinned
    ]
    for major, minor in re.findall(r"rayproject/ray:[\d.]+-py(\d)(\d+)", text):
        if f"{major}.{minor}" not in SpecifierSet(project["requires-python"]):
            found.append(f"Python {major}.{minor}: pyproject.toml wants {project['requires-python']}")
    ours = re.findall(r"siftloom-([\d.]+)-py3-none-any\.whl", text) + re.findall(r"REGISTRY/siftloom:([\d.]+)", text)
    found += [f"siftloom {one}: pyproject.toml says {project['version']}" for one in ours if one != project["version"]]
    return found
