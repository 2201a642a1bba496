"""Tokens by rank, as tiktoken has them, as a `tokenizer.json`: `*.tiktoken` (a token and its rank a line) and Mistral's
`tekken.json`, which names the expression that splits texts and its special tokens too.

tiktoken merges two tokens wherever the two together are one, the one of the lowest rank first, and takes a word that is
a token whole. `tokenizers` merges pairs that are listed, and `ignore_merges` takes such words whole.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

from models.strange_files import mapping
from pipeline.errors import DataError

MOST_WORK = 300_000_000  # 128,000 tokens of Llama 3 have 8 million


def tekken(content: bytes, place: str) -> str:
    """The text of the `tokenizer.json` of a `tekken.json`."""
    try:
        given = mapping(content, "tekken.json")
        settings = given["config"]
        first = settings["default_num_special_tokens"]
        entries = given["vocab"][: settings["default_vocab_size"] - first]
        ranks = {b64decode(entry["token_bytes"]): entry["rank"] + first for entry in entries}
        named = {one["token_str"]: one["rank"] for one in given.get("special_tokens") or ()} or OLD_TEKKEN
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(place, f"no tekken.json ({error})", "config.pattern, vocab and special_tokens") from None
    fillers = {f"<SPECIAL_{at}>": at for at in range(first) if at not in named.values()}
    return as_tokenizer(ranks, settings["pattern"], named | fillers)


def tiktoken(content: bytes, pattern: str, specials: tuple[str, ...], place: str) -> str:
    """The text of the `tokenizer.json` of a file of ranks; special tokens have the ids behind the last rank."""
    ranks = ranks_in(content)
    if ranks is None:
        raise DataError(place, "no line of a token in base64 and its rank", "a file that tiktoken reads")
    behind = max(ranks.values()) + 1
    return as_tokenizer(ranks, pattern, {name: behind + at for at, name in enumerate(specials)})


def ranks_in(content: bytes) -> dict[bytes, int] | None:
    """Token -> rank of a file of ranks; None for another file."""
    try:
        pairs = [line.split() for line in content.splitlines() if line]
        return {b64decode(token, validate=True): int(rank) for token, rank in pairs} or None
    except ValueError:
        return None


def as_tokenizer(ranks: Mapping[bytes, int], pattern: str, specials: Mapping[str, int]) -> str:
    """The text of a `tokenizer.json` of tokens by rank."""
    check_pieces(map(len, ranks), "the file of tokens")
    named = {token: "".join(map(LETTERS.__getitem__, token)) for token in ranks}
    merges = []
    for token, rank in ranks.items():
        pairs = [(token[:at], token[at:]) for at in range(1, len(token))]
        known = sorted((ranks[a], ranks[b], a, b) for a, b in pairs if a in ranks and b in ranks)
        merges += [(rank, place, [named[a], named[b]]) for place, (_, _, a, b) in enumerate(known)]
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    letters: dict[str, Any] = {"add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": number, "content": name, **flags, "special": True}
                for name, number in sorted(specials.items(), key=lambda one: one[1])
            ],
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, {"type": "ByteLevel", **letters}]},
            "post_processor": None,
            "decoder": {"type": "ByteLevel", **letters},
            "model": {
                "type": "BPE",
                "ignore_merges": True,
                "vocab": {named[token]: rank for token, rank in ranks.items()},
                "merges": [pair for _, _, pair in sorted(merges, key=lambda one: one[:2])],
            },
        },
        ensure_ascii=False,
    )


def check_pieces(lengths: Iterable[int], place: str) -> None:
    """Raise DataError for tokens so long that to list how each is merged has no end."""
    if (work := sum(length * length for length in lengths)) > MOST_WORK:
        raise DataError(
            place, f"tokens of {work:,} pairs of places", f"at most {MOST_WORK:,}: tokens are parts of words"
        )


def byte_letters() -> dict[int, str]:
    """The letter that stands for each byte in the tokens of a byte-level tokenizer (GPT-2's)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + at) for at, byte in enumerate(rest)}


LETTERS = byte_letters()
# tekken.json of July 2024 does not name its special tokens; mistral-common does.
OLD_TEKKEN = {
    name: at
    for at, name in enumerate(
        ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
         "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]",
         "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]")
    )
}  # fmt: skip
