"""`siftloom submit`: weigh the package, ask every node for its versions, start the job, follow it to its end."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import RecipeError, UserError
from pipeline.files.address import Address
from pipeline.files.secrets import masked
from pipeline.quantities import size
from pipeline.safe_text import visible
from siftloom.private_files import private_files
from siftloom.recipe import open_recipe
from siftloom.screen import say, say_json

if TYPE_CHECKING:
    from pipeline.ray_runtime.job_server import Package

PASSED_ON = ("SIFTLOOM_LEASE_SECONDS",)
PARTS = 20  # files and folders of the working directory that are listed
PRIVATE = 8  # private files that an error names


def submit(
    recipe: str,
    nodes: list[str],
    address: str | None,
    store: str | None,
    changes: list[str],
    folder: str,
    send: list[str],
    wait: bool,
    as_json: bool,
) -> int:
    """Return the exit code of the run. Raises UserError before a job is started.

    send  files that are sent although they look private
    """
    from pipeline.ray_runtime.job_server import JobServer, largest_package, measure

    found, graph = open_recipe(recipe, nodes, changes)
    place = shared_store(store or found.store)
    for change in changes:
        if masked(change) != change:
            raise UserError(
                f"-s {change}", "a key, which the job's command line would show to everybody",
                "credentials in the environment of the nodes", "leave it out of the URI (docs/store.md)",
            )  # fmt: skip
    script = inside(recipe, folder)
    package = measure(folder)
    parts = package.by_part()
    summary = {"bytes": package.bytes, "files": len(package.files), "parts": parts}
    if not as_json:
        say(f"package  {folder}: {len(package.files):,} files, {size(package.bytes)} before packing")
        for name, files, count in parts[:PARTS]:
            say(f"  {size(count):>10}  {name}" + (f"  {files:,} files" if name.endswith("/") else ""))
        if rest := parts[PARTS:]:
            say(f"  {size(sum(count for *_, count in rest)):>10}  {len(rest):,} more files and folders")
    refuse_private(folder, package, send)
    if package.bytes > 4 * largest_package():
        raise UserError(
            f"working directory {folder}", f"{size(package.bytes)} in {len(package.files):,} files",
            f"a folder that packs into {size(largest_package())}",
            "list files that the job does not need in .rayignore",
        )  # fmt: skip
    jobs = JobServer(address or os.environ.get("RAY_API_SERVER_ADDRESS") or "http://127.0.0.1:8265")
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    check_nodes(jobs, folder, place, env, found.name, as_json)
    command = ["python", "-m", "siftloom", "run", script, *nodes, "--store", place]
    for change in changes:
        command += ["-s", change]
    name = f"{found.name}-{_digest(graph)}"
    job = jobs.submit(command, name=name, folder=folder, metadata={"run": found.name, "store": place}, env=env)
    if not as_json:
        say(f"job      {job}: {shlex.join(command)}")
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


def refuse_private(folder: str, package: Package, send: list[str]) -> None:
    """Raise UserError for files that look as if they hold keys or passwords, but for those in `send`.

    Everybody who reaches the cluster can read what it is sent.
    """
    names = [name for name, _ in package.files]
    if unknown := set(send) - set(names):
        raise UserError(
            f"--send {min(unknown)}", "no file of the package", f"a path below {folder}, as the package names it"
        )
    found = sorted(set(private_files(Path(folder), names)))
    private = [f"{name} ({why})" for name, why in found if name not in send]
    if private:
        more = [f"{len(private) - PRIVATE} more"] if len(private) > PRIVATE else []
        raise UserError(
            f"working directory {folder}", f"files that look private: {', '.join([*private[:PRIVATE], *more])}",
            "a package without keys and passwords, which everybody on the cluster could read",
            "list them in .rayignore, or name one that the job needs with --send FILE",
        )  # fmt: skip


def shared_store(store: str | None) -> str:
    """Return a store that every node may reach: a URI without secrets, or an absolute path."""
    if store is None or not (Address(store).remote or os.path.isabs(store)):
        raise UserError(
            f"store {store or 'runs'}", "a relative path for a cluster job",
            "a folder that every node of the cluster shares, or a URI such as s3://bucket/runs", "name it with --store",
        )  # fmt: skip
    if Address(store).secret:
        raise UserError(
            f"store {Address(store)}", "a key in the URI, which the job's command line would show to everybody",
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
    from pipeline.results.run_record import versions
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
        for note in (f for f in findings if f["state"] == "note" and f["what"].startswith("node ")):
            say(f"note     {note['what']}: {note['found']}")


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
    from pipeline.driver.recording import graph_form
    from pipeline.fingerprint import canonical_json

    return hashlib.sha256(canonical_json(graph_form(graph))).hexdigest()[:8]
