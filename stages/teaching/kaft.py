"""Samples that teach a model when to follow its context: where it answers, even against what the model knows, and only
there.

Of a question, a context that answers it, and the model's own answer without any context, four kinds are made:

    relevant        the context, and its answer
    counterfactual  the context with another answer of the same type at every mention, and that answer
    irrelevant      the context of another question, and the model's own answer
    empty           no context, and the model's own answer

The own answer may be wrong. It is what the model is to go on saying where no context speaks, so that what is learned is
when to listen, and no facts.

Source: Li et al. 2022 (Large language models with controllable working memory, arXiv 2211.05110). The paper does not
give the shares of the kinds; 1 : 1 : 1 : 1/2 is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.bounds import Share
from pipeline.contract import Context, Node
from pipeline.errors import RecipeError
from stages.chance import draws, share_limit
from stages.documents import ID, PARENTS, TEXT, columns_of
from stages.new_base import NewBaseNode, NewRows
from stages.teaching.answers import mentions, normalised

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("relevant", "counterfactual", "irrelevant", "empty")
OWN = {"kind": "string", "prompt": "string", "own": "string"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Kaft(NewBaseNode):
    """Make samples of four kinds from answers without context: `text` is the answer to learn, behind `prompt`.

    docs            the model's answers (`generate`, temperature 0), with the columns below (`carry`)
    question        column of the question
    context         column of a text that answers it
    answer          column of that answer
    type_           (`type` in a recipe) the answer's type, within which answers are exchanged; null = one type
    template        of the prompt, with `{context}` and `{question}`
    relevant, counterfactual, irrelevant, empty   share of the questions of which this kind is made
    carry           further columns of the answer that its samples have too
    seed            of all draws

    Adds `kind`, `prompt` and `own` (what the model says without context) to every sample. A context without its answer
    makes no relevant and no counterfactual sample. Other answers and contexts are drawn from the 1,024 rows around: an
    answer that the context already holds is no counterfactual one, and a context that holds the answer, or the model's
    own, is not irrelevant. A question of which nothing is made counts as `childless`.

    Errors: `RecipeError` for a column that is not there.
    """

    docs: Node
    question: str = "question"
    context: str = "context"
    answer: str = "answer"
    type_: str | None = None
    template: str = "{context}\n{question}\n"
    relevant: Share = 1.0
    counterfactual: Share = 1.0
    irrelevant: Share = 1.0
    empty: Share = 0.5
    carry: tuple[str, ...] = ()
    seed: int = 0

    def check(self) -> None:
        have = columns_of(self.docs)
        fields = {"question": self.question, "context": self.context, "answer": self.answer}
        fields |= {"type": self.type_} if self.type_ else {}
        for field, name in fields.items():
            if have.get(name) != "string":
                found = f"{name!r} of type {have.get(name, 'none')}"
                raise RecipeError(f"kaft.{field}", found, "a column of text", "generate: carry takes columns along")
        for name in self.carry:
            if name not in have or name in (ID, TEXT, *OWN):
                raise RecipeError("kaft.carry", f"{name!r}", "columns of the answers that a sample has not itself")
        if any(part not in self.template for part in ("{context}", "{question}")):
            raise RecipeError("kaft.template", f"{self.template!r}", "{context} and {question} in it")

    def reads(self) -> tuple[str, ...]:
        names = (ID, TEXT, self.question, self.context, self.answer, *([self.type_] if self.type_ else []), *self.carry)
        return tuple(dict.fromkeys(names))

    def columns(self) -> Mapping[str, str]:
        have = columns_of(self.docs)
        return {**OWN, **{name: have[name] for name in self.carry if name in have}}

    def open(self, ctx: Context) -> NewRows:
        import pyarrow as pa

        def new_rows(table: pa.Table) -> pa.Table:
            batch = _Batch(self, table)
            made = [(row, sample) for row in range(table.num_rows) for sample in batch.samples(row)]
            at = [row for row, _ in made]
            prompts = [
                self.template.replace("{question}", batch.questions[row]).replace("{context}", context)
                for row, (_, context, _) in made
            ]
            values = {
                TEXT: [answer for _, (_, _, answer) in made], "kind": [kind for _, (kind, _, _) in made],
                "prompt": prompts, "own": [batch.own[row] for row in at],
            }  # fmt: skip
            columns = {name: pa.array(value, pa.string()) for name, value in values.items()}
            columns[PARENTS] = pa.array([[batch.ids[row]] for row in at], pa.list_(pa.string()))
            return pa.table(columns | {name: table[name].take(pa.array(at, pa.int64())) for name in self.carry})

        return new_rows


class _Batch:
    """The rows that other answers and contexts are drawn from."""

    def __init__(self, node: Kaft, table: pa.Table) -> None:
        self.node = node
        self.ids, self.own = table[ID].to_pylist(), table[TEXT].to_pylist()
        self.questions, self.contexts, self.answers = (
            [value or "" for value in table[name].to_pylist()] for name in (node.question, node.context, node.answer)
        )
        types = table[node.type_].to_pylist() if node.type_ else [None] * len(self.ids)
        self._same_type: dict[Any, list[int]] = {}
        for row, type_ in enumerate(types):
            self._same_type.setdefault(type_, []).append(row)
        self._types = types
        self._drawn = {kind: draws(self.ids, node.seed, f"kaft {kind}") for kind in KINDS}
        self._from = {kind: draws(self.ids, node.seed, f"kaft other {kind}") for kind in KINDS}

    def samples(self, row: int) -> Iterator[tuple[str, str, str]]:
        """(kind, context, answer) of the samples of a question."""
        context, answer, own = self.contexts[row], self.answers[row], self.own[row].strip()
        there = mentions(answer)
        if self._is_drawn("relevant", row) and there.search(context):
            yield "relevant", context, answer
        if self._is_drawn("counterfactual", row) and there.search(context):
            other = self._other_answer(row)
            if other is not None:
                yield "counterfactual", there.sub(lambda _: other, context), other
        if self._is_drawn("irrelevant", row):
            elsewhere = self._other_context(row)
            if elsewhere is not None:
                yield "irrelevant", elsewhere, own
        if self._is_drawn("empty", row):
            yield "empty", "", own

    def _is_drawn(self, kind: str, row: int) -> bool:
        return int(self._drawn[kind][row]) < share_limit(getattr(self.node, kind))

    def _in_turn(self, kind: str, row: int, rows: list[int]) -> Iterator[int]:
        """Other rows, from one that is drawn on."""
        start = int(self._from[kind][row]) % len(rows)
        yield from (other for other in rows[start:] + rows[:start] if other != row)

    def _other_answer(self, row: int) -> str | None:
        known = normalised(self.answers[row])
        for other in self._in_turn("counterfactual", row, self._same_type[self._types[row]]):
            answer = self.answers[other]
            if normalised(answer) not in ("", known) and not mentions(answer).search(self.contexts[row]):
                return answer
        return None

    def _other_context(self, row: int) -> str | None:
        places = [mentions(self.answers[row]), mentions(self.own[row].strip())]
        for other in self._in_turn("irrelevant", row, list(range(len(self.ids)))):
            context = self.contexts[other]
            if context.strip() and context != self.contexts[row] and not any(p.search(context) for p in places):
                return context
        return None
