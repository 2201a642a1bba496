"""Text for the demo corpus: public-domain and permissive Debian packages, unpacked and cut into passages.

A page is a list of paragraphs (one chapter, one dictionary entry, one HTML file); a passage is 60 to 600 words of
consecutive sentences of one page. Only prose paragraphs are taken: code, tables, navigation and headings are left out.
`listing_pages` is the opposite: real lines that are lists of names, for a kind of document that is no prose.
Nothing is installed and R is not needed: R's serialisation is read directly (R Internals, section 1.8, XDR form 2
and 3, only what a character vector needs).
"""
import hashlib
import re
import struct
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from gzip import decompress
from html.parser import HTMLParser
from pathlib import Path

from recipes.corpus_faults import Draw


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
    Package("r-cran-janeaustenr", "1.0.0-1",
            "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95", "public domain (package: MIT)"),
    Package("sqlite3-doc", "3.46.1-7+deb13u2",
            "67d28cb8ec314c609a6b3bd9d91315276843251635ac7fba52247859e58f742f", "public domain"),
    Package("dict-jargon", "4.4.7-3.1",
            "405f8168d7994ed2cb71407bb95493daec2e9aa66fc0461dafa74a9d6728a8c1", "public domain"),
    Package("dict-devil", "1.0-13.1",
            "6a535684def2a1f70cd42da16d12d43f0e9dc3e54e4a329178eebab3170e3154", "public domain"),
    Package("rust-doc", "1.85.1+dfsg1-1+deb13u1",
            "a30c905cfd69a0d37c863a1447b86b2af37008e06eb4d5ba7cbd8b3ce9a07fbe", "Apache-2.0 (of MIT or Apache-2.0)"),
    Package("postgresql-doc-17", "17.12-0+deb13u1",
            "d2bcd368b73c1a908043f337f794dd1b0aaf6062724313b1211d9edd0e6289c3", "PostgreSQL"),
    Package("apache2-doc", "2.4.71-1~deb13u1",
            "2cbaee6226612d5c92504c8f0c025b30032b389153257c26c1cf75e3a9cc96f7", "Apache-2.0"),
)

LICENCES = {"austen": "r-cran-janeaustenr: public domain", "sqlite": "sqlite3-doc: public domain",
            "jargon": "dict-jargon: public domain", "devil": "dict-devil: public domain",
            "rust": "rust-doc: Apache-2.0", "postgresql": "postgresql-doc-17: PostgreSQL",
            "apache": "apache2-doc: Apache-2.0", "listing": "rust-doc, apache2-doc: Apache-2.0; postgresql-doc-17: PostgreSQL",
            "noise": "generated; ciphers and mojibake of the above"}

NOVELS = {"SENSE AND SENSIBILITY": "sense", "PRIDE AND PREJUDICE": "pride", "MANSFIELD PARK": "mansfield",
          "EMMA": "emma", "NORTHANGER ABBEY": "northanger", "PERSUASION": "persuasion"}
RUST_BOOKS = ("book", "reference", "rustc", "edition-guide", "nomicon", "rust-by-example", "style-guide", "clippy")
LANGUAGES = ("de", "es", "fr", "ja", "ko", "pt-br", "ru", "tr", "zh-cn")

Pages = dict[str, list[str]]


def unpack(debs: Path, tree: Path) -> None:
    """Bring every package's pinned version into `debs` where missing, check its SHA-256, and unpack it to tree/NAME."""
    for package in PACKAGES:
        deb = debs / package.file
        if not deb.exists():
            command = ["apt-get", "download", "-q", f"{package.name}={package.version}"]
            if subprocess.run(command, cwd=debs, capture_output=True).returncode:
                raise SystemExit(f"{package.file}: apt-get no longer offers this version. Put the file (SHA-256 "
                                 f"{package.sha256}) into a folder, e.g. from Debian's snapshot archive, and name "
                                 "the folder with --debs.")
        found = hashlib.sha256(deb.read_bytes()).hexdigest()
        if found != package.sha256:
            raise SystemExit(f"{deb}: SHA-256 is {found}, expected {package.sha256}.")
        subprocess.run(["dpkg-deb", "-x", deb, tree / package.name], check=True)


