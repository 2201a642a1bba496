"""A record's claims as a picture: a dot for the mean difference, a line for its 95 % interval."""

from __future__ import annotations

from html import escape

from benchmarks.evidence.record import Record
from benchmarks.interval import interval

WIDTH, LEFT, ROW, TOP = 760, 330, 26, 40
ZERO, DOT, TEXT = "#9a9a9a", "#2f6f9f", "#57606a"  # readable on white and on black


def chart(record: Record) -> str:
    """As SVG."""
    ends = []
    for claim in record.claims:
        mean, half = interval(claim.differences(record.arms))
        ends.append((claim.what, mean - half, mean, mean + half))
    low, high = min(0.0, *(end[1] for end in ends)), max(0.0, *(end[3] for end in ends))
    scale = (WIDTH - LEFT - 90) / (high - low)

    def x(value: float) -> float:
        return round(LEFT + (value - low) * scale, 1)

    height = TOP + ROW * len(ends) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<text font-size="13" x="8" y="20" fill="{TEXT}">{escape(record.about)}</text>',
        f'<line x1="{x(0)}" x2="{x(0)}" y1="{TOP - 8}" y2="{height - 6}" stroke="{ZERO}" stroke-dasharray="3 3"/>',
    ]
    for number, (what, least, mean, most) in enumerate(ends):
        y = TOP + ROW * number + ROW // 2
        lines += [
            f'<text font-size="13" x="8" y="{y + 4}" fill="{TEXT}">{escape(what)}</text>',
            f'<line x1="{x(least)}" x2="{x(most)}" y1="{y}" y2="{y}" stroke="{DOT}" stroke-width="2"/>',
            f'<circle cx="{x(mean)}" cy="{y}" r="4.5" fill="{DOT}"/>',
            f'<text font-size="13" x="{x(most) + 8}" y="{y + 4}" fill="{TEXT}">{mean:+.3f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
