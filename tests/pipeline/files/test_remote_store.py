"""A whole run in an object store: the same bytes under the same names as on a file system."""

from __future__ import annotations

import hashlib
import tempfile

import pytest
import s3
from drive import finish, start

from pipeline.driver.verify import verify
from pipeline.files.open_store import open_store
from pipeline.run import open_run


@pytest.mark.long
def test_a_run_in_an_object_store_makes_the_same_bytes_and_is_read_back(finished, monkeypatch):
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    for name, value in s3.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    # Ray's sockets lie below the folder for temporary files, and their paths must be short.
    with tempfile.TemporaryDirectory(prefix="s3-") as folder, s3.server() as endpoint:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", folder)
        uri = s3.bucket(endpoint, "whole")
        finish(start(store=uri, paths=finished.paths, cpus=2))
        store = open_store(uri)
        found = {f"nodes/{name}": store.read(f"nodes/{name}") for name in store.sizes("nodes")}
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in found.items() if "/scratch/" not in name}
        assert digests == finished.bytes()
        run = open_run(uri, "whole")
        assert run["common"].rows(["id", "text"]) == finished.open()["common"].rows(["id", "text"])
        assert verify(uri, "whole") == []
        name = f"{run['long'].folder}/data/rows/{run['long'].keys('rows')[1]}.parquet"
        store.write(name, found[name][:-9] + b"otherwise")
        (finding,) = verify(uri, "whole")
        assert (finding.node, finding.file) == ("long", name)
        finish(start(store=uri, paths=finished.paths, here=True))
        assert store.read(name) == found[name]
        assert verify(uri, "whole") == []
