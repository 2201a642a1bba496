"""A method of deduplication: the keys of a document, and which documents of a cluster are removed.

The phases (`keys`, `merge`, `edges`, `components`, `keep`, `verdict`, `rows`) are the same for every method. They know
a method by this class, and `DedupNode` in `node.py` puts them together.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline.bounds import ShareAboveZero
from pipeline.contract import Node, runtime, sources, threshold

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Keep = Literal["first", "longest"] | tuple[str, Literal["max", "min"]]


@dataclass(frozen=True)
class Hashes:
    """Hashes of a batch of n documents.

    keys       uint64[n, k]: documents that share a key may belong together
    exact      uint64[n, 2]: equal for copies
    signature  uint32[n, places]: MinHash signatures; no places where a method finds copies only
    keyed      bool[n]: False for a document that is never merged (no words, no bytes, no URL); its keys are ignored
    """

    keys: np.ndarray
    exact: np.ndarray
    signature: np.ndarray
    keyed: np.ndarray


@dataclass(frozen=True)
class Members:
    """The n documents of a group of clusters, cluster by cluster.

    rows       int64[n]: dense row numbers, ascending inside each cluster
    starts     int64[clusters + 1]: where each cluster begins
    old        bool[n]: the document belongs to an earlier corpus, which kept it
    bytes      uint64[n]: length of the text
    source     uint16[n]: number of the source name in the receipt of the document's shard
    exact      uint64[n, 2]
    signature  uint32[n, places]
    ids        bytes[n], of the width of the longest
    """

    rows: np.ndarray
    starts: np.ndarray
    old: np.ndarray
    bytes: np.ndarray
    source: np.ndarray
    exact: np.ndarray
    signature: np.ndarray
    ids: Any


@dataclass(frozen=True)
class Verdict:
    """The decision on n members, in their order.

    anchor    int64[n]: position of the kept member that it duplicates; its own position where it stays
    estimate  float32[n]: share of signature places equal with the anchor's; NaN where it stays
    same      bool[n]: it is removed and has exactly the anchor's words
    pairs     int64[bins, 2]: pairs of a member and the first one of its cluster, counted by estimate; and how many of
              these share a band
    """

    anchor: np.ndarray
    estimate: np.ndarray
    same: np.ndarray
    pairs: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Method(Node):
    """Group documents by shared keys, keep one of each group, say for every other one which it duplicates.

    keep      which document of a group stays: `first` in order of the input (of `docs`, in their order), `longest`
              (bytes of text), or a column with `max` or `min`; ties go to the first
    against   earlier nodes of the same kind over other documents: their documents win every tie and are never removed
    against_folders  the same, by the folders of finished nodes in other stores (`STORE/nodes/minhash_dedup-...`)
    max_removed_fraction  stop before anything is removed when more of one source goes (`source` column; sources of at
              least 100 documents) or of all documents; a mapping sets limits by source, `"*"` for the others
    dry_run   find and report, remove nothing
    """

    docs: Node | tuple[Node, ...]
    against: tuple[Node, ...] = ()
    against_folders: tuple[str, ...] = sources(())
    keep: Keep = "first"
    dry_run: bool = threshold(False)
    max_removed_fraction: ShareAboveZero | Mapping[str, ShareAboveZero] = runtime(0.9)

    near: ClassVar[str | None] = None  # the reason of a removal by resemblance
    copy: ClassVar[str] = ""  # the reason of a removal as a copy
    hash_fields: ClassVar[tuple[str, ...]] = ()  # all fields that can change the keys
    judge_fields: ClassVar[tuple[str, ...]] = ("keep",)  # with these, all that can change which documents go

    def source_marks(self, field: str, names: Sequence[str]) -> Sequence[str]:
        return list(names)  # a file of an earlier node is found by its name

    @abstractmethod
    def hasher(self) -> Callable[[pa.Table], Hashes]:
        """Return the function that hashes one batch. It is called once per shard."""

    def hash_needs(self) -> tuple[str, ...]:
        """Return the columns that the hasher reads. With `text` among them the length of the text is recorded too."""
        return ("text",)

    @abstractmethod
    def judge(self, members: Members, order: np.ndarray) -> Verdict:
        """Decide which members of the clusters go, and for which kept one; order int64[n]: lower stays."""

    @abstractmethod
    def keys_per_document(self) -> int:
        """Return the number of keys that one document puts into the exchange."""

    def places(self) -> int:
        """Return the number of places of a signature; 0 where only copies are looked for."""
        return 0

    def limit(self) -> float | None:
        """Return the threshold of the estimate."""
        return None

    @abstractmethod
    def columns(self) -> Mapping[str, str]:
        """Return {column of the verdicts: name of the added column}; the first are the keys of `COLUMN_TYPES`."""


# The columns of the verdicts that a method may add to its documents, and their Arrow types.
COLUMN_TYPES = {"duplicate_of": "string", "cluster_id": "string", "cluster_size": "int32", "estimate": "float32"}


def limits_of(fraction: float | Mapping[str, float]) -> Mapping[str, float]:
    """Return `max_removed_fraction` as a mapping from source to share."""
    return fraction if isinstance(fraction, Mapping) else {"*": fraction}
