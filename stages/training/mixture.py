"""The pack nodes of a training as sources with exact shares."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.contract import Context, Node, too_large
from pipeline.errors import DataError
from stages.documents import LOG_PRIOR

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from stages.tokens.packed_rows import PackedRows
    from stages.training.row_source import RowSource
    from stages.training.training import Training


def sources_of(
    ctx: Context, mixture: Sequence[tuple[Node, float]], slots: int, max_epochs: float | None
) -> tuple[RowSource, ...]:
    """The mixture with shares under the cap of epochs; all sources must have one form of rows. `slots`: rows that the
    whole run reads.
    """
    from stages.tokens.packed_rows import PackedRows
    from stages.training.row_source import RowSource
    from stages.training.sampler import BLOCK, capped_shares

    packed = [PackedRows.of(ctx, ("rows", i)) for i in range(len(mixture))]
    check_rows(packed)
    counts = [rows.rows for rows in packed]
    shares = capped_shares([share for _, share in mixture], counts, slots, max_epochs)
    if shares is None:
        raise DataError(
            "pretrain.max_epochs", f"{slots} rows to be read from {sum(counts)}",
            f"at most {max_epochs} epochs",
            "lower steps or batch_rows, or raise max_epochs",
        )  # fmt: skip
    for (node, _), share in zip(mixture, shares, strict=True):
        if share * BLOCK < 1.0:
            raise DataError(f"pretrain.rows ({node.kind()})", f"a share of {share:.2e}", f"at least 1/{BLOCK}")
    by_range = too_large(file for rows in packed for file, _, _ in rows.files)
    return tuple(
        RowSource(ctx.fingerprint(("rows", i)), replace(rows, by_range=by_range), share)
        for i, (rows, share) in enumerate(zip(packed, shares, strict=True))
    )


def mixture_figures(ctx: Context, asked: Sequence[float]) -> Iterator[dict[str, Any]]:
    """The table of a finished training that read several sources."""
    if len(asked) > 1:
        import pyarrow.parquet as pq

        rows = pq.read_table(ctx.path("train", "all", "/steps.parquet"), columns=["rows"])["rows"]
        run = ctx.read_json("train", ext="/config.json")
        yield mixture_table(asked, run, rows.combine_chunks().flatten().to_numpy())


def mixture_table(asked: Sequence[float], run: Mapping[str, Any], seen: np.ndarray) -> dict[str, Any]:
    """What was asked of a mixture and what it got, as a table of the report.

    asked  shares in the recipe, any scale
    run    the run's `config.json`
    seen   global row numbers of every batch, in any order
    """
    import numpy as np

    sources = run["sources"]
    firsts = np.array([source["first_row"] for source in sources])
    got = np.bincount(np.searchsorted(firsts, seen, side="right") - 1, minlength=len(sources))
    rows = [
        [
            f"{number}: {source['name'][:12]}", source["rows"], round(share / sum(asked), 4),
            round(int(count) / max(len(seen), 1), 4), int(count) * run["length"], round(int(count) / source["rows"], 2),
        ]
        for number, (source, share, count) in enumerate(zip(sources, asked, got, strict=True), 1)
    ]  # fmt: skip
    return {
        "kind": "table",
        "title": "Mixture: shares of the tokens, asked and got",
        "columns": ["source", "rows", "asked", "got", "tokens seen", "epochs"],
        "rows": rows,
    }


def check_rows(packed: Sequence[PackedRows]) -> None:
    """Raises DataError for the first source of a mixture that is empty, or whose rows are of another form or tokenizer
    than those of the first.
    """
    for i, rows in enumerate(packed):
        if rows.rows == 0:
            raise DataError(f"pretrain.rows[{i}]", "no row", "at least one packed row", "siftloom status")
        form, first = [(r.length, r.vocab_size, r.end_id, r.specials) for r in (rows, packed[0])]
        if form != first:
            raise DataError(
                f"pretrain.rows[{i}]", f"rows of (length, vocabulary, end, special tokens) {form}",
                f"{first}, as in the first",
                "pack all sources with one tokenizer and one length",
            )  # fmt: skip
        if rows.tokenizer != packed[0].tokenizer:
            found, expected = rows.tokenizer[:12], packed[0].tokenizer[:12]
            raise DataError(
                f"pretrain.rows[{i}]", f"the tokenizer {found}", f"{expected}, as in the first",
                "pack all sources with one tokenizer: equal ids stand for other texts",
            )  # fmt: skip


def check_ids(start: Path, rows: Path, added: Sequence[str] = ()) -> None:
    """Raises DataError unless the `tokenizer.json` of the model that a run starts from gives the ids of the rows',
    where the tokens in `added` stand behind them.
    """
    theirs, ours = (_ids(path) for path in (start, rows))
    if missing := [name for name in added if name not in ours or name in theirs]:
        found = "in the tokenizer of the start" if missing[0] in theirs else "not in the tokenizer of the rows"
        raise DataError("pretrain.transform", f"add_tokens: {missing[0]!r}, which is {found}", "new tokens of the rows")
    theirs |= {name: place for place, name in enumerate(added, max(theirs.values(), default=-1) + 1)}
    if theirs != ours:
        word = min(word for word, _ in theirs.items() ^ ours.items())
        raise DataError(
            "pretrain.start", f"a tokenizer whose {word!r} is {theirs.get(word)}", f"{ours.get(word)}, as in the rows",
            "pack the rows with the tokenizer of the model, or start from a draw",
        )  # fmt: skip


def _ids(tokenizer: Path) -> dict[str, int]:
    definition = json.loads(tokenizer.read_text(encoding="utf-8"))
    return {**definition["model"]["vocab"], **{token["content"]: token["id"] for token in definition["added_tokens"]}}


def check_reference(training: Training) -> None:
    """Raises DataError for the first row without a finite value of a column that losses are compared with."""
    import numpy as np

    node = training.node
    ways = dict.fromkeys(node.reads_of_groups, "likelihood") | dict.fromkeys(
        filter(None, [node.reference]), "score_loss"
    )
    for place, source in enumerate(training.sources):
        for name, way in ways.items():
            values = source.rows.means(name, np.arange(source.rows.rows))
            if len(wrong := np.flatnonzero(~np.isfinite(values))):
                raise DataError(
                    f"pretrain.rows[{place}], row {wrong[0]}", f"{len(wrong)} rows in which a document has no {name}",
                    "a number for every document", f"{way} on the documents that are packed",
                )  # fmt: skip


def check_priors(training: Training) -> None:
    """Raises DataError for the first row whose weight is no number, and for a source without a row that has weight."""
    import numpy as np

    names = list(training.node.order.reads if training.node.order.weighs else [LOG_PRIOR] * training.prior_in_loss)
    for place, source in enumerate(training.sources):
        for name in (name for name in names if source.rows.carries(name)):
            values = source.rows.means(name, np.arange(source.rows.rows))
            if len(wrong := np.flatnonzero(values == np.inf)):
                raise DataError(
                    f"pretrain.rows[{place}], row {wrong[0]}", f"a {name} of inf, in {len(wrong)} rows",
                    "the logarithm of a weight, -inf for weight 0",
                )  # fmt: skip
            if (values == -np.inf).all():
                raise DataError(f"pretrain.rows[{place}]", f"a {name} of -inf in all rows", "a row of some weight")
