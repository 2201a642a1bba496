"""Cuts pages (lists of paragraphs) into the passages that are the demo corpus's documents.

A passage is 60 to 600 words of consecutive sentences of one page; lengths and order are drawn by key.
"""

import re

from recipes.rebuild.faults import Draw
from recipes.rebuild.sources import Pages


def _sentences(paragraph: str) -> list[str]:
    abbreviation = r"(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<!\bSt)(?<!e\.g)(?<!i\.e)(?<!etc)"
    ends = re.finditer(abbreviation + r"[.!?][\"'”’)]*\s+(?=[\"'“‘(]?[A-Z])", paragraph)
    cuts = [end.end() for end in ends]
    return [paragraph[a:b].strip() for a, b in zip([0, *cuts], [*cuts, len(paragraph)], strict=True)]


def passages(pages: Pages, source: str, shortest: int = 60, longest: int = 600) -> list[str]:
    """Passages of whole sentences, their lengths drawn (most are short), in an order drawn by key.

    A paragraph that occurred before in the source is dropped: templated pages would make near-duplicates.
    """
    seen: set[str] = set()
    found: list[tuple[bytes, str]] = []
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
    """Passages of 50 to 90 words, or 240 to 400 characters where words are not spaced, in a drawn order."""
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
