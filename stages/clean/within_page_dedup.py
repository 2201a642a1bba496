"""Lines and paragraphs that stood before in their own document (DCLM, Li et al. 2024, arXiv 2406.11794)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.contract import Columns, Node
from stages.batches import BatchNode


@dataclass(frozen=True, kw_only=True, eq=False)
class WithinPageDedup(BatchNode):
    """Take out of each document the units that stood in it before; the first one stays, and so do blank ones.

    unit         `line`, or `paragraph`: what stands between two line ends in a row
    ignore_case  case and the white space around a unit do not matter

    Adds `within_page_copies` int32 (units gone). `line_dedup` looks at the whole corpus.
    """

    docs: Node
    unit: Literal["line", "paragraph"] = "line"
    ignore_case: bool = True

    changes_text = True
    histograms = {"within_page_copies": (0, 50, 50)}  # noqa: RUF012

    def adds(self):
        return {"within_page_copies": "int32"}

    def rows(self, table) -> Columns:
        import pyarrow as pa

        found = [self._edit(text) for text in table["text"].to_pylist()]
        gone = [copies for _, copies in found]
        new = [text if copies else None for text, copies in found]
        return Columns(added={"within_page_copies": pa.array(gone, pa.int32())}, text=pa.array(new, pa.string()))

    def _edit(self, text: str) -> tuple[str, int]:
        """The text without its copies, and how many they are."""
        end = "\n" if self.unit == "line" else "\n\n"
        units = text.split(end)
        seen: set[str] = set()
        kept = []
        for unit in units:
            form = unit.strip().lower() if self.ignore_case else unit
            if not form or form not in seen:
                kept.append(unit)
                seen.add(form)
        return end.join(kept), len(units) - len(kept)
