"""Text for the demo corpus: public-domain and permissive Debian packages, unpacked and cut into pages.

A page is a list of paragraphs: one chapter, one dictionary entry, one HTML file. Only prose is taken: code,
lists, tables, navigation and headings are left out. `listing_pages` is the opposite: real lines that are
lists of names, for a kind of document that is no prose. Nothing is installed, and R is not needed: its
serialisation is read directly (R Internals, section 1.8, XDR forms 2 and 3, as far as character vectors go).
"""

import hashlib
import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from gzip import decompress
from pathlib import Path

from recipes.rebuild.html import html_blocks


@dataclass(frozen=True)
class Package:
    """One Debian package: all are architecture-independent, so name and version say the file."""

    name: str
    version: str
    sha256: str
    licence: str

    @property
    def file(self) -> str:
        return f"{self.name}_{self.version.replace(':', '%3a')}_all.deb"


PACKAGES = (
    Package(
        "r-cran-janeaustenr",
        "1.0.0-1",
        "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95",
        "public domain (package: MIT)",
    ),
    Package(
        "sqlite3-doc",
        "3.46.1-7+deb13u2",
        "67d28cb8ec314c609a6b3bd9d91315276843251635ac7fba52247859e58f742f",
        "public domain",
    ),
    Package(
        "dict-jargon",
        "4.4.7-3.1",
        "405f8168d7994ed2cb71407bb95493daec2e9aa66fc0461dafa74a9d6728a8c1",
        "public domain",
    ),
    Package(
        "dict-devil",
        "1.0-13.1",
        "6a535684def2a1f70cd42da16d12d43f0e9dc3e54e4a329178eebab3170e3154",
        "public domain",
    ),
    Package(
        "rust-doc",
        "1.85.1+dfsg1-1+deb13u1",
        "a30c905cfd69a0d37c863a1447b86b2af37008e06eb4d5ba7cbd8b3ce9a07fbe",
        "Apache-2.0 (of MIT or Apache-2.0)",
    ),
    Package(
        "postgresql-doc-17",
        "17.12-0+deb13u1",
        "d2bcd368b73c1a908043f337f794dd1b0aaf6062724313b1211d9edd0e6289c3",
        "PostgreSQL",
    ),
    Package(
        "apache2-doc",
        "2.4.71-1~deb13u1",
        "2cbaee6226612d5c92504c8f0c025b30032b389153257c26c1cf75e3a9cc96f7",
        "Apache-2.0",
    ),
)

LICENCES = {
    "austen": "r-cran-janeaustenr: public domain",
    "sqlite": "sqlite3-doc: public domain",
    "jargon": "dict-jargon: public domain",
    "devil": "dict-devil: public domain",
    "rust": "rust-doc: Apache-2.0",
    "postgresql": "postgresql-doc-17: PostgreSQL",
    "apache": "apache2-doc: Apache-2.0",
    "listing": "rust-doc, apache2-doc: Apache-2.0; postgresql-doc-17: PostgreSQL",
    "noise": "generated; ciphers and mojibake of the above",
}

NOVELS = {
    "SENSE AND SENSIBILITY": "sense",
    "PRIDE AND PREJUDICE": "pride",
    "MANSFIELD PARK": "mansfield",
    "EMMA": "emma",
    "NORTHANGER ABBEY": "northanger",
    "PERSUASION": "persuasion",
}
RUST_BOOKS = (
    "book",
    "reference",
    "rustc",
    "edition-guide",
    "nomicon",
    "rust-by-example",
    "style-guide",
    "clippy",
)

Pages = dict[str, list[str]]


def unpack(debs: Path, tree: Path) -> None:
    """Download what `debs` lacks of the pinned versions, check each SHA-256, and unpack to tree/NAME."""
    for package in PACKAGES:
        deb = debs / package.file
        if not deb.exists():
            command = ["apt-get", "download", "-q", f"{package.name}={package.version}"]
            if subprocess.run(command, cwd=debs, capture_output=True).returncode:
                raise SystemExit(
                    f"{package.file}: apt-get no longer offers this version. Put the file (SHA-256 "
                    f"{package.sha256}) into a folder, e.g. from Debian's snapshot archive, and name "
                    "the folder with --debs."
                )
        found = hashlib.sha256(deb.read_bytes()).hexdigest()
        if found != package.sha256:
            raise SystemExit(f"{deb}: SHA-256 is {found}, expected {package.sha256}.")
        subprocess.run(["dpkg-deb", "-x", deb, tree / package.name], check=True)


def _is_prose(text: str) -> bool:
    """Whether a paragraph is sentences: it ends as one and few of its words are code (f(), a_b, <x>, a/b)."""
    words, plain = text.split(), sum(c.isalpha() or c.isspace() for c in text)
    code = sum(re.search(r"[_=<>{}\[\]/\\|`$]|\w[.(:]\w|\(\)", word) is not None for word in words)
    return (
        len(words) >= 8
        and plain >= 0.88 * len(text)
        and code <= 0.06 * len(words)
        and text.rstrip("\"'”’)»」")[-1:] in ".!?:;"
    )


def _html_pages(root: Path, pattern: str = "**/*.html") -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for path in sorted(root.glob(pattern)):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            charset = re.search(rb"charset=[\"']?([\w-]+)", data[:2000])
            yield (
                path.relative_to(root).as_posix(),
                html_blocks(data.decode(charset[1].decode() if charset else "utf-8", "replace")),
            )


def _prose(root: Path, pattern: str = "**/*.html") -> Pages:
    return {
        name: [text for tag, text in blocks if tag in ("p", "body", "div") and _is_prose(text)]
        for name, blocks in _html_pages(root, pattern)
    }


