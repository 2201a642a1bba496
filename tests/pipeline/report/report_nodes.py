"""Nodes for the report, which workers import from here: one finds equal first words, one counts letters."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.contract import Columns, Context, Node, Removed, Result, RowNode, ShardPhase, ShardWriter, nothing


@dataclass(frozen=True, kw_only=True, eq=False)
class SameBeginning(RowNode):
    """Remove documents that begin with the four words of an earlier one of the batch."""

    docs: Node

    needs = ("text", "id")
    reasons = ("same_beginning.copy",)

    def adds(self):
        return {"duplicate_of": "string", "letters": "int32"}

    def original_column(self):
        return "duplicate_of"

    def open(self, ctx):
        import pyarrow as pa

        def rows(table) -> Columns:
            first: dict[str, str] = {}
            originals = []
            for name, text in zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True):
                original = first.setdefault(" ".join(text.split()[:4]), name)
                originals.append(original if original != name else None)
            found = pa.array(originals, pa.string())
            letters = pa.array([len(text) for text in table["text"].to_pylist()], pa.int32())
            return Columns(
                added={"duplicate_of": found, "letters": letters},
                removed=Removed.where(found.is_valid(), "same_beginning.copy"),
            )

        return rows

    def figures(self, ctx):
        return [
            {
                "kind": "table",
                "title": "Result",
                "columns": ["what", "score"],
                "rows": [["copies", 0.5]],
                "highlight": 1,
            }
        ]


class LetterCount(ShardWriter):
    def __init__(self, ctx: Context) -> None:
        self.ctx, self.counts = ctx, {"documents": 0, "bytes": 0, "letters": 0, "sheets": 1}

    def add(self, table) -> None:
        for text in table["text"].to_pylist():
            self.counts["documents"] += 1
            self.counts["bytes"] += len(text.encode())
            self.counts["letters"] += sum(letter.isalpha() for letter in text)

    def finish(self) -> Result:
        with self.ctx.create(".txt") as path:
            path.write_text(str(self.counts["letters"]))
        return Result(counts=self.counts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Letters(Node):
    """Turn documents into letters: the report knows of it only what is declared here."""

    docs: Node

    gives = "letters"
    made = ("sheets", "letters")
    becomes = "letters"

    def phases(self):
        return (ShardPhase(name="count", open=LetterCount, needs=("text",), whole=nothing),)
