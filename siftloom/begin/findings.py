"""What `look` has found in a user's files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SHARE = 0.1  # of the documents that a language must have to be kept


@dataclass
class Kind:
    """Files that one `read` takes with the same fields: at first those of one format. Sizes are bytes."""

    formats: list[str]
    files: list[str] = field(default_factory=list)
    bytes: int = 0
    text: str | None = None  # the field that holds the text; None where a format has only one
    id: str | None = None
    url: str | None = None  # the entry of `keep` for the address of a page, if every row that was looked at has one
    columns: list[str] = field(default_factory=list)
    other_texts: list[str] = field(default_factory=list)
    encoding: str | None = None
    pages: bool = False  # whether the text is HTML
    documents: int = 0  # about
    rows: int = 0  # looked at
    characters: int = 0  # of their texts
    not_utf8: int = 0  # rows that are not UTF-8
    odd_files: list[str] = field(default_factory=list)  # those in which they stand
    long_rows: dict[str, int] = field(default_factory=dict)  # file -> characters of its longest document above LONG

    def joins(self, other: Kind) -> bool:
        """Return whether one `read` can take both: equal names of fields, or formats without names."""
        return self.pages == other.pages and all(
            None in (one, two) or one == two for one, two in ((self.text, other.text), (self.id, other.id))
        )

    def join(self, other: Kind) -> None:
        for name in ("formats", "files", "columns", "other_texts", "odd_files"):
            both = [*getattr(self, name), *getattr(other, name)]
            setattr(self, name, list(dict.fromkeys(both)))
        for name in ("bytes", "documents", "rows", "characters", "not_utf8"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.text, self.id = self.text or other.text, self.id or other.id
        self.url = self.url if self.url == other.url else None
        self.encoding = self.encoding or other.encoding
        self.long_rows |= other.long_rows


@dataclass
class Findings:
    """The contents of the files. Shares are of the documents that were looked at."""

    path: str
    kinds: list[Kind]
    left_out: dict[str, int]  # ending of files that `read` does not read -> how many
    unused: dict[str, str]  # formats that are read, but not here -> why
    damaged: dict[str, str]  # path -> what is wrong
    languages: dict[str, float]
    example: str
    empty: list[str]  # files without a byte

    def to_json(self) -> dict[str, Any]:
        keys = ("path", "left_out", "unused", "damaged", "languages", "example", "empty")
        kinds = [
            {key: value for key, value in vars(kind).items() if key not in ("files", "rows", "characters")}
            | {"files": len(kind.files)}
            for kind in self.kinds
        ]
        return {key: getattr(self, key) for key in keys} | {
            "kinds": kinds, "files": self.files, "bytes": self.bytes, "documents": self.documents,
            "mean_characters": self.mean,
        }  # fmt: skip

    @property
    def files(self) -> int:
        return sum(len(kind.files) for kind in self.kinds)

    @property
    def bytes(self) -> int:
        return sum(kind.bytes for kind in self.kinds)

    @property
    def documents(self) -> int:
        return sum(kind.documents for kind in self.kinds)

    @property
    def mean(self) -> int:
        return sum(kind.characters for kind in self.kinds) // max(sum(kind.rows for kind in self.kinds), 1)

    @property
    def kept_languages(self) -> list[str]:
        """Return the languages of a tenth of the documents or more, or else the most frequent one."""
        frequent = [code for code, share in self.languages.items() if share >= SHARE]
        return frequent or list(self.languages)[:1] or ["en"]
