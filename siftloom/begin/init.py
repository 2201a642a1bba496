"""`siftloom init`: write a recipe for what `look` has found in the user's files."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import RecipeError, SourceError
from pipeline.files.address import Address
from pipeline.files.sources import expand
from pipeline.quantities import size
from siftloom.begin.dclm_translation import Translation
from siftloom.begin.findings import Findings, Kind
from siftloom.begin.look import URL
from stages.read.keep import REST
from stages.read.layout import PACKED

NAMED_FILES = 200  # files that a recipe leaves out one by one
NAMED = 5  # files of one kind that are named on the screen
TRY = 10_000  # documents of a first try, at most
TOKENIZER = "tokenizer.json"  # beside the files of a corpus, it is the user's own
CURATED = "curated"  # the node that writes the result


def summary(found: Findings) -> Iterator[str]:
    """Yield the lines that `init` prints about the files."""
    yield f"{found.path}: {found.files:,} files, {size(found.bytes)}"
    for kind in found.kinds:
        yield f"  {', '.join(kind.formats)}: {len(kind.files):,} files, {size(kind.bytes)}"
        if kind.columns:
            yield f"    columns    {', '.join(kind.columns)}"
            yield f"    text       {kind.text}" + (f" (or {', '.join(kind.other_texts)}?)" if kind.other_texts else "")
            yield f"    id         {kind.id or '(none; documents are named after their file and row)'}"
        if kind.columns or kind.url:
            others = "every other field travels with its document and is written again"
            yield f"    keep       {f'{kind.url}, a column that rules can use; ' if kind.url else ''}{others}"
        if kind.pages:
            yield "    pages      `extract` takes the main text out of the HTML"
        if kind.encoding:
            yield f"    encoding   {kind.not_utf8:,} rows are not UTF-8; the encoding of each file is detected"
            yield f"               {_some(kind.odd_files)}"
        for name, longest in kind.long_rows.items():
            yield f"    long       {name}: a document of {longest:,} characters"
    if found.left_out:
        kinds = ", ".join(f"{count:,} {ending}" for ending, count in sorted(found.left_out.items()))
        yield f"  left out   files of other formats: {kinds}"
    for form, why in found.unused.items():
        yield f"  left out   {form} files: {why}"
    for name, why in found.damaged.items():
        yield f"  damaged    {name}: {why}"
    if found.empty:
        yield f"  empty      {_some(found.empty)}"
    if found.languages:
        shares = ", ".join(f"{code} {share:.0%}" for code, share in list(found.languages.items())[:6])
        yield f"  languages  {shares} of the documents looked at"
    yield f"  size       about {found.documents:,} documents of {found.mean:,} characters"
    yield f"  example    {found.example}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else "")


def first_limit(found: Findings) -> int:
    """Return how many documents a first try should read: a tenth of them, in round numbers, at most `TRY`."""
    tenth = max(1, min(TRY, found.documents // 10))
    power = 10 ** (len(str(tenth)) - 1)
    return tenth // power * power


def write_recipe(found: Findings, out: str, force: bool, dclm: Translation | None = None) -> None:
    """Write the recipe, with the curation of a file of DCLM's if there is one. Raises RecipeError when there is a file
    already, unless forced, or no such folder.
    """
    path = Path(out)
    if path.exists() and not force:
        raise RecipeError(out, "there is a file already", "a new name", f"siftloom init {found.path} --out OTHER.yaml")
    try:
        text = recipe_for(found, path) if dclm is None else recipe_of(dclm, found, path)
        for name, entries in ({} if dclm is None else dclm.lists).items():
            path.with_name(name).write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecipeError(out, error.strerror or str(error), "a file in a folder that exists") from None


def _commands(name: str, limit: int) -> str:
    """Return the first commands for a recipe, as its comment."""
    told = {
        f"siftloom plan {name}": "what would be done, and why; runs nothing",
        f"siftloom run {name} {CURATED} --limit {limit}": "tries it on the first documents",
        f"siftloom run {name} {CURATED}": "the curation of all of them",
        f"siftloom run {name}": "the small model too",
    }
    width = max(map(len, told))
    return "\n".join(f"#   {command:{width}}   {what}" for command, what in told.items())


def recipe_for(found: Findings, out: Path) -> str:
    """Return the recipe's text: curation up to files of your own, then a small model to see the rest."""
    from pipeline.recipe.write import flow

    name = out.name
    lines, last = _reads(found, out.absolute().parent)
    seen = ", ".join(f"{code} {share:.0%}" for code, share in list(found.languages.items())[:6]) or "unknown"
    return f"""\
# {found.files:,} files, about {found.documents:,} documents of {found.mean:,} characters.
{_commands(name, first_limit(found))}
name: {_run_name(out)}
store: runs/
nodes:
{lines}
  language: {{use: language, docs: {flow(last)}, keep: {flow(found.kept_languages)}}}  # found: {seen}
  plain: {{use: gopher_quality, docs: language}}
  clean: {{use: gopher_repetition, docs: plain}}
  distinct: {{use: exact_dedup, docs: clean}}
  unique: {{use: minhash_dedup, docs: distinct, min_jaccard: 0.6}}
  once: {{use: split, docs: unique, held_out: 0.02}}
  {CURATED}: {{use: write, docs: once, to: {CURATED}}}  # a folder that datasets, pandas and polars open

  # a small model, to see the rest: a few minutes on two cores
  tokenizer: {flow(_tokenizer(found, out.absolute().parent))}
  rows: {{use: pack, docs: once, tokenizer: tokenizer, length: 256}}
  lost: {{use: pretrain, rows: rows, model: {{lost: 1m, rank: 16, density: 0.05}}, steps: 60, batch_rows: 16}}
  model: {{use: export, model: lost}}  # a folder for transformers
"""