def _strings(chunk: bytes) -> list[str]:
    """The character vector in one serialised R object."""
    at = 14 if struct.unpack_from(">i", chunk, 2)[0] == 2 else 18 + struct.unpack_from(">i", chunk, 14)[0]
    flags, count = struct.unpack_from(">ii", chunk, at)
    if flags & 255 != 16:
        return []
    at, values = at + 8, []
    for _ in range(count):
        length = struct.unpack_from(">i", chunk, at + 4)[0]
        values.append(chunk[at + 8 : at + 8 + length].decode())
        at += 8 + length
    return values


def novel_pages(tree: Path) -> dict[str, Pages]:
    """Jane Austen's novels by chapter. The lazy-load file is a run of (4-byte length, zlib stream)."""
    data, found = (
        (tree / "r-cran-janeaustenr/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes(),
        {},
    )
    while data:
        stream = zlib.decompressobj()
        lines = _strings(stream.decompress(data[4:]))
        data = stream.unused_data
        title = NOVELS.get(lines[0].strip().upper()) if lines else None
        if title:
            chapters = re.split(r"(?mi)^\s*(?:chapter|volume)\s+\w+\.?\s*$", "\n".join(lines))
            found[title] = {
                f"{number:03}": [
                    " ".join(p.split()).replace("_", "").replace("--", " -- ")
                    for p in re.split(r"\n\s*\n", chapter)
                    if len(p.split()) > 3 or p.strip()[-1:] in '."'
                ]
                for number, chapter in enumerate(chapters[1:])
            }
    return found


def _dictionary(tree: Path, name: str) -> str:
    return decompress(next((tree / name / "usr/share/dictd").glob("*.dz")).read_bytes()).decode("utf-8", "replace")


def jargon_pages(tree: Path) -> Pages:
    """The Jargon File, one entry a page; cross-references lose their braces."""
    pages: Pages = {}
    for entry in re.split(r"\n(?=\S)", _dictionary(tree, "dict-jargon"))[40:]:
        head, _, body = entry.partition("\n")
        paragraphs = [" ".join(re.sub(r"[{}]", "", p).split()) for p in re.split(r"\n\s*\n", body)]
        pages[head.strip()] = [p for p in paragraphs if _is_prose(p)]
    return pages


def devil_pages(tree: Path) -> Pages:
    """The Devil's Dictionary by letter, definitions without their verses."""
    text = _dictionary(tree, "dict-devil")
    pages: Pages = {}
    for entry in re.findall(r"(?m)^[A-Z][A-Z' -]+, [a-z.&]+ .+(?:\n\S.*)*", text):
        pages.setdefault(entry[0], []).append(" ".join(entry.split()))
    return pages


def manual_pages(tree: Path) -> dict[str, Pages]:
    """The English manuals, by source name."""
    rust = tree / "rust-doc/usr/share/doc/rust-doc/html"
    apache = _prose(tree / "apache2-doc/usr/share/doc/apache2-doc/manual/en")  # has paragraphs in Portuguese
    return {
        "sqlite": _prose(tree / "sqlite3-doc/usr/share/doc/sqlite3"),
        "rust": {
            f"{book}/{name}": page
            for book in RUST_BOOKS
            for name, page in _prose(rust / book).items()
            if not re.match(r"(\w\w|print|.*edition)/|print\.html", name)
        },
        "postgresql": _prose(tree / "postgresql-doc-17/usr/share/doc/postgresql-doc-17/html"),
        "apache": {name: [p for p in page if re.search(r"\b(the|of|and|is)\b", p)] for name, page in apache.items()},
    }


def translated_pages(tree: Path, language: str) -> Pages:
    """Apache's manual in another language; paragraphs left in English are dropped by script or stop words."""
    root = tree / "apache2-doc/usr/share/doc/apache2-doc/manual" / language
    if language in ("ja", "ko", "ru", "zh-cn"):
        return {
            name: [text for tag, text in blocks if tag == "p" and len(text) >= 40 and _is_foreign_script(text)]
            for name, blocks in _html_pages(root)
        }
    english = {"the", "of", "is", "and", "to", "this", "are", "be"}
    return {
        name: [text for text in page if sum(word in english for word in text.lower().split()) < 2]
        for name, page in _prose(root).items()
    }


def _is_foreign_script(text: str) -> bool:
    """Whether at least 0.6 of the letters are beyond the Latin blocks; the rest is names of directives."""
    return sum(c > "\u02ff" for c in text) >= 0.6 * sum(c.isalpha() for c in text)


def listing_pages(tree: Path) -> Pages:
    """Indices, item lists and option tables: real text that is no prose, one line per block."""
    rust = tree / "rust-doc/usr/share/doc/rust-doc/html"
    roots = {
        "std": (rust / "std", "*/index.html"),
        "core": (rust / "core", "*/index.html"),
        "sqlite": (tree / "sqlite3-doc/usr/share/doc/sqlite3", "*list*.html"),
        "apache": (tree / "apache2-doc/usr/share/doc/apache2-doc/manual/en", "mod/*.html"),
        "postgresql": (tree / "postgresql-doc-17/usr/share/doc/postgresql-doc-17/html", "bookindex.html"),
    }
    return {
        f"{source}/{name}": [
            text for tag, text in blocks if tag in ("ul", "ol", "dl", "table") and 1 <= len(text.split()) <= 9
        ]
        for source, (root, pattern) in roots.items()
        for name, blocks in _html_pages(root, pattern)
    }
