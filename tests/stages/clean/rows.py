"""A rule set applied to texts, without the engine."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from stages.read.read import Read

DOCS = Read(paths=("unread",))


def applied(node: Any, texts: list[str | None] | None = None, ctx: Any = None, **columns: Any):
    """(columns by name, reason of each document, its text afterwards)."""
    table = pa.table({**({} if texts is None else {"text": pa.array(texts, pa.string())}), **columns})
    found = node.open(ctx)(table)
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in node.adds().items()])
    scores = pa.table({name: pa.array(found.added[name], schema.field(name).type) for name in schema.names})
    removed = node.decide(scores)
    reasons = [None] * len(scores) if removed is None else removed.reason.to_pylist()
    assert set(reasons) <= {None, *node.reasons}
    assert set(node.histograms) <= set(node.adds())
    new = [None] * len(scores) if found.text is None else pa.array(found.text, pa.string()).to_pylist()
    after = [b if b is not None else a for a, b in zip(texts or new, new, strict=True)]
    return scores.to_pydict(), reasons, after
