"""The file of the model that a training starts from."""

from __future__ import annotations

import hashlib

from pipeline.contract import StoredFile


def digest_of(file: StoredFile) -> str:
    """SHA-256, as its store has it on record, or read."""
    if file.sha256:
        return file.sha256
    with open(file.local(), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
