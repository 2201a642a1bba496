"""The rules of C4 (Raffel et al. 2020, arXiv 1910.10683, section 2.2), as its published code applies them.

Lines go one by one, in this order of rules; what they leave is judged as a page. Leaves out the list of bad words and
the language, which are rules of their own; a sentence ends at its mark and white space, where the original asks a
trained model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Literal

from pipeline.bounds import Count, Positive
from pipeline.contract import Columns, Context, Node, Removed, RowFunction, threshold
from stages.clean.c4_phrases import CITATION, ENDS, LOREM, POLICY, QUOTES, SCRIPT
from stages.clean.cut import COUNTED_BY
from stages.clean.rules import Rule, RuleNode

LINE_RULES = ("long_word", "no_end", "few_words", "javascript", "policy")
RULES = (
    Rule("max_lorem_ipsum", "c4_lorem_ipsum", "int32"),
    Rule("max_curly_brackets", "c4_curly_brackets", "int32"),
    Rule("min_sentences", "c4_sentences", "int32"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class C4(RuleNode):
    """Drop lines that are no prose and pages with too few of them left, by the rules of C4; reason `c4.<field>`.

    Lines, without the white space around them, go for the first of these; the text
    is the rest (None or false turns a rule off), and a page without any goes for `c4.empty` at the latest:

    max_word_chars    characters of the longest word, at most
    end_mark          the line does not end with one of . ! ? " ' (`ends`), or ends with `...`
    min_line_words    words of the line, at least (not asked in scripts without spaces)
    javascript        the line holds the word `javascript`
    policy            the line holds a phrase of privacy policies and cookie banners
    citations         marks of citations, like `[1]`, are taken out of the text first

    ends           `paper`: those five marks; `any_script`: those of other scripts too (。 ؟ ।), and quotes behind them
    keep_ellipsis  lines that end with an ellipsis stay
    words          `datatrove`, `dclm`: lines, marks and (for `datatrove`) sentences as in the code of these projects,
                   for equal verdicts and texts (`stages.clean.datatrove_pages`, `stages.clean.dclm_lines`)

    Adds `c4_lines` int32 (lines that are not blank), `c4_long_word`, `c4_no_end`, `c4_few_words`, `c4_javascript`,
    `c4_policy` int32 (lines gone for each rule), and, of the lines that no earlier rule took, `c4_lorem_ipsum` and
    `c4_curly_brackets` int32 (lines that hold one: a page with any goes), `c4_sentences` int32 (of what remains).
    """

    recipe_name = "c4"

    docs: Node
    max_word_chars: Positive | None = 1000
    end_mark: bool = True
    min_line_words: Count | None = 3
    javascript: bool = True
    policy: bool = True
    citations: bool = True
    ends: Literal["paper", "any_script"] = "paper"
    keep_ellipsis: bool = False
    words: Literal["whitespace", "datatrove", "dclm"] = "whitespace"
    min_sentences: Count | None = threshold(5)
    max_lorem_ipsum: Count | None = threshold(0)
    max_curly_brackets: Count | None = threshold(0)

    version = 3
    changes_text = True
    reasons = (*(f"c4.{rule.field}" for rule in RULES), "c4.empty")
    rules = RULES
    bins = {  # noqa: RUF012
        "c4_sentences": (0, 200, 40), "c4_lorem_ipsum": (0, 10, 10), "c4_curly_brackets": (0, 40, 40),
        **{f"c4_{rule}": (0, 100, 50) for rule in ("lines", *LINE_RULES)},
    }  # fmt: skip

    def adds(self):
        return {**{f"c4_{rule}": "int32" for rule in ("lines", *LINE_RULES)}, **super().adds()}

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return COUNTED_BY["datatrove"] if self.words == "datatrove" else ()

    def open(self, ctx: Context) -> RowFunction:
        if self.words == "whitespace":
            return self._rows
        from stages.clean import datatrove_pages, dclm_lines

        edit = (datatrove_pages if self.words == "datatrove" else dclm_lines).editor(self)
        return lambda table: self._edited(table, edit)

    def marks(self) -> tuple[str, ...]:
        """The characters that a line may end with."""
        from stages.clean import characters

        others = () if self.ends == "paper" else (*characters.ENDS.replace("…", ""), *QUOTES)
        return (*ENDS, *others, *(("…",) if self.keep_ellipsis else ()))

    def _edited(self, table, edit) -> Columns:
        """The columns and texts of a way of counting that is not the compiled walk."""
        import pyarrow as pa

        from stages.clean import cut as c

        olds = table["text"].to_pylist()
        found = [edit(old) for old in olds]
        new = pa.array([left for left, _ in found], pa.string())
        counts = {name.removeprefix("c4_"): name for name in self.adds()}
        added = {name: pa.array([row.get(count, 0) for _, row in found], pa.int32()) for count, name in counts.items()}
        if self.words == "dclm":
            cut = c.cut_fresh(new, "whitespace", "auto")
            added["c4_sentences"] = pa.array(cut.per_line(cut.line_facts[:, c.SENTENCES]), pa.int32())
        texts = [None if left == old else left for (left, _), old in zip(found, olds, strict=True)]
        return Columns(added=added, text=pa.array(texts, pa.string()))

    def decide(self, scores) -> Removed:
        import pyarrow.compute as pc

        gone = reduce(pc.add, [scores[f"c4_{rule}"] for rule in LINE_RULES])
        empty = Removed.where(pc.equal(gone, scores["c4_lines"]), "c4.empty")
        broken = super().decide(scores)
        return empty if broken is None else Removed.first([broken, empty])

    def _rows(self, table) -> Columns:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        from pipeline.contract import contiguous
        from stages.clean import cut as c
        from stages.clean.edits import Lines, joined, lines_of

        text = contiguous(table["text"])
        if self.citations:
            cited = pc.match_substring_regex(text, CITATION)
            if pc.any(cited).as_py():
                text = pc.if_else(cited, pc.replace_substring_regex(text, CITATION, ""), text)
        cut = c.cut(text, "whitespace", "auto")
        lines = Lines(cut, blank=False)
        facts, owner = lines.facts, lines.owner

        def holding(pattern: str, ignore_case: bool = True) -> np.ndarray:
            """Lines left that hold one of the phrases; they are looked for in documents first."""
            found = lines.none()
            having = pc.match_substring_regex(text, pattern, ignore_case=ignore_case).to_numpy(zero_copy_only=False)
            some = np.flatnonzero(having[owner] & lines.left)
            if len(some):
                held = lines_of(cut, lines.places[some], whole=False)
                found[some] = pc.match_substring_regex(held, pattern, ignore_case=ignore_case).to_numpy(False)
            return found

        most = self.max_word_chars
        lines.take("long_word", facts[:, c.LONGEST] > most if most else lines.none())
        ends = np.isin(facts[:, c.LAST], [ord(mark) for mark in self.marks()])
        ends &= (facts[:, c.DOTS] < 3) | self.keep_ellipsis
        lines.take("no_end", ~ends if self.end_mark else lines.none())
        lines.take("few_words", (lines.words < (self.min_line_words or 0)) & ~cut.chars_unit[owner])
        lorem = holding(LOREM)
        lines.take("javascript", holding(SCRIPT) if self.javascript else lines.none())
        curly = holding(r"\{", ignore_case=False)
        lines.take("policy", holding("|".join(POLICY)) if self.policy else lines.none())
        left = lines.left
        new = joined(lines_of(cut, lines.places[left], whole=False), owner[left], len(cut))
        return Columns(
            added={
                "c4_lines": lines.count(~lines.none()),
                **{f"c4_{rule}": lines.count(gone) for rule, gone in lines.gone.items()},
                "c4_lorem_ipsum": lines.count(lorem),
                "c4_curly_brackets": lines.count(curly),
                "c4_sentences": lines.count(np.where(left, facts[:, c.SENTENCES], 0)),
            },
            text=pc.if_else(pc.equal(new, contiguous(table["text"])), pa.scalar(None, pa.string()), new),
        )
