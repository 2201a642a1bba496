"""How DCLM's code looks addresses up in lists (Li et al. 2024, `baselines/mappers/filters/metadata_filters.py`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.contract import Context
from stages.clean.expressions import one_of
from stages.clean.url_lists import entries

if TYPE_CHECKING:
    import pyarrow as pa

NEVER = re.compile(r"(?!)")


class ListsOfDclm:
    """All lists of a node, loaded once per worker. Whole addresses and allowed hosts are of ours."""

    def __init__(self, ctx: Context) -> None:
        self.domains, self.allow, self.urls = (set(entries(ctx, field)) for field in ("domains", "allow", "urls"))
        letters, hard, soft = (one_of(entries(ctx, field)) for field in ("strict", "hard", "soft"))
        self.strict = re.compile(letters) if letters else NEVER
        self.hard, self.soft = (re.compile(rf"\b{each}\b") if each else NEVER for each in (hard, soft))

    def look(self, column: pa.ChunkedArray) -> dict[str, Any]:
        """The columns of `url`, one value for each address; null is none."""
        import pyarrow as pa

        found = [self._one(address.lower()) if address is not None else (None, None) for address in column.to_pylist()]
        return {
            "url_listed": pa.array([rule for rule, _ in found], pa.string()),
            "url_soft_words": pa.array([words for _, words in found], pa.int32()),
        }

    def _one(self, url: str) -> tuple[str | None, int | None]:
        try:
            host = urlsplit(url).netloc
        except ValueError:
            host = ""
        if any(host == name or host.endswith("." + name) for name in self.allow):
            return None, 0
        rules = {
            "domain": host.replace("www", "") in self.domains,
            "exact": url.partition("://")[2].removeprefix("www.").rstrip("/") in self.urls,
            "strict": self.strict.search(url.replace("-", "").replace(".", "")) is not None,
            "hard": self.hard.search(url) is not None,
        }
        rule = next((rule for rule, broken in rules.items() if broken), None)
        return rule, len(set(self.soft.findall(url)))
