"""`siftloom submit`: weigh the package, ask every node for its versions, start the job, follow it to its end."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from pipeline.errors import RecipeError, UserError
from pipeline.quantities import size
from pipeline.store.uris import masked
from pipeline.text import visible
from siftloom.recipe import open_recipe
from siftloom.screen import say, say_json

PASSED_ON = ("SIFTLOOM_LEASE_SECONDS",)
LARGEST = 5  # files that are named


def submit(
    recipe: str,
    nodes: list[str],
    address: str | None,
    store: str | None,
    changes: list[str],
    folder: str,
    wait: bool,
    as_json: bool,
) -> int:
    """Return the exit code of the run. Raises UserError before a job is started."""
    from pipeline.ray_runtime.jobs import Jobs, largest_package, measure

    found, graph = open_recipe(recipe, nodes, changes)
    place = shared_store(store or found.store)
    script = inside(recipe, folder)
    package = measure(folder)
    summary = {"bytes": package.bytes, "files": len(package.files), "largest": package.files[:LARGEST]}
    if not as_json:
        say(f"package  {folder}: {len(package.files):,} files, {size(package.bytes)} before packing")
        for name, count in package.files[:LARGEST]:
            say(f"  {size(count):>10}  {name}")
    if package.bytes > 4 * largest_package():
        raise UserError(
            f"working directory {folder}", f"{size(package.bytes)} in {len(package.files):,} files",
            f"a folder that packs into {size(largest_package())}",
            "list files that the job does not need in .rayignore",
        )  # fmt: skip
    jobs = Jobs(address or os.environ.get("RAY_API_SERVER_ADDRESS") or "http://127.0.0.1:8265")
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    check_nodes(jobs, folder, place, env, found.name, as_json)
    parts = ["python", "-m", "siftloom", "run", script, *nodes, "--store", place]
    for change in changes:
        parts += ["-s", change]
    name = f"{found.name}-{_digest(graph)}"
    job = jobs.submit(parts, name=name, folder=folder, metadata={"run": found.name, "store": masked(place)}, env=env)
    if not as_json:
        say(f"job      {job}: {shlex.join(map(masked, parts))}")
    if not wait:
        say_json({"job": job, "package": summary}) if as_json else say(f"follow it with: ray job logs -f {job}")
        return 0
    log = sys.stderr if as_json else sys.stdout
    code = jobs.follow(job, lambda text: print(visible(text), end="", file=log, flush=True))
    if as_json:
        say_json({"job": job, "exit_code": code, "package": summary})
    elif code:
        say(f"{job} ended with exit code {code}: {jobs.message(job)}\ngo on with the same command")
    return code


def shared_store(store: str | None) -> str:
    """Return a store that every node may reach: a URI without secrets, or an absolute path."""
    if store is None or ("://" not in store and not os.path.isabs(store)):
        raise UserError(
            f"store {store or 'runs'}", "a relative path for a cluster job",
            "a folder that every node of the cluster shares, or a URI such as s3://bucket/runs", "name it with --store",
        )  # fmt: skip
    if masked(store) != store:
        raise UserError(
            f"store {masked(store)}", "a key in the URI, which the job's command line would show to everybody",
            "credentials in the environment of the nodes, or the role of the machines",
            "leave it out of the URI (docs/store.md)",
        )  # fmt: skip
    return store


def inside(recipe: str, folder: str) -> str:
    """Return the recipe's path within the working directory that is sent."""
    root, path = Path(folder).resolve(), Path(recipe).resolve()
    if not path.is_relative_to(root):
        raise RecipeError(
            recipe,
            f"a file outside {root}",
            "a recipe in the folder that is sent",
            "name its folder with --working-dir",
        )
    return str(path.relative_to(root))


def check_nodes(jobs: Any, folder: str, store: str, env: dict[str, str], name: str, as_json: bool) -> None:
    """Run `siftloom doctor` on the cluster: versions on head and workers, and whether each node reaches the store."""
    from pipeline.store.record import versions
    from siftloom.run import LIBRARIES

    entry = ["python", "-m", "siftloom", "doctor", "--address", "auto", "--store", store, "--json"]
    expected = {"SIFTLOOM_EXPECTED_VERSIONS": json.dumps(versions(LIBRARIES))}
    job = jobs.submit(entry, name=f"{name}-check", folder=folder, metadata={"check": name}, env=env | expected)
    log: list[str] = []
    code = jobs.follow(job, log.append)
    findings = _findings("".join(log))
    if findings is None:
        raise UserError(
            f"job {job}", f"the job ended with exit code {code} before the check of the cluster: {_last(log)}",
            "a cluster with the project's requirements installed, started from their environment",
            f"ray job logs {job}",
        )  # fmt: skip
    bad = [finding for finding in findings if finding["state"] == "bad"]
    if bad:
        error = UserError(bad[0]["what"], bad[0]["found"], bad[0].get("expected", ""), bad[0].get("then", ""))
        for finding in bad[1:]:
            error.add_note(f"{finding['what']}: {finding['found']}")
        raise error
    if not as_json:
        say(f"cluster  {', '.join(f['found'] for f in findings if f['what'] == 'nodes')}; versions agree")


def _findings(log: str) -> list[dict[str, Any]] | None:
    for line in reversed(log.splitlines()):
        if line.startswith('{"findings"'):
            return json.loads(line)["findings"]
    return None


def _last(log: list[str]) -> str:
    lines = [line for line in "".join(log).splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def _digest(graph: Any) -> str:
    """Return eight digits that name the graph: the same recipe and changes give the same name."""
    from pipeline.fingerprint import canonical_json
    from pipeline.store.record import graph_form

    return hashlib.sha256(canonical_json(graph_form(graph))).hexdigest()[:8]
