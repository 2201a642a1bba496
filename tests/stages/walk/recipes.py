"""Graphs for walks, from plain settings; and the settings that may change between two runs."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.objectives.gedi import Gedi
from models.presets import Llama
from pipeline.contract import Node
from siftloom import stages as s
from stages.tokens.classes import Classes
from tests.stages.walk.files import Files
from tests.stages.walk.sounds import CHOICES as OF_SOUNDS
from tests.stages.walk.sounds import SoundFiles, sounds

LIMITS = (None, None, None, 1, 2, 3, 5, 8, 13, 21, 34, 100)

CHOICES: dict[str, tuple[Any, ...]] = {
    "limit": LIMITS,
    "more_limit": LIMITS,
    "shard_bytes": (150, 500, 2000),
    "range_bytes": (300, 100_000),
    "trust": ("digest", "digest", "listing"),
    "txt_split": ("file", "line", "paragraph"),
    "keep_stars": (False, True),
    "order": ("web more", "more web", "web", "web titles"),
    "least": (0, 40, 120),
    "min_words": (1, 12, 30),
    "words": ("whitespace", "unicode"),
    "min_line_words": (None, 3, 6),
    "match": ("bytes", "words"),
    "keep": ("first", "longest"),
    "min_jaccard": (None, 0.4, 0.6, 0.8),
    "ngram": (2, 5),
    "line_keep": ("first", "none"),
    "min_copies": (2, 3),
    "span_length": (3, 6),
    "span_share": (0.5, 1.0),
    "held_out": (0.1, 0.3, 0.5),
    "seed": (0, 1),
    "keep_fraction": (0.5, 0.9, 1.0),
    "quantile": (0.6, 0.9, 1.0),
    "where": ("letters > 60", "letters > 20 or not held_out"),
    "compact": (False, True),
    "format": ("parquet", "jsonl.gz"),
    "columns": ((), ("id", "text")),
    "length": (16, 32),
    "vocab_size": (300, 320),
    "t": (-10.0, 0.0, 5.0),
    "most": (None, 1, 4),
    "max_rouge": (None, 0.5, 0.9),
    "min_entail": (0.3, 0.6),
    "relevant": (0.3, 1.0),
    "k": (1, 3),
    "max_copied": (None, 0.5, 0.9),
    "gopher_version": (101, 102),
    "exact_version": (101, 102),
    "batch_rows": (2, 5, 32),
    "max_chars": (40, 2000),
    "wanted": ("<long>", "<short>"),
    "pooling": ("mean", "weighted", "last"),
    "template": ("{text}", "{shown}: {text}"),
    "belongs": ("group", "last", "id"),
    "centre": (False, True),
    "depth": (1, 10),
    "gold": ("letters", "posterior"),
    "training_seed": (0, 1),
    **OF_SOUNDS,
}

CODE = '''"""A function of a user's."""

import pyarrow as pa
import pyarrow.compute as pc


def look(table, least):
    count = pc.add(pc.utf8_length(table["text"]), {number})
    removed = pc.if_else(pc.less(count, least), "short", pa.scalar(None, pa.string()))
    text = pc.if_else(pc.greater(count, {longer}), pc.utf8_replace_slice(table["text"], 0, 1, "{letter}"), None)
    return {{"letters": count, "removed": removed, "text": text}}


def sort(table):
    texts = table["text"].to_pylist()
    group = [text[:1].lower() for text in texts]
    return {{"letters": [len(text) % {longer} for text in texts], "group": group, "shown": texts,
             "last": [text.split()[-1] if text.split() else "" for text in texts]}}


def size(table):
    return {{"size": ["long" if len(text) > {longer} else "short" for text in table["text"].to_pylist()]}}


def judge(premises, hypotheses):
    return [(len(one) * 31 + len(other) * {number}) % 97 / 97 for one, other in zip(premises, hypotheses)]
