"""Documents to the single lines that a quality classifier reads; stored with the model, so that both uses are
one.

The beginning of a document, its lines joined by spaces, case and punctuation as they are (DCLM's choice). A
change of white space or case moves every score, so the settings travel in the model's JSON and scoring reads
them from there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from stages.fasttext_models import LABEL

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Normaliser:
    """`max_chars`: how much is read. `min_chars`: shorter texts have no score, the model would return its
    prior."""

    max_chars: int
    min_chars: int
    form: str = "join-lines-1"  # another way of joining gets another name

    def lines(self, text: pa.ChunkedArray | pa.Array) -> list[str | None]:
        """One line per document, None for one that is too short."""
        import pyarrow.compute as pc

        heads = pc.utf8_slice_codeunits(text, 0, self.max_chars).to_pylist()
        # a text that holds the label prefix must not label itself; NUL ends a line for C
        joined = [" ".join(h.strip().replace(LABEL, "label").replace("\0", " ").splitlines()) for h in heads]
        return [line if len(line) >= self.min_chars else None for line in joined]

    def as_json(self) -> dict[str, object]:
        return asdict(self)
