"""HTML pages as blocks of text, with the standard library alone: as much as demo corpus and tests need.

Scripts, navigation and the page furniture of common documentation generators are known by tag, class and id.
It guesses nothing, so it is no extractor for the open web.
"""

from html.parser import HTMLParser
from typing import ClassVar


class _Blocks(HTMLParser):
    """Collects (tag, text) per block element; scripts, navigation and page furniture are skipped.

    A block inside a list or table bears that container's tag.
    """

    SKIP: ClassVar = {"script", "style", "nav", "head", "svg", "button", "noscript", "footer", "sup"}
    BLOCK: ClassVar = set(
        "p li dt dd h1 h2 h3 h4 h5 h6 td th tr table div section main article blockquote pre ul ol dl "
        "body br hr figcaption summary details form center".split()
    )
    CONTAINERS: ClassVar = {"ul", "ol", "dl", "table", "pre"}
    FURNITURE: ClassVar = set(
        "navheader navfooter page-header path preamble quickview footer top toplang bottomlang up titlepage "
        "toc sidebar menu-bar nosearch sphinxsidebar related".split()
    )

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
                del self.containers[len(self.containers) - 1 - self.containers[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        if not self.skipping:
            self.text += data


def html_blocks(html: str) -> list[tuple[str, str]]:
    """The block elements of a page in order, as (tag, text with single spaces)."""
    parser = _Blocks()
    parser.feed(html)
    parser.close()
    parser.flush("")
    return parser.blocks