'''


def code(version: int) -> str:
    """The user's module in one of its versions."""
    return CODE.format(number=version % 7, longer=60 + version * 13 % 90, letter="abcdefgh"[version % 8].upper())


def start(rng: random.Random) -> dict[str, Any]:
    """Settings to begin with."""
    return {name: rng.choice(values) for name, values in CHOICES.items()} | {"code": 1}


def change(settings: dict[str, Any], rng: random.Random, used: set[str]) -> str:
    """Change one of the settings that a recipe uses; limits and the user's code more often than others."""
    name = rng.choice([*sorted(used & CHOICES.keys()), "limit", "limit", *(["code"] * 3 if "code" in used else [])])
    if name == "code":
        known = settings.setdefault("codes", [1])
        version = rng.choice([*known, max(known) + 1, max(known) + 1])
        settings["codes"] = sorted({*known, version})
        settings["code"] = version
    else:
        others = [value for value in CHOICES[name] if value != settings[name]]
        settings[name] = rng.choice(others or CHOICES[name])
    return f"{name} = {settings[name]}"


class Asked(dict):
    """Settings that remember which of them were asked for."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.used.add(name)
        return super().__getitem__(name)


def _read(of: Asked, folder: Path, limit: str, **more: Any) -> Node:
    keep = ("stars",) if of["keep_stars"] else ()
    return s.Read(
        paths=(str(folder),), limit=of[limit], shard_bytes=of["shard_bytes"], range_bytes=of["range_bytes"],
        trust=of["trust"], txt_split=of["txt_split"], keep=keep, **more,
    )  # fmt: skip


def _bases(of: Asked, folder: Path) -> Any:
    """One or two bases; the second reads other files in the same way, or other fields of the same files."""
    bases = {
        "web": _read(of, folder / "web", "limit"),
        "more": _read(of, folder / "more", "more_limit"),
        "titles": _read(of, folder / "web", "more_limit", text="title"),
    }
    return tuple(bases[name] for name in of["order"].split())


def rules(of: Asked, folder: Path) -> dict[str, Node]:
    """Rules by column, a user's function, cuts by rank."""
    docs = _bases(of, folder)
    own = s.Map(
        docs=docs, fn="own_code:look", version_=of["code"], writes={"letters": "int64"}, removes=("short",),
        new_text=True, params={"least": of["least"]}, allow_empty=True,
    )  # fmt: skip
    plain = s.GopherQuality(docs=own, min_words=of["min_words"], min_stop_words=0, words=of["words"], allow_empty=True)
    tidy = s.C4(docs=plain, min_line_words=of["min_line_words"], min_sentences=0, policy=False, allow_empty=True)
    marked = s.Split(docs=tidy, held_out=of["held_out"], seed=of["seed"], allow_empty=True)
    usual = s.Outliers(docs=marked, max={"letters": of["quantile"]}, allow_empty=True)
    best = s.Select(docs=usual, by="letters", keep_fraction=of["keep_fraction"], allow_empty=True)
    some = s.Select(docs=best, where=of["where"], allow_empty=True)
    files = s.Write(docs=some, format=of["format"], columns=of["columns"])
    return {"own": own, "plain": plain, "tidy": tidy, "marked": marked, "usual": usual, "best": best, "some": some,
            "files": files}  # fmt: skip


def dedup(of: Asked, folder: Path) -> dict[str, Node]:
    """Every dedup, behind one another."""
    docs = _bases(of, folder)
    distinct = s.ExactDedup(docs=docs, match=of["match"], keep=of["keep"], max_removed_fraction=1.0)
    unique = s.MinHashDedup(
        docs=distinct, ngram=of["ngram"], min_jaccard=of["min_jaccard"], keep=of["keep"], bands=8, rows=2,
        max_removed_fraction=1.0,
    )  # fmt: skip
    once = s.LineDedup(docs=unique, keep=of["line_keep"], min_copies=of["min_copies"], allow_empty=True)
    spans = s.SubstringDedup(
        docs=once, length=of["span_length"], match=of["match"], keep=of["line_keep"], share=of["span_share"],
        allow_empty=True,
    )  # fmt: skip
    plain = s.GopherQuality(docs=spans, min_words=of["min_words"], min_stop_words=0, allow_empty=True)
    marked = s.Split(docs=plain, held_out=of["held_out"], seed=of["seed"], allow_empty=True)
    files = s.Write(docs=marked, format=of["format"], columns=of["columns"], to="published")
    return {
        "distinct": distinct, "unique": unique, "once": once, "spans": spans, "plain": plain, "marked": marked,
        "files": files,
    }  # fmt: skip


def tokens(of: Asked, folder: Path) -> dict[str, Node]:
    """A new base in the middle, a trainer, packed rows."""
    docs: Any = _bases(of, folder)
    distinct = s.ExactDedup(docs=docs, match=of["match"], keep=of["keep"], max_removed_fraction=1.0)
    nodes: dict[str, Node] = {"distinct": distinct}
    docs = distinct
    if of["compact"]:
        nodes["new"] = docs = s.Compact(docs=docs)
    once = s.LineDedup(docs=docs, keep=of["line_keep"], min_copies=of["min_copies"], allow_empty=True)
    marked = s.Split(docs=once, held_out=of["held_out"], seed=of["seed"], allow_empty=True)
    tokenizer = s.Tokenizer(docs=marked, vocab_size=of["vocab_size"])
    packed = s.Pack(docs=marked, tokenizer=tokenizer, length=of["length"])
    model = s.TrainNgram(docs=marked, min_count=1)
    scored = s.Perplexity(docs=marked, model=model, allow_empty=True)
    return nodes | {
        "once": once, "marked": marked, "tokenizer": tokenizer, "packed": packed, "model": model, "scored": scored
    }  # fmt: skip


def teaching(of: Asked, folder: Path) -> dict[str, Node]:
    """What is made of groups of neighbours: rewards by prompt, pairs and their critics, samples of a context."""
    columns = {"letters": "int64", "group": "string", "shown": "string", "last": "string"}
    docs = s.Map(docs=_bases(of, folder), fn="own_code:sort", version_=of["code"], writes=columns)
    ranked = s.Calibrate(docs=docs, reward="letters", by="group")
    tilted = s.TransformReward(docs=ranked, t=of["t"], kl=0.5, by="group")
    wins = s.WinRate(policy=tilted, reference=docs, reward="letters", by="group", nats=("letters", "letters"))
    table = s.EqualKl(runs=(wins, wins), labels=("one", "one"))
    mean = s.Measure(docs=tilted, value="letters", by="group", per="last", seed=of["seed"])
    pairs = s.Pairs(docs=docs, by="group", most=of["most"], carry=("group",), seed=of["seed"])
    cheap = s.Critics(docs=pairs, max_rouge=of["max_rouge"], min_ratio=None, numbers="any", allow_empty=True)
    judged = s.Entail(
        docs=cheap, fn="own_code:judge", version_=of["code"], min_entail=of["min_entail"], allow_empty=True
    )
    kept = s.Diverse(docs=judged, by="group", fn="own_code:judge", version_=of["code"], allow_empty=True)
    samples = s.Kaft(
        docs=docs, question="group", context="shown", answer="last", relevant=of["relevant"], seed=of["seed"]
    )
    exact = s.ExactMatch(docs=docs, expected="last")
    shots = s.Exemplars(docs=docs, bank=docs, lang="group", target="last", out_of="own", k=of["k"], seed=of["seed"])
    checks = s.TranslationChecks(
        docs=shots, source="last", out_of="en", max_copied=of["max_copied"], min_ratio=None, max_ratio=None,
        min_probability=0.0, allow_empty=True,
    )  # fmt: skip
    return {
        "shots": shots, "checks": checks, "right": s.Chrf(docs=docs, expected="last"),
        "ranked": ranked, "tilted": tilted, "wins": wins, "table": table, "mean": mean, "pairs": pairs, "cheap": cheap,
        "judged": judged, "kept": kept, "samples": samples, "exact": exact,
    }  # fmt: skip


def judging(of: Asked, folder: Path) -> dict[str, Node]:
    """A model that tells classes apart, what it makes of documents, and its vectors of them."""
    columns = {"letters": "int64", "group": "string", "shown": "string", "last": "string"}
    docs = s.Map(docs=_bases(of, folder), fn="own_code:sort", version_=of["code"], writes=columns)
    docs = s.Map(docs=docs, fn="own_code:size", version_=of["code"], writes={"size": "string"})
    marked = s.Split(docs=docs, held_out=of["held_out"], seed=of["seed"], allow_empty=True)
    codes = {"long": "<long>", "short": "<short>"}
    tokenizer = s.Tokenizer(docs=marked, vocab_size=of["vocab_size"], specials=tuple(codes.values()))
    rows = s.PackSamples(docs=marked, tokenizer=tokenizer, length=256, sample=Classes(label="size", codes=codes))
    judge = s.Pretrain(
        rows=rows, model=Llama("1m", hidden=16, inter=32, layers=1, heads=2), steps=2, batch_rows=2, attend="document",
        objective=Gedi(codes=tuple(codes.values())), seed=of["training_seed"],
    )  # fmt: skip
    told = s.Posterior(
        docs=marked, model=judge, wanted=of["wanted"], batch_rows=of["batch_rows"], max_chars=of["max_chars"]
    )
    best = s.Select(docs=told, by="posterior", keep_fraction=of["keep_fraction"], allow_empty=True)
    one = s.Embed(docs=best, model=judge, pooling=of["pooling"], batch_rows=of["batch_rows"], as_="one")
    both = s.Embed(docs=one, model=judge, template=of["template"], max_chars=of["max_chars"], as_="other")
    asked = s.Select(docs=both, where="held_out", allow_empty=True)
    found = s.Retrieval(
        queries=asked, docs=both, by="other", match=of["belongs"], centre=of["centre"], depth=of["depth"],
        resamples=100, seed=of["seed"],
    )  # fmt: skip
    alike = s.Similarity(docs=both, left="one", right="other", gold=of["gold"])
    return {
        "marked": marked, "judge": judge, "told": told, "best": best, "both": both, "found": found, "alike": alike,
    }  # fmt: skip


RECIPES = {
    "rules": rules, "dedup": dedup, "tokens": tokens, "teaching": teaching, "judging": judging, "sounds": sounds,
}  # fmt: skip
FOLDERS = {"sounds": SoundFiles}  # of the recipes that read other files than texts


def source_files(recipe: str, folder: Path, rng: random.Random) -> Files:
    """A folder of what a recipe reads."""
    return FOLDERS.get(recipe, Files)(folder, rng)


def small_model(recipe: str, folder: Path) -> None:
    """The folder of a model, where a recipe asks one that no node of it makes."""
    if recipe == "sounds":
        from tests.stages.generate.small_models import folder_of

        folder_of(folder)


def graph(recipe: str, settings: Mapping[str, Any], folder: Path) -> tuple[dict[str, Node], set[str]]:
    """The nodes of a recipe by label, and the settings that they hang on."""
    of = Asked(settings)
    if recipe == "rules":
        s.GopherQuality.version = of["gopher_version"]
    if recipe != "rules":
        s.ExactDedup.version = of["exact_version"]
    return RECIPES[recipe](of, folder), of.used
