"""The lists behind the node `url`, and how addresses are looked up in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pipeline.contract import Context, Source, contiguous
from pipeline.errors import DataError
from stages.read.streams import Watched, codec_of, decompress

if TYPE_CHECKING:
    import pyarrow as pa

MOST = 1 << 30  # bytes of one list, unpacked: UT1's largest has 100 MB
ALTERNATIVES = 400  # words in one regular expression: more of them pass the memory of the library


def entries(ctx: Context, field: str, lower: bool = True) -> list[str]:
    """The entries of all files of a field, each once, in lower case if asked for. Their order follows from what the
    files hold, and not from their names.
    """
    found: dict[str, None] = {}
    for source in sorted(ctx.sources(field), key=lambda source: source.digest):
        try:
            text = _content(ctx, source).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(source.name, f"{error}", "lines of UTF-8, or a gzip or zstd file of them") from error
        lines = (line.strip() for line in (text.lower() if lower else text).splitlines())
        found.update(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    return list(found)


def _content(ctx: Context, source: Source) -> bytes:
    """The bytes of a list, unpacked; a packed file of a few MB may hold a thousand times as much."""
    parts, size = [], 0
    with ctx.open_source(source) as stream:
        for chunk in decompress(Watched(stream, source, source.digest), codec_of(stream, source)):
            size += len(chunk)
            if size > MOST:
                raise DataError(
                    source.name, f"more than {MOST >> 20:,} MiB of words once it is unpacked",
                    "a list that memory holds",
                    "split the list into several files, or leave it out",
                )  # fmt: skip
            parts.append(chunk)
    return b"".join(parts)


class Lists:
    """All lists of a node, loaded once per worker."""

    def __init__(self, ctx: Context) -> None:
        import pyarrow as pa

        string = pa.large_string()
        self.domains, self.allow = (
            pa.array([entry.removeprefix("www.") for entry in entries(ctx, field)], string)
            for field in ("domains", "allow")
        )
        self.urls = _plain(pa.array(entries(ctx, "urls"), string))
        letters = (entry.replace("-", "").replace(".", "") for entry in entries(ctx, "strict"))
        self.strict = [entry for entry in letters if entry]  # nothing would stand in every address
        self.hard, self.soft = (pa.array(entries(ctx, field), string) for field in ("hard", "soft"))

    def look(self, column: pa.ChunkedArray) -> dict[str, Any]:
        """The columns of `url`, one value for each address; null is none."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        urls: Any = pc.fill_null(pc.utf8_lower(pc.utf8_trim_whitespace(contiguous(column).cast(pa.large_string()))), "")
        plain = _plain(urls)
        host = pc.replace_substring_regex(plain, r"\.*(?:[:/?#].*)?$", "")
        words, owner = _words(plain)
        listed = np.full(len(urls), None, object)
        squeezed = pc.replace_substring_regex(urls, "[-.]", "")
        # a rule that comes later here wins over those before it
        for rule, found in (
            ("hard", _having(words, owner, self.hard, len(urls)) > 0),
            ("strict", _any_of(squeezed, self.strict)),
            ("exact", _is_in(plain, self.urls)),
            ("domain", _below(host, self.domains)),
        ):
            listed[found] = rule
        allowed = _below(host, self.allow)
        listed[allowed] = None
        return {
            "url_listed": pa.array(listed, pa.string()),
            "url_soft_words": pa.array(
                np.where(allowed, 0, _having(words, owner, self.soft, len(urls))).astype(np.int32),
                mask=pc.is_null(contiguous(column)).to_numpy(zero_copy_only=False),
            ),
        }


def _plain(urls: Any) -> Any:
    """Addresses without scheme, name of a user, `www.` and a slash at the end."""
    import pyarrow.compute as pc

    bare = pc.replace_substring_regex(urls, r"^(?:[a-z][a-z0-9+.-]*:)?//(?:[^/?#@]*@)?", "")
    return pc.replace_substring_regex(pc.replace_substring_regex(bare, r"^www\.", ""), r"/+$", "")


def _is_in(values: Any, known: Any) -> Any:
    import pyarrow.compute as pc

    return pc.is_in(values, known).to_numpy(zero_copy_only=False)


def _below(host: Any, domains: Any) -> Any:
    """Whether a host is one of these or below one; bool array."""
    import numpy as np
    import pyarrow.compute as pc

    encoded = host.dictionary_encode()  # a crawl has few hosts and many pages of each
    names = encoded.dictionary
    found = np.zeros(len(names), bool)
    if len(domains):
        for _ in range(1 + (pc.max(pc.count_substring(names, ".")).as_py() or 0)):
            found |= _is_in(names, domains)  # a.b.c.org, b.c.org, c.org, org
            names = pc.replace_substring_regex(names, r"^[^.]*\.?", "")
    return found[encoded.indices.to_numpy()] if len(found) else np.zeros(len(host), bool)


def _any_of(values: Any, parts: list[str]) -> Any:
    """Whether a value holds one of these anywhere; bool array."""
    import numpy as np
    import pyarrow.compute as pc

    found = np.zeros(len(values), bool)
    for start in range(0, len(parts), ALTERNATIVES):
        pattern = "|".join(re.escape(part) for part in parts[start : start + ALTERNATIVES])
        found |= pc.match_substring_regex(values, pattern).to_numpy(zero_copy_only=False)
    return found


def _words(urls: Any) -> tuple[Any, Any]:
    """(the words of all addresses, the address of each)."""
    import numpy as np
    import pyarrow.compute as pc

    split = pc.split_pattern(pc.replace_substring_regex(urls, r"[^\p{L}\p{N}]+", " "), " ")
    return split.flatten(), np.repeat(np.arange(len(urls)), pc.list_value_length(split).to_numpy())


def _having(words: Any, owner: Any, wanted: Any, many: int) -> Any:
    """How many different ones of the wanted words an address holds; int64 array."""
    import numpy as np
    import pyarrow.compute as pc

    place = pc.index_in(words, wanted).fill_null(-1).to_numpy().astype(np.int64)
    pairs = np.unique(owner[place >= 0] * max(len(wanted), 1) + place[place >= 0])
    return np.bincount(pairs // max(len(wanted), 1), minlength=many)
