"""The record of a run: names, and the versions of the packages that outputs may depend on."""

from __future__ import annotations

import json
import platform
import threading
from importlib import metadata

import pytest
from nodes import Lines, Long

from pipeline.driver.ledger import Ledger
from pipeline.driver.recording import claim_name, write_run
from pipeline.errors import RecipeError, StoreError
from pipeline.files.objects import LocalStore
from pipeline.files.sources import digest_file, save_digests
from pipeline.graph import build
from pipeline.results.lease import Leases
from pipeline.results.run_record import read_run, run_names, versions


def test_versions_are_those_of_the_packages_that_are_asked_for():
    assert versions(["numpy", "no-such-package"]) == {
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
        "no-such-package": "not installed",
    }


def test_recipes_of_one_name_that_begin_at_once_are_runs_of_their_own(tmp_path):
    store, gate, labels = LocalStore(str(tmp_path)), threading.Barrier(8), []

    def claim(number: int) -> None:
        leases = Leases(store)
        graph = build([Long(docs=Lines(paths=("in",)), min_chars=number % 4)])
        gate.wait()
        labels.append((claim_name(store, leases, "run", graph), number % 4))
        leases.close()

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({label for label, _ in labels}) == len(set(labels)) == 4
    assert {label for label, _ in labels} == set(run_names(store, "run"))


def test_what_is_shown_of_a_run_holds_no_secret(tmp_path):
    """Its recipe and its fields stand in the report and on the screen."""
    (tmp_path / "a.txt").write_text("a line\n")
    graph = build([Long(docs=Lines(paths=(str(tmp_path / "a.txt"),)), unit="s3://KEY:S3CRET@bucket/a?region=x")])
    store, recipe = LocalStore(str(tmp_path / "store")), 'store: "az://acc/c/p?sas_token=S3CRET"  # and\nnodes: {}\n'
    leases = Leases(store)
    ledger = Ledger(graph, store)
    for listing in ledger.unknown_listings():
        save_digests(store, listing, [digest_file(entry.path, entry.size) for entry in listing.entries])
    write_run(leases, claim_name(store, leases, "run", graph), ledger, recipe)
    leases.close()
    record = read_run(store, "run") or {}
    assert record["recipe"] == 'store: "az://acc/c/p?sas_token=***"  # and\nnodes: {}\n'
    assert record["form"]["long"]["fields"]["unit"] == "s3://***@bucket/a?region=x"


@pytest.mark.parametrize("folder", ["../../home", "nodes/../..", "/etc", "nodes/long-0123456789ab/data", None])
def test_a_record_that_leads_out_of_the_store_is_refused(tmp_path, folder):
    """Who verifies a store of somebody else's removes receipts in the folders that its records name."""
    store = LocalStore(str(tmp_path))
    node = {"kind": "long", "fingerprint": "0" * 64, "folder": "nodes/long-0123456789ab"}
    for named, fine in (("nodes/long-0123456789ab", True), (folder, False)):
        store.write("runs/first/run.json", json.dumps({"nodes": {"long": node | {"folder": named}}}).encode())
        if fine:
            assert read_run(store, "first")["nodes"]["long"] == node
            continue
        with pytest.raises(StoreError, match=r"run\.json: no record of a run"):
            read_run(store, "first")


@pytest.mark.parametrize("name", ["../other", "a/b", "", ".hidden", "first@2", "a b"])
def test_a_name_that_is_no_folder_of_runs_is_refused(tmp_path, name):
    """In `runs/a/b` nobody would find it again, and two recipes would share one record."""
    store = LocalStore(str(tmp_path))
    leases = Leases(store)
    with pytest.raises(RecipeError, match="letters, digits"):
        claim_name(store, leases, name, build([Long(docs=Lines(paths=("in",)))]))
    leases.close()
    assert not (tmp_path / "runs").exists()