def _run_name(out: Path) -> str:
    """Return the recipe's name for its runs: that of its file, without what a folder's name should not hold."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", out.stem).strip("-.") or "first"


def _tokenizer(found: Findings, folder: Path) -> dict[str, Any]:
    """Return the fields of the tokenizer: the one that lies beside the user's files, or else one to train."""
    beside = Path(os.path.expanduser(found.path)).absolute().parent / TOKENIZER
    if not Address(found.path).remote and beside.is_file():
        return {"use": "tokenizer", "from": os.path.relpath(beside, folder)}
    return {"use": "tokenizer", "docs": "once", "vocab_size": 2048}


def recipe_of(dclm: Translation, found: Findings, out: Path) -> str:
    """Return the recipe's text: the steps of a file of DCLM's over the user's files."""
    from pipeline.recipe.write import flow

    by_url = any(fields["use"] in ("url", "url_dedup") or "first_by" in fields for fields in dclm.nodes.values())
    for kind in found.kinds:
        if dclm.url in kind.columns:
            kind.url = f"{URL}={dclm.url}"
        if dclm.text is not None and dclm.text[0] in kind.columns and (dclm.text[1] or "text" not in kind.columns):
            kind.text = dclm.text[0]
    lines, docs = _reads(found, out.absolute().parent, by_url)
    steps = {
        name: {field: docs if value == "docs" else value for field, value in fields.items()}
        for name, fields in dclm.nodes.items()
    }
    notes = "".join(f"# {note}\n" for note in dict.fromkeys(dclm.notes))
    nodes = "\n".join(f"  {name}: {flow(fields)}" for name, fields in steps.items())
    return f"""\
# The steps of a configuration of DCLM's over {found.files:,} files.
{notes}name: {_run_name(out)}
store: runs/
nodes:
{lines}
{nodes}
  {CURATED}: {{use: write, docs: {flow(next(reversed(steps), docs))}, to: {CURATED}}}
"""


def _reads(found: Findings, folder: Path, by_url: bool = False) -> tuple[str, str | list[str]]:
    """Return the lines of the nodes that read, and the name or the names of the nodes that give the documents.

    `by_url`: whether nodes need the column `url`. Where the files have addresses it is a column anyhow, so that such
    nodes can be added without reading again.
    """
    from pipeline.recipe.write import flow

    lines, names = [], []
    for kind in found.kinds:
        name = "pages" if kind.pages else "docs" if not names else f"docs_{kind.formats[0]}"
        paths, exclude = _paths(found, kind, folder)
        read: dict[str, Any] = {"use": "read", "paths": paths} | ({"exclude": exclude} if exclude else {})
        read |= {"text": kind.text} if kind.text not in (None, "text") else {}
        read |= {"id": kind.id} if kind.id not in (None, "id") else {}
        read |= {"encoding": kind.encoding} if kind.encoding else {}
        read |= {"keep": [kind.url or URL, REST]} if by_url or kind.url else {}
        hint = f"  # or text: {', '.join(kind.other_texts)}" if kind.other_texts else ""
        lines.append(f"  {name}: {flow(read)}{hint}")
        if kind.pages:
            lines.append(f"  page_text: {{use: extract, docs: {name}}}")
            name = "page_text"
        names.append(name)
    return "\n".join(lines), names[0] if len(names) == 1 else names


def _paths(found: Findings, kind: Kind, folder: Path) -> tuple[list[str], list[str]]:
    """Return globs, from the recipe's folder, that name the files that were taken and those that come later, and what
    of them is left out today.
    """
    if Address(found.path).remote:
        return [found.path], []
    whole = os.path.expanduser(found.path)
    if os.path.isdir(whole):
        top = all(os.path.samefile(Path(name).parent, whole) for name in kind.files)
        depth, endings = ("*" if top else "**/*"), sorted({_ending(name) for name in kind.files})
        patterns = [os.path.join(glob.escape(whole), depth + ending) for ending in endings]
    else:
        patterns = [whole]
    taken, others = {os.path.realpath(name) for name in kind.files}, []
    named = expand(patterns, "init", unusable=lambda name, _: others.append(name)).entries
    others += [os.fspath(entry.path) for entry in named if os.path.realpath(entry.path) not in taken]
    if len(others) > NAMED_FILES:
        raise SourceError(
            found.path, f"{len(others):,} {kind.formats[0]} files among those to read that are not",
            "a folder or a glob that holds just the files to read",
        )  # fmt: skip
    return [os.path.relpath(pattern, folder) for pattern in patterns], [
        glob.escape(os.path.relpath(name, folder)) for name in sorted(others)
    ]


def _ending(name: str) -> str:
    return "".join(Path(name).suffixes[-2 if name.endswith(PACKED) else -1 :])
