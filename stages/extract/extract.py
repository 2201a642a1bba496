"""The text that people read on a page, from its HTML: main content, title, links."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.bounds import AmountAboveZero, Positive
from pipeline.contract import Columns, Context, Node, Removed, RowFunction, RowNode, runtime
from stages.extract.apart import Apart, NoText
from stages.extract.work import most, work

FAILURES = ("skipped", "too_large", "too_deep", "too_much_work", "crashed", "parser_error", "empty")


@dataclass(frozen=True, kw_only=True, eq=False)
class Extract(RowNode):
    """Replace the HTML of a page by its text.

    Adds `title` (string), `n_links` (int32, links on the whole page), `extract_error` (string: why there is no text,
    null where there is) and with `keep_links` `links` (string, a JSON list as they stand on the page). Removes with
    `extract.<error>`: `too_large`, `too_deep` and `too_much_work` are counted in the source before anything is parsed;
    `crashed` is of a process that parsed the page, twice, and is started anew; `parser_error`, and `empty` where
    nothing is left. No reason depends on the speed of a machine: a parser that finds no end is an error.

    engine        resiliparse (Bevendorff et al. 2021; DCLM's) or trafilatura (Barbaresi 2021; FineWeb's)
    main_content  leave menus, headers and footers out
    keep_links    add the column `links`
    max_chars     characters of HTML, at most
    max_depth     elements around a piece of text
    max_work      elements around each tag, added up over all tags of the page: what parsers take their time for. A
                  manual of 6 MB has 2 million, and 20 million take some ten seconds
    skip          ids of pages that are not parsed (`extract.skipped`): those that an error named
    time_limit    seconds of CPU after which the parser's process is ended and the page tried once more; the second time
                  stops the run. Pages within the bounds stay far below it

    The versions of the extractor's libraries are part of the identity.
    """

    docs: Node
    engine: Literal["resiliparse", "trafilatura"] = "resiliparse"
    main_content: bool = True
    keep_links: bool = False
    max_chars: Positive = 8_000_000
    max_depth: Positive = 1000
    max_work: Positive = 20_000_000
    skip: tuple[str, ...] = ()
    time_limit: AmountAboveZero = runtime(600.0)

    version = 2
    needs = ("id", "text")
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

        apart, skip = Apart(self.engine, self.main_content, self.keep_links, self.time_limit), frozenset(self.skip)

        def rows(table: pa.Table) -> Columns:
            ids, pages = (table[name].to_pylist() for name in ("id", "text"))
            found = [self._page(apart, skip, str(name), html) for name, html in zip(ids, pages, strict=True)]
            added = {
                name: pa.array([row[name] for row in found], pa.type_for_alias(kind))
                for name, kind in self.adds().items()
            }
            return Columns(added=added, text=pa.array([row["text"] for row in found], pa.string()))

        return rows

    def _page(self, apart: Apart, skip: frozenset[str], name: str, html: str) -> dict[str, Any]:
        row: dict[str, Any] = {"text": None, "title": None, "n_links": None, "extract_error": None, "links": None}
        try:
            if name in skip:
                raise NoText("skipped")
            if len(html) > self.max_chars:
                raise NoText("too_large")
            found = most(html)
            if found.depth > self.max_depth or found.steps > self.max_work:
                found = work(html)
            if found.depth > self.max_depth:
                raise NoText("too_deep")
            if found.steps > self.max_work:
                raise NoText("too_much_work")
            text, title, n_links, links = apart.extract(html, name)
        except NoText as failed:
            return row | {"extract_error": failed.args[0]}
        text = _clean(text)
        row |= {
            "title": " ".join(_clean(title or "").split()) or None,
            "n_links": n_links,
            "links": None if links is None else _clean(json.dumps(links, ensure_ascii=False)),
        }
        return row | ({"text": text} if text and not text.isspace() else {"extract_error": "empty"})

    def decide(self, scores: pa.Table) -> Removed:  # type: ignore[name-defined]  # noqa: F821
        import pyarrow as pa
        import pyarrow.compute as pc

        error = scores["extract_error"].combine_chunks()
        return Removed(pc.binary_join_element_wise(pa.scalar("extract"), error, pa.scalar(".")))


def _clean(text: str) -> str:
    """Return a text without NULs and halves of surrogate pairs, which a page may refer to and no stage reads."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")
