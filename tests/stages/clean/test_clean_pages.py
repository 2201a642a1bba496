"""Good English prose passes: at most 2 % of the pages of Debian's manuals are removed by language and Gopher rules."""

from collections import Counter

import pyarrow as pa
import pytest
from local_context import LocalContext

from stages.clean.gopher_quality import GopherQuality
from stages.clean.gopher_repetition import GopherRepetition
from stages.clean.language import Language
from stages.read.read import Read
from tests.data_debian import DebianUnavailable, debian_pages

DOCS = Read(paths=("unread",))


def removed(texts, folder) -> Counter:
    """Reason -> documents, in the order that a recipe would ask."""
    found = Counter()
    for node in (Language(docs=DOCS), GopherQuality(docs=DOCS), GopherRepetition(docs=DOCS)):
        table = pa.table({"text": pa.array(texts, pa.string())})
        added = node.open(LocalContext(node, folder))(table).added
        scores = pa.table({name: pa.array(added[name], pa.type_for_alias(kind)) for name, kind in node.adds().items()})
        reasons = node.decide(scores).reason.to_pylist()
        found.update(filter(None, reasons))
        texts = [text for text, reason in zip(texts, reasons, strict=True) if reason is None]
    return found


def test_pages_of_debian_manuals_stay(tmp_path):
    try:
        texts = [page.text for page in debian_pages()]
    except DebianUnavailable as why:
        pytest.skip(str(why))
    assert len(texts) >= 40
    found = removed(texts, tmp_path)
    assert found.total() <= 0.02 * len(texts), found
    # the test can tell: the same pages, each line said three times, all go
    assert removed(["\n".join(text.split("\n") * 3) for text in texts], tmp_path).total() == len(texts)
