"""Draws the tables of evidence from their records when mkdocs builds the site: a page names a record, and no more.

`<!-- evidence: priors -->` becomes the table of `docs/evidence/priors.json`.
"""

import re

from benchmarks.evidence.record import FOLDER, Record

MARK = re.compile(r"^<!-- evidence: (\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown, page, config, files):
    """Give mkdocs a page with its tables."""
    return MARK.sub(lambda found: Record.read(FOLDER / f"{found[1]}.json").table(), markdown)
