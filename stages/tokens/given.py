"""A tokenizer that others have made: its files, and what they say.

Its `tokenizer.json` is kept as it is. A SentencePiece model, a `tekken.json` and a file of tiktoken are made into one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

from models.strange_files import LARGE_BYTES, StrangeFile, mapping
from pipeline.contract import Context, Result, Source
from pipeline.errors import DataError
from stages.one_folder import by_name, marks
from stages.strangers import check_definition, refused
from stages.tokens.definition import Definition
from stages.tokens.tokenizer_files import MAIN, MODELS, travels

PLACE = "tokenizer.from"
WANTED = "a tokenizer.json, a tokenizer.model of SentencePiece, a tekken.json or a .tiktoken file"
# Names that many use, for files that do not say which tokens begin and end a text.
ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<｜end▁of▁sentence｜>", "<EOT>", "[SEP]")
BEGINS = ("<|begin_of_text|>", "<s>", "<bos>", "<｜begin▁of▁sentence｜>", "<|startoftext|>", "[CLS]")


class TokenizerFields(Protocol):
    """The fields of a `tokenizer` that say more than its files do."""

    @property
    def pattern(self) -> str | None: ...
    @property
    def specials(self) -> tuple[str, ...]: ...
    @property
    def begin(self) -> str | None: ...
    @property
    def end(self) -> str | None: ...


@dataclass(frozen=True)
class Ends:
    """The special tokens around a document: their names."""

    begin: str
    end: str


def name_marks(names: Sequence[str]) -> Sequence[str]:
    """`source_marks` of the field. Raises DataError where no file is a tokenizer."""
    main_file(names)
    return marks(PLACE, names)


def main_file(names: Sequence[str]) -> str:
    """The file that the others stand beside. Raises DataError where there is none, or more than one."""
    own = [name for name in names if "/" not in name]
    ranked = [name for name in own if name.endswith(MODELS) and "/" not in name]
    alone = own if len(own) == 1 and own[0].endswith(".json") else []
    for found in ([MAIN] * (MAIN in own), ["tekken.json"] * ("tekken.json" in own), ranked, alone):
        if len(found) > 1:
            raise DataError(PLACE, ", ".join(sorted(found)[:4]), "one tokenizer", "name one of them")
        if found:
            return found[0]
    raise DataError(PLACE, f"no tokenizer among {', '.join(sorted(names)[:5])}", WANTED)


def take(ctx: Context, node: TokenizerFields) -> Result:
    """Make the artefact of a `tokenizer` with `from`: `train/all.json`, and beside it the files that travel."""
    from stages.tokens.agreement import agrees

    files = by_name(PLACE, ctx.sources("from_"))
    main = main_file(list(files))
    if (size := files[main].size) > LARGE_BYTES:
        raise DataError(f"{PLACE}: {main}", f"{size:,} bytes", f"at most {LARGE_BYTES:,}")
    given = {name: _content(ctx, files[name]) for name in files if name == main or travels(name)}
    text, said = _read(main, given[main], node)
    check_definition(PLACE, text.encode("utf-8", "replace"), main)
    try:
        definition = Definition(text)
        size = definition.vocab_size
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{PLACE}: {main}", f"no tokenizer.json ({type(error).__name__}: {error})", WANTED) from None
    ends = _ends(node, definition, given, said)
    with ctx.create(".json") as path:
        path.write_bytes(text.encode())
    others = sorted(name for name in given if name != MAIN and travels(name))
    for name in others:
        with ctx.create(f"/{name}") as path:
            path.write_bytes(given[name])
    facts = {"vocab_size": size, "begin": ends.begin, "end": ends.end, "agree": agrees(definition), "files": others}
    return Result(counts={"tokens": size}, facts=facts)


def _content(ctx: Context, source: Source) -> bytes:
    with ctx.open_source(source) as file:
        return file.read()


def _read(name: str, content: bytes, node: TokenizerFields) -> tuple[str, Ends | None]:
    """The text of the `tokenizer.json`, and what a file of another form says of the ends of a text."""
    from stages.tokens import ranks, sentencepiece_model

    place = f"{PLACE}: {name}"
    if name == "tekken.json":
        return ranks.tekken(content, place), Ends("<s>", "</s>")
    if not name.endswith(MODELS):
        return content.decode("utf-8", "replace"), None
    if ranks.ranks_in(content) is not None:  # of tiktoken, which Llama 3 calls tokenizer.model too
        if node.pattern is None:
            raise DataError(
                place, "a file of tiktoken, which does not say how texts are split", "tokenizer.pattern and specials",
                "or give the tokenizer.json of the model",
            )  # fmt: skip
        return ranks.tiktoken(content, node.pattern, node.specials, place), None
    model = sentencepiece_model.read(content, place)
    ends = None if model.eos is None else Ends(model.bos or model.eos, model.eos)
    return sentencepiece_model.as_tokenizer(model), ends


def _ends(node: TokenizerFields, definition: Definition, given: Mapping[str, bytes], said: Ends | None) -> Ends:
    """The tokens around a document: the recipe's, else those of the configuration, of the model, or the usual names."""
    configured: dict[str, str | None] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if name in given:
            settings = _mapping(given[name], name)
            for key in ("bos_token", "eos_token"):
                value = settings.get(key)
                configured[key] = value["content"] if isinstance(value, dict) else value or configured.get(key)
    usual = [next((name for name in names if name in definition.special), None) for names in (BEGINS, ENDS)]
    end = node.end or configured.get("eos_token") or (said.end if said else usual[1])
    if end is None:
        shown = ", ".join(list(definition.special)[:5]) or "no special token"
        raise DataError(PLACE, f"no token that ends a text; among its special tokens: {shown}", "tokenizer.end: NAME")
    begin = node.begin or (configured.get("bos_token") if "eos_token" in configured else said and said.begin)
    if begin is None and said is None and "eos_token" not in configured:
        begin = usual[0]
    for field, name in (("begin", begin or end), ("end", end)):
        if name not in definition.special:
            shown = ", ".join(list(definition.special)[:5])
            raise DataError(f"tokenizer.{field}", f"{name!r}, no special token of the tokenizer", f"one of {shown}")
    return Ends(begin or end, end)


def _mapping(content: bytes, name: str) -> dict[str, Any]:
    try:
        return mapping(content, name)
    except StrangeFile as error:
        raise refused(PLACE, error) from None


def local_definition(paths: Sequence[str]) -> Definition | None:
    """What a `tokenizer.json` among local paths says, where one can be read now."""
    for path in paths:
        if "://" not in path:
            for name in (Path(path), Path(path) / MAIN, *Path(path).parent.glob(PurePath(path).name)):
                if name.name.endswith(".json") and name.is_file() and name.name in (MAIN, Path(path).name):
                    try:
                        content = name.read_bytes() if name.stat().st_size <= LARGE_BYTES else b""
                        mapping(content, MAIN)  # within bounds
                        found = Definition(content.decode("utf-8"))
                        if isinstance(found.vocab_size, int):
                            return found
                    except (OSError, ValueError, KeyError, TypeError, AttributeError):
                        continue
    return None
