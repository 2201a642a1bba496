"""Near-duplicate documents by MinHash and banding, with an anchor check.

Sources: Broder 1997 (resemblance, min-wise hashing); Lee et al., "Deduplicating training data makes language models
better", 2022 (for language data); Penedo et al., "FineWeb", 2024 (word 5-grams, 14 bands of 8). The anchor check is
ours: plain components join by chains, and remove documents that share little with the one that stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from pipeline.bounds import Positive, ShareAboveZero
from pipeline.contract import threshold
from pipeline.errors import RecipeError
from stages.dedup.method import Hashes, Members, Verdict
from stages.dedup.node import DedupNode

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from stages.hashing.scheme import Scheme

# (bands, rows): FineWeb's choice; the optimum of datasketch for 0.8; for aggressive removal.
PRESETS = {"default": (14, 8), "strict": (9, 13), "wide": (20, 5)}


@cache
def _bands_for(similarity: float, permutations: int) -> tuple[int, int]:
    """Return (bands, rows) by datasketch's optimiser: the least area of false positives and false negatives."""
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=similarity, num_perm=permutations)
    return index.b, index.r


@dataclass(frozen=True, kw_only=True, eq=False)
class MinHashDedup(DedupNode):
    """Keep one of every group of near-duplicate documents.

    A document goes only for a KEPT document whose sketch agrees with its own in at least `min_jaccard` of the
    places (an estimate of the Jaccard similarity of their sets of `ngram` consecutive words). Documents with the same
    words go as copies; documents without words stay. One of fewer than `ngram` words is one shingle of all its words.

    unit          `word`, `char` (every word character), or `auto` (words; one by one in scripts written without spaces)
    ngram         consecutive units that make one shingle
    bands, rows   of the sketch, hash places per band: a pair of similarity s is compared with chance 1-(1-s^rows)^bands
    preset        instead of bands and rows: `default` 14 x 8, `strict` 9 x 13, `wide` 20 x 5
    similarity    instead of bands and rows: the numbers that datasketch finds for this threshold within `permutations`
    permutations  places of a sketch, a multiple of bands x rows; None: bands x rows (112 for `similarity`)
    exact         also compare the whole sequences of words (16 bytes a document)
    min_jaccard   None: remove whatever is joined by a chain of shared bands
    max_anchors   kept documents of one cluster that a document is held against

    Adds `duplicate_of` (id of the kept document), `est_jaccard` with it, `cluster_id` (id of the cluster's first
    document) and `cluster_size`. Removes with `minhash_dedup.near` or `minhash_dedup.exact`.
    """

    unit: Literal["word", "char", "auto"] = "word"
    ngram: Positive = 5
    bands: Positive | None = None
    rows: Positive | None = None
    preset: Literal["default", "strict", "wide"] | None = None
    similarity: ShareAboveZero | None = None
    permutations: Positive | None = None
    seed: int = 1
    exact: bool = True
    min_jaccard: ShareAboveZero | None = threshold(0.6)
    max_anchors: Positive = threshold(4096)

    version = 6
    recipe_name = "minhash_dedup"
    near = "minhash_dedup.near"
    copy = "minhash_dedup.exact"
    reasons = (near, copy)
    hash_fields = (
        "unit", "ngram", "bands", "rows", "preset", "similarity", "permutations", "seed", "exact"
    )  # fmt: skip
    judge_fields = ("keep", "min_jaccard", "max_anchors")

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return () if self.similarity is None else ("datasketch",)  # whose optimiser says how many bands there are

    def banding(self) -> tuple[int, int]:
        """Return (bands, rows) as the fields determine them."""
        if self.similarity is not None:
            return _bands_for(self.similarity, self.permutations or 112)
        if self.preset is not None:
            return PRESETS[self.preset]
        bands, rows = PRESETS["default"]
        return self.bands or bands, self.rows or rows

    def scheme(self) -> Scheme:
        """Return how documents are shingled, hashed and banded."""
        from stages.hashing.scheme import Scheme

        bands, rows = self.banding()
        permutations = None if self.similarity is not None else self.permutations
        return Scheme(self.unit, self.ngram, bands, rows, self.seed, permutations)

    def hasher(self) -> Callable[[pa.Table], Hashes]:
        import numpy as np

        from stages.hashing.sketch import sketch

        scheme = self.scheme()

        def hashes(table: pa.Table) -> Hashes:
            found = sketch(table["text"], scheme, signatures=True)
            keys = np.concatenate([found.keys, found.exact[:, :1]], axis=1) if self.exact else found.keys
            return Hashes(keys, found.exact, found.signatures, found.words > 0)

        return hashes

    def judge(self, members: Members, order: np.ndarray) -> Verdict:
        from stages.dedup.anchors import judge

        bands, rows = self.banding()
        return judge(
            members.starts, order, members.signature, members.exact,
            min_jaccard=self.min_jaccard, max_anchors=self.max_anchors, bands=bands, rows=rows, pinned=members.old,
        )  # fmt: skip

    def keys_per_document(self) -> int:
        return self.banding()[0] + self.exact

    def places(self) -> int:
        return self.scheme().places

    def limit(self) -> float | None:
        return self.min_jaccard

    def columns(self) -> Mapping[str, str]:
        return {
            "duplicate_of": "duplicate_of",
            "estimate": "est_jaccard",
            "cluster_id": "cluster_id",
            "cluster_size": "cluster_size",
        }

    def check(self) -> None:
        super().check()
        choices = {"preset": self.preset, "similarity": self.similarity, "bands and rows": self.bands or self.rows}
        if len(given := [name for name, value in choices.items() if value is not None]) > 1:
            raise RecipeError("minhash_dedup", f"{' and '.join(given)} together", f"one of {', '.join(choices)}")
        if self.unit not in ("word", "char", "auto"):
            raise RecipeError("minhash_dedup.unit", f"{self.unit!r}", "word, char or auto")
        if self.preset not in (None, *PRESETS):
            raise RecipeError("minhash_dedup.preset", f"{self.preset!r}", f"one of {', '.join(PRESETS)}")
        if self.similarity is None and self.permutations is not None:
            bands, rows = self.banding()
            if self.permutations % (bands * rows):
                raise RecipeError(
                    "minhash_dedup.permutations",
                    f"{self.permutations}, which {bands} bands x {rows} rows = {bands * rows} places do not divide",
                    f"a multiple of {bands * rows}, such as {-(-self.permutations // (bands * rows)) * bands * rows}",
                )
