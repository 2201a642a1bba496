"""Which kind of store a path or URI means."""

from __future__ import annotations

from pathlib import Path

from pipeline.store.objects import LocalStore, Store


def open_store(uri: str) -> Store:
    """The store at a path, or at any URI that `pyarrow.fs` knows (`s3://`, `gs://`, `hdfs://`)."""
    if "://" in uri and not uri.startswith("file://"):
        from pipeline.store.remote import RemoteStore

        return RemoteStore(uri.rstrip("/"))
    return LocalStore(str(Path(uri.removeprefix("file://")).expanduser().absolute()))
