"""What is cheap to know of a pair of texts: how long they are, how alike they look, and whether their numbers agree.

An entailment model is asked about every pair that is left, so these stand before it. Each is a rule of its own, and a
pair stays when it breaks none: in which order they are asked changes nothing.

Source: Jung et al. 2023 (Impossible Distillation, arXiv 2305.16635), whose code has .8 to 1.5 for the lengths. Its rule
for numbers goes over the summary's twice, so that those of the source may vanish; here both sides are looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.bounds import Amount, Share
from pipeline.contract import Node, Removed, threshold
from pipeline.errors import RecipeError
from stages.clean.rules import Rule, RuleNode
from stages.documents import TEXT, columns_of

if TYPE_CHECKING:
    import pyarrow as pa

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, kw_only=True, eq=False)
class Critics(RuleNode):
    """Drop pairs of texts that are no paraphrase, or no summary, at a glance; reason `critics.<rule>`.

    x          the column that `text` is held against
    min_ratio  words of `text` by those of `x`, at least; reason `critics.length`
    max_ratio  and at most: .8 for summaries
    max_rouge  ROUGE-L of the two, at most: above it one is a copy; reason `critics.copy`
    numbers    `equal`: both have the same numbers; `kept`: `text` has none that `x` lacks, as a summary; `any`. Reason
               `critics.numbers`

    as_        (`as` in a recipe) what the names of the columns begin with

    Adds: `<as>_ratio` and `<as>_rouge_l` float32, `<as>_numbers` (`equal`, `kept` or `other`). A threshold of None is
    off. Words are runs of letters and digits. A pair that breaks several rules has the reason of the first one.
    """

    docs: Node
    x: str = "x"
    min_ratio: Amount | None = threshold(0.8)
    max_ratio: Amount | None = threshold(1.5)
    max_rouge: Share | None = threshold(0.75)
    numbers: Literal["equal", "kept", "any"] = threshold("equal")
    as_: str = "pair"

    rules = (
        Rule("min_ratio", "_ratio", "float32", "length"),
        Rule("max_ratio", "_ratio", "float32", "length"),
        Rule("max_rouge", "_rouge_l", "float32", "copy"),
    )
    others = {"_numbers": "string"}  # noqa: RUF012
    bins = {"_ratio": (0.0, 2.0, 40)}  # noqa: RUF012
    reasons = ("critics.length", "critics.copy", "critics.numbers")

    def check(self) -> None:
        check_text("critics.x", self.x, self.docs)

    @property
    def needs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (TEXT, self.x)

    def scores(self, table: pa.Table):
        import pyarrow as pa

        from stages.distillation.rouge import rouge_l, words

        pairs = list(zip((x or "" for x in table[self.x].to_pylist()), table[TEXT].to_pylist(), strict=True))
        cut = [(words(x), words(y)) for x, y in pairs]
        ratio = pa.array([len(y) / max(len(x), 1) for x, y in cut], pa.float32())
        rouge = pa.array([rouge_l(x, y) for x, y in cut], pa.float32())
        return dict(zip(self.adds(), (ratio, rouge, [agreement(x, y) for x, y in pairs]), strict=True))

    def decide(self, scores: pa.Table) -> Removed | None:
        import pyarrow as pa
        import pyarrow.compute as pc

        found = super().decide(scores)
        if self.numbers == "any":
            return found
        good = pa.array(["equal"] if self.numbers == "equal" else ["equal", "kept"])
        other = Removed.where(pc.invert(pc.is_in(scores[f"{self.as_}_numbers"], good)), "critics.numbers")
        return other if found is None else Removed.first([found, other])


def agreement(x: str, y: str) -> str:
    """How the numbers of `y` stand to those of `x`."""
    of_x, of_y = set(NUMBER.findall(x)), set(NUMBER.findall(y))
    return "equal" if of_x == of_y else "kept" if of_y < of_x else "other"


def check_text(place: str, name: str, docs: Node) -> None:
    """Raise RecipeError for a column that the documents do not carry as a string."""
    have = columns_of(docs)
    if have.get(name) != "string":
        texts = ", ".join(sorted(each for each, kind in have.items() if kind == "string"))
        raise RecipeError(place, f"{name!r} of type {have.get(name, 'none')}", f"a column of text: {texts}")
