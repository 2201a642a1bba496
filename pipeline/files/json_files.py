"""JSON files of a store, read with a named error where one is damaged."""

from __future__ import annotations

import json
from typing import Any

from pipeline.errors import StoreError
from pipeline.files.objects import Store


def read_json(store: Store, name: str, then: str) -> Any | None:
    """What a JSON file holds, None where there is no file. Raises StoreError for a damaged one; `then` is the next
    command, which mends it.
    """
    data = store.read(name)
    if data is None:
        return None
    try:
        return json.loads(data)
    except ValueError as error:
        raise StoreError(store.uri(name), f"damaged: {error}", "the JSON that a run wrote", then) from None
