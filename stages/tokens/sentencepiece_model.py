"""A SentencePiece model (`tokenizer.model`, `spiece.model`) as a `tokenizer.json` of the `tokenizers` library.

The file is a protocol buffer of four messages, few of whose fields say how text is split, so it is read here. BPE and
Unigram are taken. SentencePiece merges two pieces wherever the two together are one, the one of the best score first;
`tokenizers` merges pairs that are listed. So every pair whose sum is a piece is listed, in the order of the scores of
the sums. A piece of control, a byte and the unknown piece come of no merge: no text spells them.

White space is handled as the model says: a `▁` before the text, runs of blanks made one, or neither.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.errors import DataError
from stages.tokens.ranks import check_pieces

UNIGRAM, BPE = 1, 2  # TrainerSpec.ModelType
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # SentencePiece.Type
BLANK = "▁"


@dataclass(frozen=True)
class Model:
    """What a file says, with SentencePiece's own names and defaults (`sentencepiece_model.proto`)."""

    pieces: tuple[tuple[str, float, int], ...]  # text, score, type
    model_type: int
    byte_fallback: bool
    bos: str | None
    eos: str | None
    charsmap: bytes
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool

    def names(self, *kinds: int) -> list[tuple[int, str]]:
        """Ids and texts of the pieces of some types."""
        return [(number, text) for number, (text, _, kind) in enumerate(self.pieces) if kind in kinds]


def read(content: bytes, place: str) -> Model:
    """The model in a file. Raises DataError for a file that is none, and for one of words or characters."""
    try:
        parts = list(_fields(content))
        pieces = [_piece(value) for number, value in parts if number == 1]
        trainer = dict(_fields(next(value for number, value in parts if number == 2)))
        normaliser = dict(_fields(next(value for number, value in parts if number == 3)))
        ids = {name: _signed(trainer.get(at, default)) for name, at, default in (("bos", 41, 1), ("eos", 42, 2))}
        found = {name: pieces[number][0] if 0 <= number < len(pieces) else None for name, number in ids.items()}
        model = Model(
            tuple(pieces), trainer.get(3, UNIGRAM), bool(trainer.get(35, 0)), found["bos"], found["eos"],
            normaliser.get(2, b""), bool(normaliser.get(3, 1)), bool(normaliser.get(4, 1)),
        )  # fmt: skip
    except (IndexError, StopIteration, TypeError, ValueError, struct.error) as error:
        raise DataError(
            place, f"no SentencePiece model ({error})", "a tokenizer.model that SentencePiece wrote"
        ) from None
    if model.model_type not in (UNIGRAM, BPE):
        raise DataError(place, "a SentencePiece model of words or characters", "one of BPE or Unigram")
    if trainer.get(24, 0):
        raise DataError(place, "treat_whitespace_as_suffix", "a model that puts `▁` before a word")
    return model


def as_tokenizer(model: Model) -> str:
    """The text of the `tokenizer.json`. Unused pieces keep their ids."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    from tokenizers import Regex as Expression

    unknown = next(iter(model.names(UNKNOWN)), None)
    if model.model_type == UNIGRAM:
        entries = [(text, score) for text, score, _ in model.pieces]
        built = Tokenizer(models.Unigram(entries, unknown and unknown[0], model.byte_fallback))
    else:
        vocabulary = {text: number for number, (text, _, _) in enumerate(model.pieces)}
        token = unknown and unknown[1]
        built = Tokenizer(
            models.BPE(vocabulary, _merges(model), unk_token=token, fuse_unk=True, byte_fallback=model.byte_fallback)
        )
    steps: list[Any] = [normalizers.Precompiled(model.charsmap)] if model.charsmap else []
    if model.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Expression(" {2,}"), " ")]
    steps += [normalizers.Prepend(BLANK)] if model.add_dummy_prefix else []
    built.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", BLANK)])
    back: list[Any] = [decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()]
    back += [decoders.Strip(" ", 1, 0)] if model.add_dummy_prefix else []
    built.decoder = decoders.Sequence(back)
    built.add_special_tokens(
        [AddedToken(text, normalized=False, special=True) for _, text in model.names(UNKNOWN, CONTROL)]
    )
    built.add_tokens([AddedToken(text, normalized=False) for _, text in model.names(USER_DEFINED)])
    return built.to_str()


def _merges(model: Model) -> list[tuple[str, str]]:
    """Every pair of pieces whose sum is a piece, the sum of the best score first."""
    check_pieces((len(text) for text, *_ in model.pieces), "the pieces of a SentencePiece model")
    ids = {text: number for number, text in model.names(NORMAL, USER_DEFINED, UNUSED)}
    found = []
    for text, number in ids.items():
        pairs = [(text[:at], text[at:]) for at in range(1, len(text))]
        order = sorted((ids[a], ids[b], a, b) for a, b in pairs if a in ids and b in ids)
        found += [(-model.pieces[number][1], number, place, (a, b)) for place, (_, _, a, b) in enumerate(order)]
    return [pair for *_, pair in sorted(found)]


def _piece(content: bytes) -> tuple[str, float, int]:
    fields = dict(_fields(content))
    return fields[1].decode(), struct.unpack("<f", fields.get(2, b"\0\0\0\0"))[0], fields.get(3, NORMAL)


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a message's fields: an int for a varint, bytes for the others."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(content, at)
        elif kind in (1, 2, 5):
            size, at = _varint(content, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = content[at : at + size], at + size
            if at > len(content):
                raise ValueError("its end is missing")
        else:
            raise ValueError(f"a field of kind {kind}")
        yield key >> 3, value


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("a number of more than 64 bits")


def _signed(value: int) -> int:
    """A varint of 64 bits as the signed number that it stands for."""
    return value - 2**64 if value >= 2**63 else value
