"""English documentation pages that the demo corpus does not hold, for tests and benchmarks.

`debian_pages()` downloads a Debian `-doc` package with `apt-get download` (nothing is installed) into the
user's cache and yields one document per HTML page, as a plain extraction leaves it: headings, lists and
tables in, navigation and code blocks out. Where there is no apt, or it has no lists or no network,
`DebianUnavailable` says why, for a skip.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from recipes.rebuild.html import html_blocks

# English HTML documentation, none of it a source of the corpus: package and the folder of its pages.
MANUALS = {
    "debian-policy": "usr/share/doc/debian-policy",
    "developers-reference": "usr/share/developers-reference",
    "apt-doc": "usr/share/doc/apt-doc",
}
# Command and option references repeat themselves by nature: rules made for prose remove more of them.
REFERENCES = {
    "git-doc": "usr/share/doc/git-doc",
    "postfix-doc": "usr/share/doc/postfix/html",
    "cmake-doc": "usr/share/doc/cmake-data/html",
}
# Translations lie in a folder or a file named after their language: guide.fr.html/ch1.html, ja/index.html.
TRANSLATION = re.compile(r"(^|[./])(?!en\b|js\b)[a-z]{2}(-[a-z]{2})?(\.html)?(/|$)", re.IGNORECASE)
# Tables of contents and indices that generators write.
NO_TEXT = {"index.html", "genindex.html", "search.html", "contents.html"}


class DebianUnavailable(Exception):
    """The package cannot be had on this machine; the message is the reason."""


class Page(NamedTuple):
    """One page: its path inside the package and its text."""

    id: str
    text: str


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "siftloom-tests" / "debian"


def unpacked(package: str) -> Path:
    """The package's tree in the cache, downloaded once. Raises DebianUnavailable."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise DebianUnavailable(f"{tool} is not installed, so {package} cannot be downloaded")
    tree = _cache() / package
    if not tree.exists():
        tree.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=tree.parent) as folder:
            got = subprocess.run(["apt-get", "download", "-q", package], cwd=folder, capture_output=True, text=True)
            debs = list(Path(folder).glob("*.deb"))
            if got.returncode or not debs:
                why = (got.stderr.strip().splitlines() or ["no message"])[-1]
                raise DebianUnavailable(f"apt-get download {package}: {why} (has `apt-get update` been run?)")
            subprocess.run(["dpkg-deb", "-x", debs[0], Path(folder) / "tree"], check=True)
            # Another process may have been first: its tree is as good as ours.
            if not tree.exists():
                (Path(folder) / "tree").rename(tree)
    return tree


def page_text(html: str) -> str:
    """The page's blocks, one a line, paragraphs apart; code blocks are left out."""
    lines: list[str] = []
    for tag, text in html_blocks(html):
        if tag != "pre":
            lines += [text] if tag in ("ul", "ol", "dl", "table") else ["", text, ""]
    return "\n".join(line for at, line in enumerate(lines) if line or (at and lines[at - 1])).strip()


def debian_pages(*packages: str, min_words: int = 50) -> Iterator[Page]:
    """English pages of at least `min_words` words of the named packages (default: MANUALS), in order of path.

    Stubs under `min_words` are no documents: any length rule removes them, whatever their text.
    Raises DebianUnavailable before the first page.
    """
    folders = MANUALS | REFERENCES
    trees = [unpacked(package) / folders[package] for package in packages or MANUALS]
    for root in trees:
        for path in sorted(root.rglob("*.html")):
            name = path.relative_to(root).as_posix()
            if not path.is_file() or path.is_symlink() or TRANSLATION.search(name) or path.name in NO_TEXT:
                continue
            text = page_text(path.read_text("utf-8", "replace"))
            if len(text.split()) >= min_words:
                yield Page(f"{root.name}/{name}", text)
