"""The corpus: pages of Debian packages, good ones in many languages and others that are no prose, made by one command.

Packages are fetched with `apt-get download` (nothing is installed) and unpacked into a cache folder. Good pages are
manuals, a handbook, essays; the others are indices, class lists, changelogs and word lists. The label is the kind of
document, not a human judgement, and none of it is a crawl. What follows the download is a function of the packages.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.unseen_packages import PACKAGES as UNSEEN

CORPORA = ("tuned", "unseen")
EIGHT = ("en", "de", "fr", "es", "ru", "ja", "zh", "ko")
HELP = {"en-us": "en", "de": "de", "fr": "fr", "es": "es", "ja": "ja", "ru": "ru", "ko": "ko", "zh-cn": "zh"}
PACKAGES = (
    *(f"libreoffice-help-{name}" for name in HELP),
    *"gnome-user-docs debian-handbook installation-guide-amd64 sqlite3-doc postgresql-doc-17 anarchism".split(),
    *"openjdk-21-doc wordnet-base miscfiles".split(),
)
EACH = 400  # documents of one source and language at most, chosen by a hash of their paths
LEAST = 600  # characters of a good page; of ideographs, which say more, half of it
PIECE = 3_000  # characters, where a long file is cut

HIDDEN = re.compile(
    r"<(script|style|head|nav|footer|pre|code|title|info|noscript)\b.*?</\1>", re.DOTALL | re.IGNORECASE
)
MAIN = re.compile(r'id="DisplayArea"[^>]*>(.*)', re.DOTALL)
BLOCK = re.compile(
    r"</?(p|div|h\d|li|tr|table|br|section|dd|dt|ul|ol|item|page|steps|list|title)\b[^>]*>", re.IGNORECASE
)
CELL = re.compile(r"</t[dh]\b[^>]*>", re.IGNORECASE)  # a row of a table is a line
TAG = re.compile(r"<[^>]*>")
BLANK = re.compile(r"[ \t]*\n[ \t\n]*")


def build(cache: Path, name: str = "tuned") -> pa.Table:
    """id, text, source, lang, good; made once. `unseen`: packages that no rule was set on, all of them called good."""
    if name == "unseen":
        return _unseen(cache)
    path = cache / "pages-2.parquet"
    if not path.exists():
        rows = [row for package in PACKAGES for row in _chosen(pages_of(cache, package))]
        table = pa.Table.from_pylist(sorted(rows, key=lambda row: row["id"]))
        table = table.filter(_in_its_language(table))
        pq.write_table(table, path, compression="zstd")
    return pq.read_table(path)


def _unseen(cache: Path) -> pa.Table:
    path = cache / "unseen-pages.parquet"
    if not path.exists():
        rows = [row for package in UNSEEN for row in _chosen(_every_page(package, unpacked(cache, package)))]
        pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")
    return pq.read_table(path)


def _every_page(package: str, tree: Path) -> Iterator[dict]:
    for path in sorted(path for path in tree.rglob("*.html") if path.is_file() and not path.is_symlink()):
        text = extracted(path.read_bytes().decode("utf-8", "replace"))
        if len(text) >= LEAST:
            name = f"{package}/{path.relative_to(tree)}"
            yield {"id": name, "text": text, "source": package, "lang": "en", "good": True}


def pages_of(cache: Path, package: str) -> Iterator[dict]:
    """Every page of a package: id, text, source, lang, good."""
    return _pages(package, unpacked(cache, package))


def unpacked(cache: Path, package: str) -> Path:
    tree = cache / "trees" / package
    if not tree.exists():
        debs = cache / "debs"
        debs.mkdir(parents=True, exist_ok=True)
        if not list(debs.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", "-q", package], cwd=debs, check=True)
        (deb,) = debs.glob(f"{package}_*.deb")
        whole = tree.with_suffix(".new")  # a tree that was cut short is unpacked again
        whole.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", deb, whole], check=True)
        whole.rename(tree)
    return tree


def _pages(package: str, tree: Path) -> Iterator[dict]:
    for path in sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()):
        place = path.relative_to(tree).as_posix()
        kind = _kind(package, place)
        if kind is None:
            continue
        source, lang, good = kind
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode("utf-8", "replace")
        if path.suffix in (".html", ".page"):
            text = extracted(text)
        for number, piece in enumerate([text] if good else pieces(text)):
            least = LEAST // 2 if lang in ("ja", "zh", "ko") or not good else LEAST
            if len(piece) >= least:
                yield {"id": f"{package}/{place}#{number}", "text": piece, "source": source, "lang": lang, "good": good}


def _kind(package: str, place: str) -> tuple[str, str, bool] | None:
    """(source, language, good) of a file; None: it is not taken."""
    parts, name = place.split("/"), place.rsplit("/", 1)[-1]
    if re.search(r"(?i)changelog.*\.gz$", name):
        return "changelogs", "en", False
    if package.startswith("libreoffice-help-"):
        guide = name.endswith(".html") and "/text/" in place and "/guide/" in place
        return ("libreoffice", HELP[package.removeprefix("libreoffice-help-")], True) if guide else None
    if package == "gnome-user-docs" and name.endswith(".page"):
        return "gnome", {"C": "en"}.get(parts[3], parts[3].split("_")[0].split("@")[0]), True
    if package == "debian-handbook" and name.startswith("sect.") and name.endswith(".html"):
        return "handbook", parts[5].split("-")[0], True
    if package == "installation-guide-amd64" and re.fullmatch(r"ch\d.*\.html", name):
        return "installation", parts[4].split("_")[0].split("-")[0], True
    if package == "sqlite3-doc" and "/syntax/" in place:
        return None  # the words of a drawing
    if package in ("sqlite3-doc", "postgresql-doc-17", "anarchism") and name.endswith(".html"):
        return package.split("-")[0], "en", True
    if package == "openjdk-21-doc" and re.search(r"class-use/|index-files/|package-tree|package-use|allclasses", place):
        return "javadoc", "en", False
    if package == "wordnet-base" and re.match(r"(index|data)\.", name):
        return "wordnet", "en", False
    if package == "miscfiles" and "/misc" in place and not name.endswith((".so", ".1")):
        return "miscfiles", "en", False
    return None


def extracted(page: str) -> str:
    """The text of an HTML or Mallard page, a line for each block."""
    found = MAIN.search(page)
    one_line = BLANK.sub(" ", HIDDEN.sub(" ", found[1] if found else page))
    plain = TAG.sub("", BLOCK.sub("\n", CELL.sub("\t", one_line)))
    return BLANK.sub("\n", html.unescape(plain)).strip()


def pieces(text: str) -> list[str]:
    """A long file cut at the ends of lines."""
    found, begin = [], 0
    while begin < len(text):
        end = len(text) if len(text) - begin <= PIECE else text.rfind("\n", begin, begin + PIECE) + 1 or begin + PIECE
        found.append(text[begin:end])
        begin = end
    return found


def _chosen(rows: Iterator[dict]) -> list[dict]:
    kept: dict[tuple[str, str], list[tuple[bytes, dict]]] = {}
    for row in rows:
        key = hashlib.blake2b(row["id"].encode(), digest_size=8).digest()
        kept.setdefault((row["source"], row["lang"]), []).append((key, row))
    return [row for group in kept.values() for _, row in sorted(group, key=lambda pair: pair[0])[:EACH]]


def _in_its_language(table: pa.Table) -> pa.Array:
    """Many translated trees hold pages that are still English, or half of them: those are left out. Each line votes by
    its characters (lid.176), and the page's own language must have half of the votes.
    """
    from stages.clean.language_votes import Votes
    from stages.clean.languages import same
    from stages.fasttext_models import bundled_language_model, load

    labels, shares = Votes(load(bundled_language_model()), 100_000, 3_000, 1.0, True).lines(table["text"])
    columns = (labels.to_pylist(), shares.to_pylist(), table["lang"].to_pylist(), table["good"].to_pylist())
    return pa.array(
        [
            not good or (bool(label) and same(lang, label) and share >= 0.5)
            for label, share, lang, good in zip(*columns, strict=True)
        ]
    )
