"""Whether the parts of a document belong together: neighbouring parts share words.

Lexical cohesion after TextTiling (Hearst 1997, Computational Linguistics 23-1): blocks of words, cosines of counts. Yi
(01.AI 2024, arXiv 2403.04652, section 2.1) removes or splits pages of disparate parts by a model that it does not
publish. On 250 pages of 240 words, pages stitched from six others had a lower `coherence` in 96 % of pairs, and pages
of two halves a lower `coherence_valley` in 84 %; neighbours less other pairs, the usual contrast, told neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from pipeline.bounds import Positive
from pipeline.contract import Node, threshold
from pipeline.errors import RecipeError
from stages.clean.rules import Rule, RuleNode

if TYPE_CHECKING:
    import numpy as np

    from stages.clean.cut import Cut

RULES = (Rule("min", "coherence", "float32", "min"), Rule("min_valley", "coherence_valley", "float32"))
FEWEST, MOST = 2, 4096  # blocks
# Weights are whole multiples of 2^-20, so that sums are exact and no document's value hangs on the others in its batch.
ONE = 2.0**20


@dataclass(frozen=True, kw_only=True, eq=False)
class Coherence(RuleNode):
    """Add float32 `coherence`, the mean cosine of neighbouring blocks, and float32 `coherence_valley`, the mean cosine
    of the blocks before and behind that border where it is lowest; both in [0, 1], null for a document of fewer than
    `min_blocks` blocks, which stays. Adds `coherence_blocks` int32, too.

    block_words      words of a block; of two characters a word where a script has no spaces
    min_blocks       shorter documents are not judged
    min, min_valley  documents below go, reasons `coherence.min` and `coherence.min_valley`; None, the default, removes
                     nothing, and `select` with `keep_fraction` takes a share

    A word weighs 1 + log(count in the block). Blocks behind the 4096th belong to that one.
    """

    docs: Node
    block_words: Positive = 40
    min_blocks: Positive = 4
    min: Annotated[float, Interval(ge=-1, le=1)] | None = threshold(None)
    min_valley: Annotated[float, Interval(ge=-1, le=1)] | None = threshold(None)

    version = 2
    rules = RULES
    others = {"coherence_blocks": "int32"}  # noqa: RUF012

    def check(self) -> None:
        if self.block_words < 5 or self.min_blocks < FEWEST:
            raise RecipeError(
                "coherence.block_words, min_blocks", f"{self.block_words}, {self.min_blocks}", f"5, {FEWEST} and more"
            )

    def scores(self, table):
        import numpy as np
        import pyarrow as pa

        from stages.clean.cut import cut

        found = cut(table["text"], "unicode", "auto")
        blocks = np.minimum(found.pieces // (self.block_words * found.steps), MOST)
        judged = blocks >= self.min_blocks
        values = np.zeros((2, len(found)), np.float32)
        if judged.any():
            values[:, judged] = _cohesion(found, np.flatnonzero(judged), self.block_words, blocks[judged])
        added = {rule.column: pa.array(of, mask=~judged) for rule, of in zip(RULES, values, strict=True)}
        return {**added, "coherence_blocks": blocks.astype(np.int32)}


def _cohesion(cut: Cut, documents: np.ndarray, block_words: int, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean cosine of neighbouring blocks, and of the two sides of the lowest border, of each document; float64."""
    import numpy as np

    from stages.loops.cuts import HAS_LETTER

    pieces, first = cut.pieces[documents], cut.words[0][documents]
    owner = np.repeat(np.arange(len(documents)), pieces)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    word = first[owner] + place
    ahead = np.cumsum(blocks) - blocks
    size = block_words * cut.steps[documents]
    # what is left at the end belongs to the last block
    block = ahead[owner] + np.minimum(place // size[owner], blocks[owner] - 1)
    lettered = (cut.kinds[word] & HAS_LETTER) != 0
    names, block = cut.folded[word[lettered]], block[lettered]
    order = np.lexsort((block, names))
    names, block = names[order], block[order]
    # one entry for each word of a block, by word and then by block, so that neighbours follow each other
    new = np.flatnonzero(_changes(names) | _changes(block))
    count = np.diff(np.append(new, len(names)))
    names, block = names[new], block[new]
    of_block = np.repeat(np.arange(len(documents)), blocks)
    start = _changes(names) | _changes(of_block[block])
    group = np.cumsum(start) - 1  # a word of a document
    weight = 1.0 + np.log(count)
    norm = np.sqrt(np.bincount(block, weight**2, len(of_block)))
    weight = np.rint(weight / norm[block] * ONE).astype(np.int64)
    near = np.flatnonzero((group[1:] == group[:-1]) & (block[1:] == block[:-1] + 1))
    neighbours = _sums(of_block[block[near]], weight[near] * weight[near + 1], len(documents))
    # P: the sum of the blocks before a border, T: of all. P(T - P) grows with the next block v by v(T - 2P) - vv.
    before = np.cumsum(weight) - weight
    before -= before[start][group]
    total = _sums(group, weight, int(start.sum()))
    grown = _sums(block, weight * (total[group] - 2 * before) - weight * weight, len(of_block))
    across = np.cumsum(grown)
    across -= (across - grown)[ahead][of_block]
    number = np.arange(len(of_block)) - ahead[of_block] + 1
    behind = blocks[of_block] - number
    mean = np.where(behind > 0, across / np.maximum(number * behind, 1), np.inf)
    valley = np.minimum.reduceat(mean, ahead)
    return neighbours / (blocks - 1) / ONE**2, valley / ONE**2


def _sums(of: np.ndarray, values: np.ndarray, many: int) -> np.ndarray:
    """The sum of whole numbers for each place, exact; int64."""
    import numpy as np

    found = np.zeros(many, np.int64)
    np.add.at(found, of, values)
    return found


def _changes(values: np.ndarray) -> np.ndarray:
    """Whether a value is another one than that before it; bool."""
    import numpy as np

    return np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]
