"""One document per address: pages fetched again and again, under spellings of one URL.

The canonical form follows the rules that do not change what a server returns (RFC 3986, section 6.2: case, default
port, dot segments, unreserved characters), and a few that are safe in practice: the scheme, `www.`, the fragment (but
for `#!`, which names a page), a trailing slash, `index.html`, the order of parameters, session and campaign parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from posixpath import normpath
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote, urlsplit

from pipeline.errors import RecipeError
from stages.dedup.node import CopyDedup

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


CAMPAIGN = re.compile(
    r"utm_\w+|gclid|gclsrc|dclid|fbclid|msclkid|yclid|mc_[ce]id|igshid|_ga|ref_src|phpsessid|jsessionid|sessionid",
    re.IGNORECASE,
)
NO_PAGE = re.compile(r"(mailto|javascript|data|tel|news|urn|about|file|blob):", re.IGNORECASE)
SESSION_PATH = re.compile(r";jsessionid=[^/?#]*", re.IGNORECASE)
INDEX = re.compile(r"/(index|default)\.(html?|php|aspx?|jsp)$", re.IGNORECASE)
SAFE = "!$&'()*+,;=:@-._~"  # allowed in a path segment as they are


def canonical_url(url: str) -> str | None:
    """Return the form that spellings of one address share; None for a text that is no address with a host."""
    url = url.strip()
    if NO_PAGE.match(url):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url.removeprefix('//')}")
        port, host = parts.port, parts.hostname
    except ValueError:
        return None
    if not host or parts.scheme not in ("http", "https", "ftp") or " " in host:
        return None
    try:
        host = host.rstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        return None
    host = host.lower().removeprefix("www.")
    if port and port != {"http": 80, "https": 443, "ftp": 21}[parts.scheme]:
        host += f":{port}"
    path = SESSION_PATH.sub("", parts.path)
    if _utf8(path):
        path = "/".join(quote(unquote(segment, errors="strict"), SAFE) for segment in path.split("/"))
    path = normpath(path) if path.strip("/") else ""
    path = INDEX.sub("", "/" + path.strip("/")).rstrip("/")
    parameters = [p for p in parts.query.split("&") if p and not CAMPAIGN.fullmatch(p.partition("=")[0])]
    # `#!/page` names a page that a script fetches (Google's scheme of 2009), other fragments a place in one
    page = "#" + parts.fragment.rstrip("/") if parts.fragment.startswith("!") and parts.fragment != "!" else ""
    return host + path + ("?" + "&".join(sorted(parameters)) if parameters else "") + page


def _utf8(path: str) -> bool:
    try:
        unquote(path, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def c4_url(url: str) -> str:
    """Return the form of an address in C4's code: without scheme, `www.`, campaign parameters, slashes at the end."""
    return re.sub(r"\?(utm_|ref|feed).*", "", re.sub(r"https?://(www\.)?", "", url)).rstrip("/")


FORMS: Mapping[str, Callable[[str], str | None]] = {"canonical": canonical_url, "c4": c4_url, "text": str}


@dataclass(frozen=True, kw_only=True, eq=False)
class UrlDedup(CopyDedup):
    """Keep one document of every address.

    column  the URL; documents without a URL are kept
    form    `canonical`: spellings of one address are equal; `c4`: those that C4's code takes for one; `text`: none are

    Take `keep: [date, max]` for the newest, `longest` for the fullest. Adds `url_duplicate_of` and `url_copies`;
    removes with `url_dedup.copy`, value = documents with the address.
    """

    column: str = "url"
    form: Literal["canonical", "c4", "text"] = "canonical"

    version = 7
    hash_fields = ("column", "form", "keep")

    def hash_needs(self) -> tuple[str, ...]:
        return (self.column, "text") if self.keep == "longest" else (self.column,)

    def hashed(self, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        import pyarrow as pa

        from stages.hashing.sketch import byte_hashes

        form, addresses = FORMS[self.form], table[self.column].cast(pa.string()).to_pylist()
        return byte_hashes(pa.array([None if a is None else form(a) for a in addresses], pa.string()))

    def check(self) -> None:
        super().check()
        if not self.column:
            raise RecipeError("url_dedup.column", "no name", "the column that holds the URL, such as url")
