"""Samples that teach a model to look back: documents joined, a fact hidden in them, and a question behind them.

Source: the retrieval data of Yi-200K (arXiv 2403.04652, section 7.1): documents joined, and an answer that recites its
paragraph before it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.bounds import Positive
from pipeline.contract import Context
from stages.chance import WHOLE, draws
from stages.documents import HELD_OUT, ID, PARENTS, TEXT, carried
from stages.needle.facts import fact, sentences
from stages.new_base import NewBaseNode, NewRows

if TYPE_CHECKING:
    import pyarrow as pa

OWN = {"prompt": "string", "answer": "string", "depth": "float32"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Haystack(NewBaseNode):
    """Make of each document a sample with a fact to find: `prompt` (the document and those behind it, joined up to
    `chars` characters, a fact between two of their sentences, a question) and `text`, the answer to learn.

    chars    of the text around the fact, about
    recites  the answer says the sentence of the fact before it answers
    seed     of facts and of their places

    Adds `answer`, the code that the fact tells, and `depth`, where the fact stands: 0 at the beginning, 1 at the end.
    Documents are joined with those behind them among 1,024, and at the end with the first ones. Facts are drawn by the
    document's id and the seed; those of `needle` are others. Held-out documents are left out, and count as `childless`.
    """

    chars: Positive = 600
    recites: bool = True
    seed: int = 0

    def reads(self) -> tuple[str, ...]:
        return (ID, TEXT, *carried(self.docs, HELD_OUT))

    def columns(self) -> Mapping[str, str]:
        return OWN

    def open(self, ctx: Context) -> NewRows:
        import pyarrow as pa
        import pyarrow.compute as pc

        def new_rows(table: pa.Table) -> pa.Table:
            if HELD_OUT in table.column_names:
                table = table.filter(pc.invert(pc.fill_null(table[HELD_OUT], False)))
            ids, texts = table[ID].to_pylist(), table[TEXT].to_pylist()
            depths = draws(ids, self.seed, "haystack depth")
            made: dict[str, list[object]] = {name: [] for name in (TEXT, PARENTS, *OWN)}
            for row, name in enumerate(ids):
                parts, parents = self._joined(row, texts)
                hidden, depth = fact(f"haystack/{self.seed}/{name}"), int(depths[row]) / WHOLE
                place = round(depth * len(parts))
                text = "".join([*parts[:place], hidden.statement, " ", *parts[place:]])
                values = (
                    hidden.answer(self.recites),
                    [ids[at] for at in parents],
                    text + hidden.question,
                    hidden.code,
                    depth,
                )
                for column, value in zip(made.values(), values, strict=True):
                    column.append(value)
            types = [pa.string(), pa.list_(pa.string()), pa.string(), pa.string(), pa.float32()]
            return pa.table(
                {name: pa.array(values, kind) for (name, values), kind in zip(made.items(), types, strict=True)}
            )

        return new_rows

    def _joined(self, row: int, texts: list[str]) -> tuple[list[str], list[int]]:
        """Sentences from a document on, and the documents that they are from."""
        parts: list[str] = []
        parents: list[int] = []
        room = self.chars
        for at in (*range(row, len(texts)), *range(row)):
            parents.append(at)
            for sentence in sentences(texts[at].rstrip() + "\n"):
                if len(sentence) > room:
                    return parts or [sentence[:room]], parents
                parts.append(sentence)
                room -= len(sentence)
        return parts, parents
