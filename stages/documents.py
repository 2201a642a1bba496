"""The row contract: the columns of a document, their types and their meaning.

A base shard holds, in this order:

    id         string  `<source digest, 12 hex>:<row>`: the beginning of the source file's SHA-256 and the row
                       in that file, from 0; of a second equal file `<digest>.1:<row>`. For JSON lines and text
                       lines the row is the line number, so a document is found again without an index
    text       string  valid UTF-8, never null, never blank, no NUL
    source     string  where the document comes from, as the data itself says (a field of that name), else
                       null. Never the file's name: `read` is identified by what the files hold, so its rows
                       must not depend on how they are called
    source_id  string  the user's own id, null where there is none
    ...        the kept columns of the user
    source_fields  string  every other field of the record, one JSON object in the record's own order; null where
                   there is none. Not there with a `keep` without `*`. `write` lays its fields out again

Stages add columns beside these. The ones that other stages look for by name stand below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.contract import DocumentRow, FinishedNode, Node

if TYPE_CHECKING:
    import pyarrow as pa

ID, TEXT, SOURCE, SOURCE_ID = "id", "text", "source", "source_id"
SOURCE_FIELDS = "source_fields"
BASE_COLUMNS = {ID: "string", TEXT: "string", SOURCE: "string", SOURCE_ID: "string"}
RESERVED = (*BASE_COLUMNS, SOURCE_FIELDS, "state", "_row")  # names that a user's column cannot have

LANG, LANG_P = "lang", "lang_p"  # `language`
HELD_OUT = "held_out"  # `split`
HALF = "half"  # `halves`
REF_LOSS, REF_TOKENS = "ref_loss", "ref_tokens"  # `score_loss`
LOG_PRIOR = "log_prior"  # `loss_weights`: the logarithm of the weight that training gives a document
CLUSTER_ID = "cluster_id"  # dedup: equal for near-duplicates of one another, null for the others
# Nodes that make new documents from documents: the ids of all that one was made from, and the place of the first one
# (base, shard and row; null where it was not made from the rows of one shard).
PARENTS = "parents"
PARENT = {PARENTS: "list<string>", "parent_base": "string", "parent_shard": "string", "parent_row": "int64"}

DIGEST_DIGITS = 12


def id_prefix(digest: str, copy: int = 0) -> str:
    """Return the beginning of the ids of a source file's rows; `copy` equal files precede it in the listing."""
    return f"{digest[:DIGEST_DIGITS]}.{copy}" if copy else digest[:DIGEST_DIGITS]


def document_id(digest: str, row: int, copy: int = 0) -> str:
    """The id of the row `row` of the source file with this SHA-256."""
    return f"{id_prefix(digest, copy)}:{row}"


def columns_of(docs: Node | tuple[Node, ...]) -> dict[str, str]:
    """Every column that the documents carry -> its Arrow type name; of several inputs, what all of them carry.

    Known before anything has run, so a phase may ask for columns that are used only when they are there.
    """
    if not isinstance(docs, Node):
        one, *others = (columns_of(node) for node in docs)
        return {name: kind for name, kind in one.items() if all(other.get(name) == kind for other in others)}
    parents = getattr(docs, docs.stream, None)
    if parents is None or (docs.new_base is not None and not docs.carries):
        inherited = {ID: "string", TEXT: "string"}
    else:
        inherited = columns_of(parents)
    return {**inherited, **docs.adds()}


def carried(docs: Node | tuple[Node, ...], *names: str) -> tuple[str, ...]:
    """Those of the columns that the documents carry, in the order asked for."""
    have = columns_of(docs)
    return tuple(name for name in names if name in have)


def cluster_or_id(table: pa.Table) -> list[str]:
    """What a draw that must not part near-copies derives from: the duplicate cluster of each row where one is named,
    else its id.
    """
    import pyarrow.compute as pc

    name = table[ID]
    if CLUSTER_ID in table.column_names:
        name = pc.coalesce(table[CLUSTER_ID].cast("string"), name)
    return name.to_pylist()


def given_or_not(ctx: FinishedNode, row: DocumentRow) -> Mapping[str, Any]:
    """Return the answer of a trainer that skips held-out documents: whether it was given this one."""
    given = ctx.reached and not row.columns.get(HELD_OUT)
    return {"state": "given" if given else "not given"}
