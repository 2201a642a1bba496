"""A mixture of plain rows and rows to be filled in: CodeGen2's span corruption (Nijkamp et al. 2023, arXiv 2305.02309).

In a share of the rows each document is rearranged: spans are taken out and stand behind it, after their marks
(`models.objectives.infill`). Its rearranged form is longer and the row is not, so it takes the row's filling first,
and where that is not enough the document gives up its *last* tokens, before anything is rearranged: no target is ever
cut, and no span crosses the border of a document. A document that has no room, or is too short, stays as it is.

With `prefix` a rearranged document is seen from both sides up to its `<sep>`, causally behind it, and only what stands
behind it is predicted: the paper's prefix variant, which it found no better and drops.

Without it, what is left is an ordinary causal row, and every token of it is predicted, marks too. The special tokens
around a document stay in their places: `<|endoftext|> a <mask_1> e <|endoftext|> <sep> <mask_1> B c <eom>
<|endoftext|>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.objectives.infill import Sentinels, Spans, choose_spans, corrupt, fitting_length
from models.objectives.masking import uniforms
from stages.training.collate import Collator, Key, Rows, batch_of, tensor

if TYPE_CHECKING:
    import numpy as np

    from models.batch import Batch

SEPARATOR, END_SPAN = "<sep>", "<eom>"


@dataclass(frozen=True, kw_only=True)
class Infill(Collator):
    """Next-token prediction, of documents that are rearranged for filling in in a share of the rows.

    The tokenizer must reserve `<mask_1>` to `<mask_n>`, `<sep>` and `<eom>` (`specials`).

    share                    of the rows; 0 is plain next-token prediction, to the byte
    least_share, most_share  of a document's tokens that are taken out: a draw for each document
    span_lengths             mean lengths of the spans [tokens], one of them drawn for each document
    least_tokens             a shorter document stays as it is
    most_spans               n, of a document
    prefix                   see what is left of a document from both sides, and predict its spans alone
    """

    share: float = 0.5
    least_share: float = 0.05
    most_share: float = 0.5
    span_lengths: tuple[int, ...] = (3, 8, 32)
    least_tokens: int = 16
    most_spans: int = 64
    prefix: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "span_lengths", tuple(self.span_lengths))
        _ = self.spans  # which names a field that is out of range
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share: found {self.share!r}, expected a share from 0 to 1")
        if self.most_spans < 1:
            raise ValueError(f"most_spans: found {self.most_spans!r}, expected at least 1")

    @property
    def spans(self) -> Spans:
        return Spans(
            least_share=self.least_share,
            most_share=self.most_share,
            span_lengths=self.span_lengths,
            least_tokens=self.least_tokens,
        )

    @property
    def needs(self) -> tuple[str, ...]:
        masks = (f"<mask_{number}>" for number in range(1, self.most_spans + 1))
        return *masks, SEPARATOR, END_SPAN

    def collate(self, rows: Rows, key: Key) -> Batch:
        import numpy as np

        from models.losses import IGNORE
        from stages.tokens.taken_rows import has_label

        ids, documents, plain = rows.ids.copy(), rows.documents.copy(), rows.plain
        kinds, context = np.zeros(len(ids), np.int64), np.zeros(ids.shape, bool)
        for row, number in enumerate(rows.numbers.tolist()):
            if uniforms(key.name(number, "infill"), 1)[0] < self.share:
                ids[row], documents[row], context[row] = self._rearranged(
                    rows, row, plain[row], key.name(number, "spans")
                )
                kinds[row] = 1
        wanted = has_label(documents)
        more = {"objective_b": tensor(kinds)} if self.share else {}
        if self.share and self.prefix:
            # <sep> is the last place of the context, and the first whose next token is predicted
            wanted &= ~context[:, 1:]
            more |= {"attention": "prefix", "prefix_bt": tensor(context[:, :-1])}
        labels = np.where(wanted, ids[:, 1:], IGNORE)
        return batch_of(rows, ids[:, :-1], labels, documents[:, :-1], **more)

    def _rearranged(
        self, rows: Rows, row: int, plain_t: np.ndarray, name: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids and documents `[T+1]` of a row whose documents are rearranged, and where the contexts of these are."""
        import numpy as np

        old, numbers = rows.ids[row], rows.documents[row]
        marks = [rows.specials[mark] for mark in self.needs]
        sentinels = Sentinels(tuple(marks[:-2]), rows.end_id, *marks[-2:])
        ids, documents = np.full_like(old, rows.end_id), np.zeros_like(numbers)
        context = np.zeros(len(old), bool)
        config, free, at = self.spans, int((numbers == 0).sum()), 0
        for document in range(1, int(numbers.max(initial=0)) + 1):
            places = np.flatnonzero(numbers == document)
            text = places[plain_t[places]]
            new, piece = old[places], f"{name}/{document}"
            # between its special tokens, where there are some
            if len(text) and text[-1] - text[0] + 1 == len(text):
                room = len(text) + free
                if kept := fitting_length(len(text), room, config, self.most_spans, piece):
                    spans = choose_spans(kept, config, self.most_spans, piece)
                    before, after = old[places[0] : text[0]], old[text[-1] + 1 : places[-1] + 1]
                    new = np.concatenate([before, corrupt(old[text[:kept]], spans, sentinels), after])
                    context[at : at + 1 + int(np.flatnonzero(new == sentinels.separator)[0])] = True
            free -= len(new) - len(places)
            ids[at : at + len(new)], documents[at : at + len(new)] = new, document
            at += len(new)
        return ids, documents, context
