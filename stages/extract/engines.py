"""The two extractors behind one shape: HTML in; text, title and the links of the page out.

resiliparse (Bevendorff et al. 2021) is what DCLM used, trafilatura (Barbaresi 2021, ACL demo) what FineWeb used.
"""

from __future__ import annotations

from collections.abc import Callable

Extracted = tuple[str, str | None, list[str]]


def extractor(engine: str, main_content: bool) -> Callable[[str], Extracted]:
    """`main_content` leaves menus, headers, footers and the like out; without it all visible text is taken."""
    return _resiliparse(main_content) if engine == "resiliparse" else _trafilatura(main_content)


def _resiliparse(main_content: bool) -> Callable[[str], Extracted]:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    def extract(html: str) -> Extracted:
        tree = HTMLTree.parse(html)
        text = extract_plain_text(tree, main_content=main_content)
        found = tree.document.query_selector_all("a[href]") if tree.document is not None else ()
        return text, tree.title, [link.getattr("href") or "" for link in found]

    return extract


def _trafilatura(main_content: bool) -> Callable[[str], Extracted]:
    import trafilatura
    from trafilatura.utils import load_html

    def extract(html: str) -> Extracted:
        tree = load_html(html)
        if tree is None:
            return "", None, []
        title, links = tree.findtext(".//title"), [str(link.get("href")) for link in tree.iter("a") if link.get("href")]
        # without its metadata, whose dates are held against the clock
        text = trafilatura.extract(html) if main_content else trafilatura.html2txt(html)
        return text or "", title, links

    return extract