class _Blocks(HTMLParser):
    """Collects (tag, text) per block element; scripts, navigation and page furniture are skipped.

    A block inside a list or table bears that container's tag.
    """

    SKIP = {"script", "style", "nav", "head", "svg", "button", "noscript", "footer", "sup"}
    BLOCK = set("p li dt dd h1 h2 h3 h4 h5 h6 td th tr table div section main article blockquote pre ul ol dl "
                "body br hr figcaption summary details form center".split())
    CONTAINERS = {"ul", "ol", "dl", "table", "pre"}
    FURNITURE = {"navheader", "navfooter", "page-header", "path", "preamble", "quickview", "footer", "top", "toplang",
                 "bottomlang", "up", "titlepage", "toc", "sidebar", "menu-bar", "nosearch", "sphinxsidebar", "related"}

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[tuple[str, str]] = []
        self.tag, self.text = "body", ""
        self.skipping, self.depth = "", 0
        self.containers: list[str] = []

    def flush(self, tag: str) -> None:
        text = " ".join(self.text.split())
        if text:
            self.blocks.append((self.containers[0] if self.containers else self.tag, text))
        self.tag, self.text = tag, ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.skipping:
            self.depth += tag == self.skipping
            return
        names = {name for key, value in attrs if key in ("class", "id") and value for name in value.split()}
        if tag in self.SKIP or (tag in ("div", "p", "ul") and names & self.FURNITURE):
            self.flush(self.tag)
            self.skipping, self.depth = tag, 1
        elif tag in self.BLOCK:
            self.flush(tag)
            if tag in self.CONTAINERS:
                self.containers.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.skipping:
            self.depth -= tag == self.skipping
            if self.depth <= 0:
                self.skipping = ""
        elif tag in self.BLOCK:
            self.flush("body")
            if tag in self.containers:
                del self.containers[len(self.containers) - 1 - self.containers[::-1].index(tag):]

    def handle_data(self, data: str) -> None:
        if not self.skipping:
            self.text += data


def html_blocks(html: str) -> list[tuple[str, str]]:
    """The block elements of a page in order, as (tag, text with single spaces); ul, ol, dl, table, pre for all inside."""
    parser = _Blocks()
    parser.feed(html)
    parser.close()
    parser.flush("")
    return parser.blocks


def _is_prose(text: str) -> bool:
    """Whether a paragraph is sentences: it ends as one, and few of its words are code (f(x), a_b, a.b, <x>, a/b)."""
    words, plain = text.split(), sum(c.isalpha() or c.isspace() for c in text)
    code = sum(re.search(r"[_=<>{}\[\]/\\|`$]|\w[.(:]\w|\(\)", word) is not None for word in words)
    return (len(words) >= 8 and plain >= 0.88 * len(text) and code <= 0.06 * len(words)
            and text.rstrip("\"'”’)»」")[-1:] in ".!?:;")


def _html_pages(root: Path, pattern: str = "**/*.html") -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for path in sorted(root.glob(pattern)):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            charset = re.search(rb"charset=[\"']?([\w-]+)", data[:2000])
            yield (path.relative_to(root).as_posix(),
                   html_blocks(data.decode(charset[1].decode() if charset else "utf-8", "replace")))


def _prose(root: Path, pattern: str = "**/*.html") -> Pages:
    return {name: [text for tag, text in blocks if tag in ("p", "body", "div") and _is_prose(text)]
            for name, blocks in _html_pages(root, pattern)}


def _strings(chunk: bytes) -> list[str]:
    """The character vector in one serialised R object."""
    at = 14 if struct.unpack_from(">i", chunk, 2)[0] == 2 else 18 + struct.unpack_from(">i", chunk, 14)[0]
    flags, count = struct.unpack_from(">ii", chunk, at)
    if flags & 255 != 16:
        return []
    at, values = at + 8, []
    for _ in range(count):
        length = struct.unpack_from(">i", chunk, at + 4)[0]
        values.append(chunk[at + 8:at + 8 + length].decode())
        at += 8 + length
    return values


