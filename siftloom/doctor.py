"""`siftloom doctor`: checks the environment, the packages, and whether every node of a cluster reaches the store.

A finding is {"what", "state": "good" | "note" | "bad", "found", "expected", "then"}.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.errors import SiftloomError
from pipeline.files.address import Address
from pipeline.quantities import size
from siftloom.packages import PACKAGES
from siftloom.screen import table

OURS = ("siftloom", *PACKAGES)
MIN_DISK, MIN_MEMORY = 2 * 1024**3, 4 * 1024**3
Finding = dict[str, Any]


def examine(store: Address, address: str | None) -> list[Finding]:
    """Return all findings; the environment comes first."""
    findings = [_python(), *_modules(), *_packages(), _fasttext(), _memory(), *_store(store)]
    if address:
        findings += _cluster(address, store)
    return findings


def show(findings: list[Finding]) -> None:
    rows = []
    for finding in findings:
        more = [f"expected {finding['expected']}"] if finding.get("expected") else []
        more += [f"next: {finding['then']}"] if finding.get("then") else []
        rows.append((finding["state"], finding["what"], "; ".join([finding["found"], *more])))
    table(("", "what", "found"), rows)


def _finding(what: str, good: bool, found: str, expected: str = "", then: str = "", state: str = "") -> Finding:
    finding = {"what": what, "state": state or ("good" if good else "bad"), "found": found}
    return finding if good else finding | {"expected": expected, "then": then}


def _python() -> Finding:
    found = sys.version.split()[0]
    return _finding("python", sys.version_info >= (3, 11), found, "3.11 or later", "install a newer Python")


def _modules() -> Iterator[Finding]:
    """Check that our packages, which have common names, are the ones found (docs/adr/0001)."""
    home = Path(__file__).resolve().parent.parent
    for name in OURS:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        good = found is not None and found.parent.parent == home
        yield _finding(
            f"module {name}", good, str(found.parent) if found else "not found", str(home / name),
            f"rename or remove {found}, which shadows it" if found else "install siftloom again",
        )  # fmt: skip


def _packages() -> Iterator[Finding]:
    """Compare the requirements of the project with the installed packages."""
    from packaging.requirements import Requirement

    try:
        required = metadata.requires("siftloom") or []
    except metadata.PackageNotFoundError:
        yield _finding("packages", True, "a bare checkout: requirements are not recorded", state="note")
        return
    for text in required:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            found = ""
        good = bool(found) and requirement.specifier.contains(found, prereleases=True)
        then = f"pip install '{requirement}'"
        yield _finding(requirement.name, good, found or "not installed", str(requirement.specifier) or "any", then)


def _fasttext() -> Finding:
    """Find the build of fastText: two wheels bring a module `fasttext`, and one fails with NumPy 2 (docs/adr/0005)."""
    builds = []
    for name in ("fasttext-community", "fasttext", "fasttext-wheel"):
        try:
            builds.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    good = len(builds) == 1 and builds[0].startswith("fasttext-community")
    then = "pip uninstall fasttext fasttext-wheel; pip install --force-reinstall fasttext-community"
    return _finding("fasttext build", good, ", ".join(builds) or "none", "fasttext-community alone", then)


def _memory() -> Finding:
    import psutil

    total, cpus = psutil.virtual_memory().total, os.cpu_count() or 1
    found = f"{size(total)}, {cpus} CPUs"
    return _finding("memory", total >= MIN_MEMORY, found, f"{size(MIN_MEMORY)} or more", "run on a larger machine")


def _store(uri: Address) -> Iterator[Finding]:
    from pipeline.files.open_store import open_store

    name = f"doctor-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        store = open_store(uri)
        store.write(name, b"siftloom")
        same = store.read(name) == b"siftloom"
        store.delete(name)
    except (SiftloomError, OSError) as error:
        yield _finding(
            f"store {uri}", False, str(error), "a store that can be written and read", "name one with --store"
        )
        return
    yield _finding(f"store {uri}", same, "written and read back" if same else "read back other bytes", "the same bytes")
    free = store.free_bytes()
    if free is not None:
        yield _finding("disk", free >= MIN_DISK, f"{size(free)} free", f"{size(MIN_DISK)} or more", "free space")


def _cluster(address: str, store: Address) -> Iterator[Finding]:
    from pipeline.ray_runtime.machines import ask_nodes
    from pipeline.results.run_record import versions
    from siftloom.run import LIBRARIES

    here = json.loads(os.environ.get("SIFTLOOM_EXPECTED_VERSIONS", "null")) or versions(LIBRARIES)
    answers = ask_nodes(address, store, LIBRARIES)
    yield _finding("nodes", bool(answers), f"{len(answers)} nodes answer", "at least one", "ray status")
    for answer in answers:
        where = f"node {answer['host']}"
        if answer["error"]:
            yield _finding(where, False, answer["error"], "a node that runs tasks and shares the store", "ray status")
            continue
        yield _same_versions(where, answer["versions"], here)
        if answer["address"].startswith("127."):
            yield _finding(
                where, False, f"the address {answer['address']}, which no other machine reaches",
                "an address of the network", "ray start --node-ip-address=ADDRESS on every machine, the head first",
                "note",
            )  # fmt: skip
    pythons = sorted({answer["python"] for answer in answers if not answer["error"]})
    if not pythons:
        return
    yield _finding(
        "interpreter", len(pythons) == 1, ", ".join(pythons), "one path on all nodes",
        "put the environment at one path: a driver tells its tasks where packages lie",
    )  # fmt: skip


def _same_versions(where: str, there: dict[str, str], here: dict[str, str]) -> Finding:
    """Compare a node's versions with those where a run is started from. Another build of the same version is allowed:
    it may give other bits.
    """
    differ = [
        f"{name} {there.get(name)}, here {version}" for name, version in here.items() if there.get(name) != version
    ]
    other = [name for name, version in here.items() if public(name, there.get(name, "")) != public(name, version)]
    if other:
        wanted, then = "the same versions as where it is started from", "install the same requirements on every node"
        return _finding(where, False, ", ".join(differ), wanted, then)
    if differ:
        found = f"{', '.join(differ)}: another build, whose results may differ in their last bits"
        return _finding(where, True, found, state="note")
    return _finding(where, True, "the same versions")


def public(name: str, version: str) -> str:
    """What of a version must agree: of Python the first two numbers, of a package all but the build (`+cpu`)."""
    return ".".join(version.split(".")[:2]) if name == "python" else version.partition("+")[0]
