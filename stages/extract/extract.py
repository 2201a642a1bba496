"""The text that people read on a page, from its HTML: main content, title, links."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.bounds import AmountAboveZero, Positive
from pipeline.contract import Columns, Context, Node, Removed, RowFunction, RowNode
from stages.extract.apart import Apart, Failed

FAILURES = ("too_large", "too_deep", "time_limit", "crashed", "parser_error", "empty")
TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
# elements that hold nothing, or that the next one of their kind closes
FLAT = frozenset(
    "area base br col embed hr img input link meta param source track wbr p li dt dd tr td th thead tbody tfoot "
    "colgroup option optgroup rt rp html head body".split()
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Extract(RowNode):
    """Replace the HTML of a page by its text.

    Adds `title` (string), `n_links` (int32, links on the whole page), `extract_error` (string: why there is no text,
    null where there is) and with `keep_links` `links` (string, a JSON list as they stand on the page). Removes with
    `extract.<error>`: `too_large` and `too_deep` are measured before anything is parsed, since parsers take time that
    grows with the square of the depth; `time_limit` and `crashed` are of a process that parsed the page and is started
    anew; `parser_error`, and `empty` where nothing is left.

    engine        resiliparse (Bevendorff et al. 2021; DCLM's) or trafilatura (Barbaresi 2021; FineWeb's)
    main_content  leave menus, headers and footers out
    keep_links    add the column `links`
    max_chars     characters of HTML, at most
    max_depth     elements around a piece of text
    time_limit    seconds of CPU that a page may take. This verdict alone depends on the machine: a page near the limit
                  may fail on a slow one. Pages within the two bounds above stay far below it, and an extracted page
                  is not extracted again

    The versions of the extractor's libraries are part of the identity.
    """

    docs: Node
    engine: Literal["resiliparse", "trafilatura"] = "resiliparse"
    main_content: bool = True
    keep_links: bool = False
    max_chars: Positive = 8_000_000
    max_depth: Positive = 1000
    time_limit: AmountAboveZero = 30.0

    version = 1
    needs = ("text",)
    reasons = tuple(f"extract.{failure}" for failure in FAILURES)
    changes_text = True

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return ("resiliparse",) if self.engine == "resiliparse" else ("trafilatura", "justext", "lxml")

    def adds(self) -> dict[str, str]:
        links = {"links": "string"} if self.keep_links else {}
        return {"title": "string", "n_links": "int32", "extract_error": "string", **links}

    def predict_bytes(self, rows: int, text_bytes: int) -> int:
        return 40 * rows + int(0.08 * text_bytes)

    def open(self, ctx: Context) -> RowFunction:
        import pyarrow as pa

        apart = Apart(self.engine, self.main_content, self.time_limit)

        def rows(table: pa.Table) -> Columns:
            found = [self._page(apart, html) for html in table["text"].to_pylist()]
            added = {
                name: pa.array([row[name] for row in found], pa.type_for_alias(kind))
                for name, kind in self.adds().items()
            }
            return Columns(added=added, text=pa.array([row["text"] for row in found], pa.string()))

        return rows

    def _page(self, apart: Apart, html: str) -> dict[str, Any]:
        row: dict[str, Any] = {"text": None, "title": None, "n_links": None, "extract_error": None, "links": None}
        try:
            if len(html) > self.max_chars:
                raise Failed("too_large")
            if depth(html) > self.max_depth:
                raise Failed("too_deep")
            text, title, links = apart.extract(html)
        except Failed as failed:
            return row | {"extract_error": failed.args[0]}
        text = _clean(text)
        row |= {
            "title": " ".join(_clean(title or "").split()) or None,
            "n_links": len(links),
            "links": _clean(json.dumps(links, ensure_ascii=False)),
        }
        return row | ({"text": text} if text and not text.isspace() else {"extract_error": "empty"})

    def decide(self, scores: pa.Table) -> Removed:  # type: ignore[name-defined]  # noqa: F821
        import pyarrow as pa
        import pyarrow.compute as pc

        error = scores["extract_error"].combine_chunks()
        return Removed(pc.binary_join_element_wise(pa.scalar("extract"), error, pa.scalar(".")))


def depth(html: str) -> int:
    """Elements around a piece of text at most, before a parser mends them; `FLAT` ones are not counted."""
    import numpy as np

    if html.count("<") < 2:
        return 0
    steps = [-1 if slash else 1 for slash, name in TAG.findall(html) if name.lower() not in FLAT]
    return int(np.cumsum(steps).max(initial=0)) if steps else 0


def _clean(text: str) -> str:
    """Return a text without NULs and halves of surrogate pairs, which a page may refer to and no stage reads."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")
