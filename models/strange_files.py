"""Files that a stranger wrote, measured before anything is made of them: JSON with bounds, the header of safetensors.

Reads no tensor and loads no library. An object of Python takes twenty times the bytes of its JSON, so what is counted
before it is parsed is bytes, lists, mappings and keys.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

SETTINGS_BYTES = 4 << 20
LARGE_BYTES = 48 << 20  # of a tokenizer, an index: Gemma's tokenizer.json has 33 MB
HEADER_BYTES = 100_000_000  # the library's own bound
MOST_ITEMS = 3_000_000  # lists, mappings and keys
LARGE = ("tokenizer.json", "tekken.json", "vocab.json", "model.safetensors.index.json")
SETTINGS = (
    "config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.json",
)  # fmt: skip
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64, "F8_E4M3": 8,
    "F8_E5M2": 8, "F8_E8M0": 8, "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip


class StrangeFile(ValueError):
    """A file that is not what its name says: `name`, what was found, what was expected."""

    def __init__(self, name: str, found: str, expected: str) -> None:
        self.name, self.found, self.expected = name, found, expected
        super().__init__(f"{name}: {found}; expected {expected}")


class Stored(NamedTuple):
    """A tensor of a file, by its header: `begin` is its first byte in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.numbers * BITS[self.dtype] // 8


def size_of(path: Path) -> int:
    """Bytes of a plain file: no folder, pipe or device, which a link may lead to. Raises StrangeFile."""
    try:
        found = path.stat()
    except OSError as error:
        raise StrangeFile(path.name, f"{error.strerror}", "a file that can be read") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise StrangeFile(path.name, kind, "a plain file")
    return found.st_size


def check_size(name: str, size: int) -> None:
    """Raise StrangeFile for a JSON file that no tool writes so long, by its name."""
    most = LARGE_BYTES if name in LARGE else SETTINGS_BYTES
    if name in (*SETTINGS, *LARGE) and size > most:
        raise StrangeFile(name, f"{size:,} bytes", f"at most {most:,}")


def json_of(path: Path) -> dict[str, Any]:
    """The mapping in a JSON file. Raises StrangeFile."""
    check_size(path.name, size_of(path))
    return mapping(path.read_bytes(), path.name)


def mapping(content: bytes, name: str) -> dict[str, Any]:
    """The mapping that a JSON text holds. Raises StrangeFile for anything else, for a key twice and for NaN."""
    check_size(name, len(content))
    items = content.count(b"[") + content.count(b"{") + content.count(b'":')
    if items > MOST_ITEMS:
        raise StrangeFile(name, f"{items:,} lists, mappings and keys", f"at most {MOST_ITEMS:,}")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))
            raise StrangeFile(name, f"the key {twice[:60]!r} twice", "each key once")
        return found

    def constant(word: str) -> float:
        if word == "NaN":
            raise StrangeFile(name, "NaN", "numbers")
        return float(word)

    try:
        value = json.loads(content, object_pairs_hook=once, parse_constant=constant)
    except RecursionError:
        raise StrangeFile(name, "lists or mappings nested too deep", "a JSON mapping") from None
    except StrangeFile:
        raise
    except ValueError as error:
        found = "an empty file" if not content.strip() else f"no JSON ({error})"
        raise StrangeFile(name, found, "a JSON mapping") from None
    if not isinstance(value, dict):
        raise StrangeFile(name, shown(value), "a JSON mapping")
    return value


def shown(value: Any) -> str:
    """What a value is, in a few words."""
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'mapping'} of {len(value):,}"
    text = (
        json.dumps(value)
        if not isinstance(value, int) or abs(value) < 10**30
        else f"a number of {value.bit_length()} bits"
    )
    return text if len(text) <= 60 else text[:60] + "..."


def tensors_of(path: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file by its header, held against the file: known types, shapes that give the bytes
    between the offsets, and data without a gap, an overlap or a missing end. Raises StrangeFile.
    """
    name, size = path.name, size_of(path)
    with open(path, "rb") as file:
        first = file.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8 or length > min(size - 8, HEADER_BYTES):
            found = f"{size:,} bytes" if len(first) < 8 else f"a header of {length:,} bytes at byte 8"
            most = min(max(size - 8, 0), HEADER_BYTES)
            raise StrangeFile(
                name, found, f"safetensors, whose header has at most {most:,} bytes in a file of {size:,}"
            )
        header = mapping(file.read(length), name)
    header.pop("__metadata__", None)
    data = 8 + length
    found = {key: (_stored(name, key, entry, data), entry["data_offsets"]) for key, entry in header.items()}
    at = 0
    for key, (tensor, (begin, end)) in sorted(found.items(), key=lambda one: (one[1][1], one[0])):
        if begin != at:
            kind = "overlaps what is before it" if begin < at else "begins behind a gap"
            raise StrangeFile(name, f"{key} {kind}: at byte {data + begin:,}", f"byte {data + at:,}")
        if end - begin != tensor.bytes:
            wanted = f"{tensor.bytes:,}, which {tensor.dtype} {list(tensor.shape)} takes"
            raise StrangeFile(name, f"{key} at byte {data + begin:,} has {end - begin:,} bytes", wanted)
        at = end
    if data + at != size:
        raise StrangeFile(name, f"{size:,} bytes", f"{data + at:,}, where its header says that the last tensor ends")
    return {key: tensor for key, (tensor, _) in found.items()}


def _stored(name: str, key: str, entry: Any, data: int) -> Stored:
    place = f"the tensor {key[:80]!r}"
    fields = ("dtype", "shape", "data_offsets")
    if not isinstance(entry, dict) or sorted(entry) != sorted(fields):
        raise StrangeFile(name, f"{place} is {shown(entry)}", ", ".join(fields))
    dtype, shape, offsets = (entry[field] for field in fields)
    if not isinstance(dtype, str) or dtype not in BITS:
        raise StrangeFile(name, f"{place} of dtype {shown(dtype)}", f"one of {', '.join(BITS)}")
    for field, value in (("shape", shape), ("data_offsets", offsets)):
        if not isinstance(value, list) or len(value) > 16 or not all(whole(one) and 0 <= one < 2**48 for one in value):
            raise StrangeFile(name, f"{place}: {field} {str(value)[:60]}", "a list of numbers from 0 to 2^48")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise StrangeFile(name, f"{place}: data_offsets {offsets}", "where it begins and where it ends")
    return Stored(dtype, tuple(shape), data + offsets[0])


def whole(value: Any) -> bool:
    """Whether a value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_numbers(
    settings: Mapping[str, Any], bounds: Mapping[str, tuple[int, int]], name: str = "config.json"
) -> None:
    """Raise StrangeFile for a setting that is there and no whole number within its bounds."""
    for key, (least, most) in bounds.items():
        value = settings.get(key)
        if value is not None and not (whole(value) and least <= value <= most):
            raise StrangeFile(name, f"{key} {shown(value)}", f"a whole number from {least:,} to {most:,}")


def check_ids(ids: Iterable[tuple[str, Any]], vocab_size: int, name: str) -> None:
    """Raise StrangeFile for a special token whose id the vocabulary has not; -1 is none."""
    for key, value in ids:
        for one in value if isinstance(value, list) else [value]:
            if one is not None and one != -1 and not (whole(one) and 0 <= one < vocab_size):
                raise StrangeFile(name, f"{key} {shown(one)}", f"an id of the vocabulary, which has {vocab_size:,}")
