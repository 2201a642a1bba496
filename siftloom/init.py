"""`siftloom init`: write a recipe for what `look` has found in the user's files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import RecipeError, SourceError
from pipeline.quantities import size
from pipeline.store.sources import expand
from siftloom.dclm_steps import Translation
from siftloom.look import PACKED, Found

NAMED_FILES = 200  # files that a recipe names one by one where no glob names just them
TRY = 10_000  # documents of a first try, at most
CURATED = "curated"  # the node that writes the result


def summary(found: Found) -> Iterator[str]:
    """Yield the lines that `init` prints about the files."""
    yield f"{found.path}: {len(found.files):,} {found.format} files, {size(found.bytes)}"
    if found.left_out:
        kinds = ", ".join(f"{count:,} {ending}" for ending, count in sorted(found.left_out.items()))
        yield f"  left out   files of other formats: {kinds}"
    for name, why in found.damaged.items():
        yield f"  damaged    {name}: {why}"
    if found.columns:
        yield f"  columns    {', '.join(found.columns)}"
        yield f"  text       {found.text}" + (f" (or {', '.join(found.other_texts)}?)" if found.other_texts else "")
        yield f"  id         {found.id or '(none; documents are named after their file and row)'}"
    if found.languages:
        shares = ", ".join(f"{code} {share:.0%}" for code, share in list(found.languages.items())[:6])
        yield f"  languages  {shares} of the documents looked at"
    if found.not_utf8:
        yield f"  encoding   {found.not_utf8:,} of {found.rows:,} documents hold bytes that are not UTF-8"
    yield f"  size       about {found.documents:,} documents of {found.mean:,} characters"
    yield f"  example    {found.example}"


def first_limit(found: Found) -> int:
    """Return how many documents a first try should read: a tenth of them, in round numbers, at most `TRY`."""
    tenth = max(1, min(TRY, found.documents // 10))
    power = 10 ** (len(str(tenth)) - 1)
    return tenth // power * power


def write_recipe(found: Found, out: str, force: bool, dclm: Translation | None = None) -> None:
    """Write the recipe, with the curation of a file of DCLM's if there is one. Raises RecipeError when there is a file
    already, unless forced, or no such folder.
    """
    path = Path(out)
    if path.exists() and not force:
        raise RecipeError(out, "there is a file already", "a new name", f"siftloom init {found.path} --out OTHER.yaml")
    try:
        text = recipe_for(found, path) if dclm is None else recipe_of(dclm, found, path)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecipeError(out, error.strerror or str(error), "a file in a folder that exists") from None


def recipe_for(found: Found, out: Path) -> str:
    """Return the recipe's text: curation up to files of your own, then a small model to see the rest."""
    from pipeline.recipe.write import flow

    name, read = out.name, _read(found, out)
    hint = f"  # or text: {', '.join(found.other_texts)}" if found.other_texts else ""
    seen = ", ".join(f"{code} {share:.0%}" for code, share in list(found.languages.items())[:6]) or "unknown"
    return f"""\
# {len(found.files):,} {found.format} files, about {found.documents:,} documents of {found.mean:,} characters.
#   siftloom plan {name}                        what would be done, and why; runs nothing
#   siftloom run {name} {CURATED} --limit {first_limit(found)}   tries it on the first documents
#   siftloom run {name} {CURATED}                the curation of all of them
#   siftloom run {name}                        the small model too
name: first
store: runs/
nodes:
  docs: {flow(read)}{hint}
  language: {{use: language, docs: docs, keep: {flow(found.kept_languages)}}}  # found: {seen}
  plain: {{use: gopher_quality, docs: language}}
  clean: {{use: gopher_repetition, docs: plain}}
  distinct: {{use: exact_dedup, docs: clean}}
  unique: {{use: minhash_dedup, docs: distinct, min_jaccard: 0.6}}
  once: {{use: split, docs: unique, held_out: 0.02}}
  {CURATED}: {{use: write, docs: once, to: {CURATED}}}  # a folder that datasets, pandas and polars open

  # a small model, to see the rest: a few minutes on two cores
  tokenizer: {{use: tokenizer, docs: once, vocab_size: 2048}}
  rows: {{use: pack, docs: once, tokenizer: tokenizer, length: 256}}
  lost: {{use: pretrain, rows: rows, model: {{lost: 1m, rank: 16, density: 0.05}}, steps: 60, batch_rows: 16}}
"""


def recipe_of(dclm: Translation, found: Found, out: Path) -> str:
    """Return the recipe's text: the steps of a file of DCLM's over the user's files."""
    from pipeline.recipe.write import flow

    read, last = _read(found, out), next(reversed(dclm.nodes), "docs")
    if any(fields["use"] in ("url", "url_dedup") for fields in dclm.nodes.values()):
        read["keep"] = ["url"]
    notes = "".join(f"# {note}\n" for note in dict.fromkeys(dclm.notes))
    nodes = "\n".join(f"  {name}: {flow(fields)}" for name, fields in dclm.nodes.items())
    return f"""\
# The steps of a configuration of DCLM's over {len(found.files):,} {found.format} files.
{notes}name: first
store: runs/
nodes:
  docs: {flow(read)}
{nodes}
  {CURATED}: {{use: write, docs: {last}, to: {CURATED}}}
"""


def _read(found: Found, out: Path) -> dict[str, Any]:
    """Return the node that reads the files, for a recipe in `out`."""
    read: dict[str, Any] = {"use": "read", "paths": _paths(found, out.absolute().parent)}
    if found.format != "txt":
        read |= {"text": found.text} if found.text != "text" else {}
        read |= {"id": found.id} if found.id not in (None, "id") else {}
    return read


def _paths(found: Found, folder: Path) -> list[str]:
    """Return globs that name just the files that were taken, or else the files themselves, from the recipe's folder."""
    if "://" in found.path:
        return [found.path]
    whole = os.path.expanduser(found.path)
    if not os.path.isdir(whole) and not found.damaged and _names_just(whole, found.files):
        return [os.path.relpath(whole, folder)]
    if os.path.isdir(whole):
        for depth in ("*", "**/*"):
            globs = [os.path.join(whole, depth + ending) for ending in sorted({_ending(name) for name in found.files})]
            if _names_just(globs, found.files):
                return [os.path.relpath(pattern, folder) for pattern in globs]
    if len(found.files) > NAMED_FILES:
        raise SourceError(
            found.path, f"{len(found.files):,} files that no pattern tells from the others",
            "a folder or a glob that holds just the files to read",
        )  # fmt: skip
    return [os.path.relpath(name, folder) for name in found.files]


def _ending(name: str) -> str:
    return "".join(Path(name).suffixes[-2 if name.endswith(PACKED) else -1 :])


def _names_just(patterns: str | Sequence[str], files: Sequence[str]) -> bool:
    try:
        found = {entry.path for entry in expand(patterns, "init").entries}
    except SourceError:
        return False
    return {os.path.realpath(path) for path in found} == {os.path.realpath(path) for path in files}
