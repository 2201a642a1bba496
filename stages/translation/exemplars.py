"""Exemplars for a prompt: translations out of other languages, which show a model what is asked of it, where no pair of
the language itself is known.

The model has seen much of some languages, and translates them by itself. Its translations out of several of them, in
several scripts, stand before a text of a language that it has seen little of. The other way round the pairs that are
made so are the exemplars, with the sides exchanged: what a model is shown to write is then text that people wrote.

Source: Nguyen et al. 2023 (Democratizing LLMs for low-resource languages by linguistically-diverse prompting, arXiv
2306.11372), of which no code is public. How many exemplars, and of which languages, it does not say; eight of four
scripts is ours.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.bounds import Positive
from pipeline.contract import ONE, Columns, Context, Node, Removed, Result, RowFunction, RowPhase, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.documents import ID, TEXT, columns_of
from stages.translation.choosing import Exemplar, TokenBudget, WantedSet, choose
from stages.translation.scripts import letters, most
from stages.wants import Documents, TokenizerNode

if TYPE_CHECKING:
    import pyarrow as pa

LETTERS = 10_000  # of a language, from which its script is told
LANGUAGES = 1000
PARTS = re.compile(r"\{source\}|\{target\}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Exemplars(Node):
    """Add `shots`, the exemplars that stand before a document in a prompt: string, one set for each language.

    docs        documents, with their language
    bank        pairs of texts, with the language of the pair
    lang        the column of the language, in both; `language` adds `lang`
    source      the column of the bank that an exemplar shows first
    target      and the one that it shows as the translation
    out_of      `others`: exemplars of other languages, of other scripts than the document's; `own`: of its language,
                which are pairs that were made before
    k           exemplars in a set, at most; fewer where the budget or the bank ends before
    scripts     scripts that a set of other languages has, as even as can be
    form        how an exemplar is written, with `{source}` and `{target}`
    max_tokens  that a set may have; longer exemplars are passed over
    tokenizer   a `tokenizer` node, that of the model; null = each byte is a token, more than any of bytes makes
    seed        of the draws
    as_         (`as` in a recipe) the name of the column

    A language's script is that of most of its letters. Removes with `exemplars.no_language` (null) and
    `exemplars.shown`: the text stands in the set itself, and would be told its own translation. Errors: `DataError` for
    a language that the bank has too few scripts, or no pair, for.
    """

    docs: Node
    bank: Documents
    lang: str = "lang"
    source: str = TEXT
    target: str = "english"
    out_of: Literal["others", "own"] = "others"
    k: Positive = 8
    scripts: Positive = 4
    form: str = "{source} = {target}\n"
    max_tokens: Positive = 1024
    tokenizer: TokenizerNode | None = None
    seed: int = 0
    as_: str = "shots"

    libraries = ("tokenizers",)
    reasons = ("exemplars.no_language", "exemplars.shown")

    def check(self) -> None:
        for field, name, of in (
            ("lang", self.lang, self.docs), ("lang", self.lang, self.bank), ("source", self.source, self.bank),
            ("target", self.target, self.bank),
        ):  # fmt: skip
            have = columns_of(of)
            if have.get(name) != "string":
                found = f"{name!r} of type {have.get(name, 'none')} in {'docs' if of is self.docs else 'bank'}"
                texts = ", ".join(sorted(each for each, kind in have.items() if kind == "string"))
                raise RecipeError(f"exemplars.{field}", found, f"a column of text: {texts}")
        if len(set(PARTS.findall(self.form))) < 2:
            raise RecipeError("exemplars.form", f"{self.form!r}", "{source} and {target} in it")
        if self.out_of == "others" and self.k < self.scripts:
            raise RecipeError("exemplars.k", f"{self.k} exemplars of {self.scripts} scripts", "one of each at least")

    def adds(self) -> Mapping[str, str]:
        return {self.as_: "string"}

    def phases(self):
        needs = (TEXT, self.lang)
        return (TaskPhase(name="sets", keys=one, run=self._sets), RowPhase(open=self._open, needs=needs))

    def _sets(self, ctx: Context, key: str) -> Result:
        """The set of every language of the documents."""
        bank, written = self._bank(ctx), self._scripts(ctx, "docs", TEXT)
        of_bank = self._scripts(ctx, "bank", self.source)
        budget = TokenBudget(self.max_tokens, self._tokens(ctx))
        sets, sizes = {}, []
        for lang in sorted(written):
            how = WantedSet(lang, written[lang], self.out_of, self.k, self.scripts, self.seed)
            found = choose(bank, of_bank, how, budget)
            shots = "".join(exemplar.text for exemplar in found)
            sets[lang] = {
                "shots": shots, "shown": sorted({text for each in found for text in (each.source, each.target)}),
                "ids": [each.id for each in found],
            }  # fmt: skip
            scripts = sorted({of_bank[each.lang] or "" for each in found})
            sizes.append([lang, written[lang] or "", len(found), ", ".join(scripts), budget.tokens(shots)])
        with ctx.create(".json") as path:
            path.write_text(json.dumps(sets, sort_keys=True, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        return Result(counts={"languages": len(sets), "bank": len(bank)}, facts={"sets": sizes})

    def _bank(self, ctx: Context) -> list[Exemplar]:
        """The pairs of the bank, each source once: that of the smallest id."""
        found: dict[tuple[str, str], Exemplar] = {}
        for _, table in ctx.rows(list(dict.fromkeys([ID, self.lang, self.source, self.target])), of="bank"):
            columns = (table[name].to_pylist() for name in (ID, self.lang, self.source, self.target))
            for name, lang, source, target in zip(*columns, strict=True):
                if lang and (source or "").strip() and (target or "").strip():
                    source, target = source.strip(), target.strip()
                    exemplar = Exemplar(name, lang, source, target, self._written(source, target))
                    before = found.get((lang, source))
                    if before is None or name < before.id:
                        found[lang, source] = exemplar
        return list(found.values())

    def _written(self, source: str, target: str) -> str:
        values = {"{source}": source, "{target}": target}
        return PARTS.sub(lambda part: values[part[0]], self.form)

    def _scripts(self, ctx: Context, of: str, column: str) -> dict[str, str | None]:
        """Language -> the script of most of its letters."""
        counts: dict[str, Counter[str]] = {}
        for _, table in ctx.rows([self.lang, column], of=of):
            for lang, text in zip(table[self.lang].to_pylist(), table[column].to_pylist(), strict=True):
                if lang and text and (of_lang := counts.setdefault(lang, Counter())).total() < LETTERS:
                    of_lang.update(letters(text))
            if len(counts) > LANGUAGES:
                raise DataError(f"exemplars.lang {self.lang}", f"more than {LANGUAGES:,} values", "names of languages")
        return {lang: most(of_lang) for lang, of_lang in counts.items()}

    def _tokens(self, ctx: Context):
        if self.tokenizer is None:
            return lambda text: len(text.encode())
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(ctx.path("train", ONE[0], ".json", of="tokenizer")))
        return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)

    def figures(self, ctx: Context):
        rows = ctx.result("sets", ONE[0]).facts["sets"]
        columns = ["language", "script", "exemplars", "their scripts", "tokens"]
        yield {"kind": "table", "title": "Exemplars of each language", "columns": columns, "rows": rows}

    def _open(self, ctx: Context) -> RowFunction:
        import pyarrow as pa

        sets = ctx.read_json("sets")
        shots = {lang: one["shots"] for lang, one in sets.items()}
        shown = {lang: set(one["shown"]) for lang, one in sets.items()}

        def rows(table: pa.Table) -> Columns:
            langs = table[self.lang].to_pylist()
            reasons = [
                "exemplars.no_language" if not lang else "exemplars.shown" if text.strip() in shown[lang] else None
                for lang, text in zip(langs, table[TEXT].to_pylist(), strict=True)
            ]
            none = pa.nulls(table.num_rows, pa.float64())
            return Columns(
                added={self.as_: pa.array([shots.get(lang) for lang in langs], pa.string())},
                removed=Removed(pa.array(reasons, pa.string()), none, none),
            )

        return rows
