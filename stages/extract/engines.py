"""The two extractors behind one shape: HTML in; text, title, how many links the page has, and the links if asked for.

resiliparse (Bevendorff et al. 2021) is what DCLM used, trafilatura (Barbaresi 2021, ACL demo) what FineWeb used.
"""

from __future__ import annotations

from collections.abc import Callable

Extracted = tuple[str, str | None, int, list[str] | None]


def extractor(engine: str, main_content: bool, keep_links: bool) -> Callable[[str], Extracted]:
    """`main_content` leaves menus, headers, footers and the like out; without it all visible text is taken."""
    return (_resiliparse if engine == "resiliparse" else _trafilatura)(main_content, keep_links)


def _resiliparse(main_content: bool, keep_links: bool) -> Callable[[str], Extracted]:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    def extract(html: str) -> Extracted:
        tree = HTMLTree.parse(html)
        text = extract_plain_text(tree, main_content=main_content)
        if tree.document is None:
            return text, tree.title, 0, [] if keep_links else None
        found = tree.document.query_selector_all("a[href]")
        # all at once: to go through a collection of the DOM is to search the page again for each of its members
        links = [link.getattr("href") or "" for link in found.values()] if keep_links else None
        return text, tree.title, len(found), links

    return extract


def _trafilatura(main_content: bool, keep_links: bool) -> Callable[[str], Extracted]:
    import trafilatura
    from trafilatura.utils import load_html

    def extract(html: str) -> Extracted:
        tree = load_html(html)
        if tree is None:
            return "", None, 0, [] if keep_links else None
        title, links = tree.findtext(".//title"), [str(link.get("href")) for link in tree.iter("a") if link.get("href")]
        # without its metadata, whose dates are held against the clock
        text = trafilatura.extract(html) if main_content else trafilatura.html2txt(html)
        return text or "", title, len(links), links if keep_links else None

    return extract
