"""Asking a fastText model for the languages of a batch of texts, with as few characters as it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

# Tokens of ASCII that are no words: options, paths, numbers, markup, dotted names. The model gives a page of
# a command's manual a low probability because of them (9 of 226 English pages of git's fell below 0.65,
# without them none).
CODE = (
    r"(?:^|\s)(?:-[!-~]*"
    r"|[!-~]*[0-9#%&*@_/\\{}\[\]|<>=+~^$\x60][!-~]*"
    r"|[!-~]*[A-Za-z][.:]+[A-Za-z][!-~]*)"
)
MIN_CHARS = 40  # characters that must remain
SHORT_LINE = 20  # characters; a shorter line is not asked about


class Votes:
    """The model and how it is asked; fields as in `Language`."""

    def __init__(
        self, model: Any, max_chars: int, first_chars: int, sure: float, skip_code: bool, line_end: str = " "
    ) -> None:
        self.model, self.max_chars, self.sure, self.skip_code = model, max_chars, sure, skip_code
        self.line_end = line_end
        self.first_chars = min(first_chars, max_chars)

    def pages(self, text: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
        """(label, probability) of each text."""
        import pyarrow as pa
        import pyarrow.compute as pc

        head: Any = self._words(pc.utf8_slice_codeunits(text, 0, self.max_chars))
        # with a space the words on both sides of a line's end stay two
        lines = pc.replace_substring(head, "\n", self.line_end).to_pylist()
        labels, shares = self._ask([line[: self.first_chars] for line in lines])
        unsure = [i for i, line in enumerate(lines) if shares[i] < self.sure and len(line) > self.first_chars]
        for i, label, share in zip(unsure, *self._ask([lines[i] for i in unsure]), strict=True):
            labels[i], shares[i] = label, share
        return pa.array(labels, pa.string()), pa.array(shares, pa.float32())

    def lines(self, text: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
        """(label, probability) of each text, from a vote for each of its lines, weighed by characters."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from pipeline.contract import contiguous

        split = pc.split_pattern(contiguous(pc.utf8_slice_codeunits(text, 0, self.max_chars)), "\n")
        lines = pc.utf8_trim_whitespace(split.flatten())
        owner = np.repeat(np.arange(len(split)), pc.list_value_length(split).to_numpy())
        size = pc.utf8_length(lines).to_numpy(zero_copy_only=False).astype(np.int64)
        longest = np.zeros(len(split), np.int64)
        np.maximum.at(longest, owner, size)
        # where no line is long enough, the longest ones vote
        votes = (size > 0) & (size >= np.minimum(SHORT_LINE, longest[owner]))
        words = self._words(lines.filter(pa.array(votes)))
        labels, shares = self._ask(words.to_pylist())
        return _counted(labels, np.array(shares), size[votes], owner[votes], len(split))

    def _words(self, text: Any) -> Any:
        import pyarrow.compute as pc

        if not self.skip_code:
            return text
        words = pc.replace_substring_regex(text, CODE, " ")
        return pc.if_else(pc.less(pc.utf8_length(pc.utf8_trim_whitespace(words)), MIN_CHARS), text, words)

    def _ask(self, lines: list[str]) -> tuple[list[str | None], list[float]]:
        from stages.fasttext_models import predict

        labels, shares = predict(self.model, lines, k=1)
        return [row[0] if row else None for row in labels], [row[0] if row else 0.0 for row in shares]


def _counted(labels, shares, size, owner, texts: int) -> tuple[pa.Array, pa.Array]:
    """The label with most characters of each text (of equals, the first one voted for), and its mean probability."""
    import numpy as np
    import pyarrow as pa

    encoded = pa.array(labels, pa.string()).dictionary_encode()
    names = [*encoded.dictionary.to_pylist(), None]
    code = encoded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False).astype(np.int64)
    chars, weight = np.zeros((2, texts, len(names)))
    np.add.at(chars, (owner, code), size)
    np.add.at(weight, (owner, code), size * shares)
    best = chars.argmax(axis=1)
    whole = np.maximum(chars.sum(axis=1), 1)
    winner = [names[i] if chars[d, i] else None for d, i in enumerate(best)]
    return pa.array(winner, pa.string()), pa.array((weight[np.arange(texts), best] / whole).astype(np.float32))
