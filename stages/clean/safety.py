"""How much of a document is of violence, sex, politics or hate, by lists of words. It reports; the user decides.

Yi's filter of unsafe pages (01.AI 2024, arXiv 2403.04652, section 2.1) is a model that was not published. Lists run
everywhere; a classifier of labels of your own is `train_classifier` and `classify` with `as: safety`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.bounds import Amount
from pipeline.contract import Columns, Context, Node, RowFunction, sources, threshold
from pipeline.errors import RecipeError
from stages.clean.rules import Rule, RuleNode

LABELS = ("violence", "sex", "politics", "hate")
RULES = tuple(Rule(f"max_{label}", f"safety_{label}", "float32") for label in LABELS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Safety(RuleNode):
    """Add the share of a document's words that are of a list, float32 `safety_<label>`; null without that list.

    violence, sex, politics, hate  text files of words and phrases, one a line; case does not matter, and a word counts
                                   as a whole one. No list comes with this node: what is unsafe hangs on who reads
    max_<label>                    documents with a larger share go, reason `safety.max_<label>`; None, the default,
                                   removes nothing
    """

    docs: Node
    violence: tuple[str, ...] = sources(())
    sex: tuple[str, ...] = sources(())
    politics: tuple[str, ...] = sources(())
    hate: tuple[str, ...] = sources(())
    max_violence: Amount | None = threshold(None)
    max_sex: Amount | None = threshold(None)
    max_politics: Amount | None = threshold(None)
    max_hate: Amount | None = threshold(None)

    version = 2
    rules = RULES
    bins = {rule.column: (0.0, 0.1, 40) for rule in RULES}  # noqa: RUF012

    def check(self) -> None:
        if not any(getattr(self, label) for label in LABELS):
            raise RecipeError("safety", "no list at all", f"files of words in {', '.join(LABELS)}")
        for label in LABELS:
            if getattr(self, f"max_{label}") is not None and not getattr(self, label):
                raise RecipeError(f"safety.max_{label}", "a limit without a list", f"files of words in {label}")

    def open(self, ctx: Context) -> RowFunction:
        import pyarrow as pa

        from stages.clean.terms import Finder, terms_of

        used = [label for label in LABELS if getattr(self, label)]
        finders = {label: Finder(terms_of(ctx, f"safety.{label}", (), label, True)) for label in used}

        def rows(table) -> Columns:
            nothing = pa.nulls(table.num_rows, pa.float32())
            found = {label: finder.find(table["text"]).shares() for label, finder in finders.items()}
            return Columns(added={f"safety_{label}": found.get(label, nothing) for label in LABELS})

        return rows