def novel_pages(tree: Path) -> dict[str, Pages]:
    """Jane Austen's novels by chapter. The lazy-load file is a run of (4-byte length, zlib stream)."""
    data, found = (tree / "r-cran-janeaustenr/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes(), {}
    while data:
        stream = zlib.decompressobj()
        lines = _strings(stream.decompress(data[4:]))
        data = stream.unused_data
        title = NOVELS.get(lines[0].strip().upper()) if lines else None
        if title:
            chapters = re.split(r"(?mi)^\s*(?:chapter|volume)\s+\w+\.?\s*$", "\n".join(lines))
            found[title] = {
                f"{number:03}": [" ".join(p.split()).replace("_", "").replace("--", " -- ")
                                 for p in re.split(r"\n\s*\n", chapter) if len(p.split()) > 3 or p.strip()[-1:] in '."']
                for number, chapter in enumerate(chapters[1:])}
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
    return {"sqlite": _prose(tree / "sqlite3-doc/usr/share/doc/sqlite3"),
            "rust": {f"{book}/{name}": page for book in RUST_BOOKS for name, page in _prose(rust / book).items()
                     if not re.match(r"(\w\w|print|.*edition)/|print\.html", name)},
            "postgresql": _prose(tree / "postgresql-doc-17/usr/share/doc/postgresql-doc-17/html"),
            "apache": {name: [p for p in page if re.search(r"\b(the|of|and|is)\b", p)] for name, page in apache.items()}}


def translated_pages(tree: Path) -> dict[str, Pages]:
    """Apache's manual in other languages; paragraphs left in English are dropped by script and English stop words."""
    english = {"the", "of", "is", "and", "to", "this", "are", "be"}
    found: dict[str, Pages] = {}
    for language in LANGUAGES:
        pages = _prose(tree / "apache2-doc/usr/share/doc/apache2-doc/manual" / language)
        if language in ("ja", "ko", "ru", "zh-cn"):
            blocks = _html_pages(tree / "apache2-doc/usr/share/doc/apache2-doc/manual" / language)
            pages = {name: [text for tag, text in page if tag == "p" and len(text) >= 40
                            and sum(c > "\u02ff" for c in text) >= 0.6 * sum(c.isalpha() for c in text)]
                     for name, page in blocks}
        found[language] = {name: [p for p in page if sum(w in english for w in p.lower().split()) < 2]
                           for name, page in pages.items()}
    return found


def listing_pages(tree: Path) -> Pages:
    """Indices, item lists and option tables: real text that is no prose, one line per block."""
    rust = tree / "rust-doc/usr/share/doc/rust-doc/html"
    roots = {"std": (rust / "std", "*/index.html"), "core": (rust / "core", "*/index.html"),
             "sqlite": (tree / "sqlite3-doc/usr/share/doc/sqlite3", "*list*.html"),
             "apache": (tree / "apache2-doc/usr/share/doc/apache2-doc/manual/en", "mod/*.html"),
             "postgresql": (tree / "postgresql-doc-17/usr/share/doc/postgresql-doc-17/html", "bookindex.html")}
    return {f"{source}/{name}": [text for tag, text in blocks if tag in ("ul", "ol", "dl", "table")
                                 and 1 <= len(text.split()) <= 9]
            for source, (root, pattern) in roots.items() for name, blocks in _html_pages(root, pattern)}


def _sentences(paragraph: str) -> list[str]:
    cuts = [m.end() for m in re.finditer(r"(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<!\bSt)(?<!e\.g)(?<!i\.e)(?<!etc)[.!?][\"'”’)]*"
                                         r"\s+(?=[\"'“‘(]?[A-Z])", paragraph)]
    return [paragraph[a:b].strip() for a, b in zip([0, *cuts], [*cuts, len(paragraph)], strict=True)]


def passages(pages: Pages, source: str, shortest: int = 60, longest: int = 600) -> list[str]:
    """Cut pages into passages of whole sentences, their lengths drawn (most are short), in an order drawn by key.

    A paragraph that occurred before in the source is dropped, so that templated pages do not make near-duplicates.
    """
    seen: set[str] = set()
    found: list[tuple[str, str]] = []
    for name in sorted(pages):
        draw = Draw("length", source, name)
        target, parts, count = 0, [], 0
        for paragraph in pages[name]:
            if paragraph in seen:
                continue
            seen.add(paragraph)
            parts.append("")
            for sentence in _sentences(paragraph):
                target = target or shortest + int((longest - shortest) * draw.unit() ** 5)
                if parts and count + len(sentence.split()) > longest:
                    parts, count = [""], 0
                parts[-1] = f"{parts[-1]} {sentence}".strip()
                count += len(sentence.split())
                if count >= target:
                    text = "\n\n".join(p for p in parts if p)
                    found.append((Draw("order", source, text).key, text))
                    target, parts, count = 0, [""], 0
    return [text for _, text in sorted(found) if shortest <= len(text.split()) <= longest]


def foreign_passages(pages: Pages, language: str) -> list[str]:
    """Passages of 50 to 90 words, or 240 to 400 characters where words are not spaced, in an order drawn by key."""
    spaced = language not in ("ja", "zh-cn")
    found: list[tuple[bytes, str]] = []
    for name in sorted(pages):
        parts: list[str] = []
        for paragraph in pages[name]:
            parts.append(paragraph)
            text = "\n\n".join(parts)
            size = len(text.split()) if spaced else len(text)
            if size >= (50 if spaced else 240):
                if size <= (90 if spaced else 400):
                    found.append((Draw("order", language, text).key, text))
                parts = []
    return [text for _, text in sorted(found)]


def listings(pages: Pages) -> list[str]:
    """Runs of 40 to 100 words of lines of one page, in an order drawn by key."""
    found: list[tuple[bytes, str]] = []
    for name in sorted(pages):
        lines = list(dict.fromkeys(pages[name]))
        draw = Draw("listing", name)
        while lines:
            size, taken = draw.between(40, 100), 0
            while taken < len(lines) and sum(len(line.split()) for line in lines[:taken]) < size:
                taken += 1
            if sum(len(line.split()) for line in lines[:taken]) >= 40:
                text = "\n".join(lines[:taken])
                found.append((Draw("order", "listing", text).key, text))
            lines = lines[taken:]
    return [text for _, text in sorted(found)]
