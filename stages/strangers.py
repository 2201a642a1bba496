"""A stranger's model folder, measured before anything of it is loaded.

Its files by their names, the sizes in `config.json` against the headers of its weights and the memory that is there,
its special tokens against its vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from models.hf_settings import check_settings
from models.strange_files import (
    SETTINGS,
    Stored,
    StrangeFile,
    check_ids,
    check_numbers,
    check_size,
    json_of,
    mapping,
    shown,
    size_of,
    tensors_of,
    whole,
)  # fmt: skip
from pipeline.errors import DataError
from stages.tokens.trial import check_tokenizer

INDEX = "model.safetensors.index.json"
# a pickle is code, and of the others no header is read here
UNREAD = re.compile(r"\.(bin|pt|pth|ckpt|pkl|pickle|gguf|ggml|h5|msgpack|ot|onnx)$")
IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "mask_token_id", "decoder_start_token_id")
MOST_ID = 1 << 24  # of a vocabulary, as in `tokenizer`
GENERATION = {
    "max_length": (0, 1 << 31),
    "max_new_tokens": (0, 1 << 31),
    "top_k": (0, 1 << 31),
    "num_beams": (1, 1 << 16),
}


def check_names(place: str, sizes: Mapping[str, int]) -> None:
    """Raise DataError for files, by names and bytes, that are not read, before they are copied: an adapter without its
    base, weights that are pickles, JSON that no tool writes so long.
    """
    if "adapter_config.json" in sizes:
        raise DataError(
            f"{place}: adapter_config.json", "an adapter, which is no model without its base", "a whole model",
            "merge it into its base with its own tool (peft: merge_and_unload)",
        )  # fmt: skip
    if not any(name.endswith(".safetensors") for name in sizes):
        if unread := sorted(name for name in sizes if UNREAD.search(name)):
            raise DataError(
                f"{place}: {unread[0]}", "weights that are not read: a pickle is code", "them as .safetensors"
            )
    try:
        for name, size in sizes.items():
            check_size(name, size)
    except StrangeFile as error:
        raise refused(place, error) from None


def refused(place: str, error: StrangeFile) -> DataError:
    """The error of a node for a file that is not what its name says."""
    return DataError(f"{place}: {error.name}", error.found, error.expected)


def check_folder(place: str, files: Mapping[str, Path], memory: int) -> dict[str, Any]:
    """The `config.json` of a folder that is worth loading; `memory`: bytes that its weights in float32 may take.

    Raises DataError with the file, what it holds and what was expected.
    """
    if "config.json" not in files:
        raise DataError(place, "no config.json", "the files of one Hugging Face folder")
    try:
        check_names(place, {name: size_of(path) for name, path in files.items()})
        read = {name: json_of(path) for name, path in files.items() if name in SETTINGS}
        settings = read["config.json"]
        check_settings(settings)
        shards = {name: tensors_of(path) for name, path in sorted(files.items()) if name.endswith(".safetensors")}
        _check_index(files, shards)
        tensors = dict(chain.from_iterable(one.items() for one in shards.values()))
        if len(tensors) < sum(map(len, shards.values())):
            names = [name for one in shards.values() for name in one]
            twice = next(name for name in tensors if names.count(name) > 1)
            raise StrangeFile(" and ".join(list(shards)[:3]), f"the tensor {twice} twice", "each tensor once")
        check_sizes(settings, tensors, memory)
        if settings.get("quantization_config") is None:
            for name, one in tensors.items():
                if name.endswith(".weight") and not one.dtype.startswith(("F", "BF")):
                    raise StrangeFile("the weights", f"{name} of {one.dtype}", "numbers with a point")
        _check_tied(settings, files, shards)
        words = settings.get("vocab_size")
        if "tokenizer.json" in files:
            check_definition(place, files["tokenizer.json"].read_bytes(), "tokenizer.json", words)
        generation = read.get("generation_config.json", {})
        check_numbers(generation, GENERATION, "generation_config.json")
        for key in ("temperature", "top_p", "repetition_penalty"):
            if not isinstance(generation.get(key, 1.0), int | float | None) or isinstance(generation.get(key), bool):
                raise StrangeFile("generation_config.json", f"{key} {shown(generation[key])}", "a number")
        if isinstance(words, int) and whole(words):
            for name, given in (("config.json", settings), ("generation_config.json", generation)):
                check_ids([(key, given.get(key)) for key in IDS], words, name)
    except StrangeFile as error:
        raise refused(place, error) from None
    return settings


def check_definition(place: str, content: bytes, name: str, vocab_size: int | None = None) -> str:
    """The text of a `tokenizer.json` that loads, in bounded time. `vocab_size`: of the model that it belongs to."""
    text = content.decode("utf-8", "replace")
    try:
        given = mapping(content, name)
        model, added = given.get("model"), given.get("added_tokens")
        if not isinstance(model, dict):
            raise StrangeFile(name, f"no tokenizer.json: model {shown(model)}", "a mapping with `vocab`")
        if not isinstance(added, list) or not all(isinstance(one, dict) for one in added):
            raise StrangeFile(name, f"no tokenizer.json: added_tokens {shown(added)}", "a list of mappings")
        for one in added:
            number, token = one.get("id"), one.get("content")
            most = vocab_size if vocab_size is not None and one.get("special") else MOST_ID
            if not isinstance(token, str) or not whole(number) or not 0 <= number < most:
                what = "special token" if one.get("special") else "added token"
                raise StrangeFile(name, f"the {what} {shown(token)} with id {shown(number)}", f"an id below {most:,}")
        vocabulary = model.get("vocab")
        if isinstance(vocabulary, dict):
            ids: dict[Any, str] = {}
            for token, number in vocabulary.items():
                if not whole(number) or not 0 <= number < MOST_ID:
                    raise StrangeFile(
                        name, f"the token {token[:60]!r} with id {shown(number)}", f"an id below {MOST_ID:,}"
                    )
                if number in ids:
                    found = f"the tokens {ids[number][:60]!r} and {token[:60]!r} with the id {number}"
                    raise StrangeFile(name, found, "an id for each token")
                ids[number] = token
        elif not isinstance(vocabulary, list):
            raise StrangeFile(name, f"model.vocab {shown(vocabulary)}", "a mapping or a list of tokens")
    except StrangeFile as error:
        raise refused(place, error) from None
    check_tokenizer(text, f"{place}: {name}")
    return text


def check_sizes(settings: Mapping[str, Any], tensors: Mapping[str, Stored], memory: int) -> None:
    """Raise StrangeFile for sizes that the tensors contradict, or that are beyond the memory: nothing is made of them
    yet. A model that shares or packs weights has fewer numbers than its widths say, not eight times fewer.
    """
    numbers = sum(one.numbers for one in tensors.values())
    stored = sum(one.bytes for one in tensors.values())
    if stored + 4 * numbers > memory:
        found = f"{numbers:,} numbers, {stored + 4 * numbers:,} bytes to load them in float32"
        raise StrangeFile("the weights", found, f"at most {memory:,}, the memory of this machine")
    if not tensors:
        return  # what loads them says so
    widths = set(chain.from_iterable(one.shape for one in tensors.values()))
    layers, hidden, inter, words = (
        settings.get(key) for key in ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")
    )
    held = f"the {len(tensors):,} tensors of its weights"
    if layers is not None and layers > len(tensors):
        raise StrangeFile("config.json", f"num_hidden_layers {layers:,}", f"at most {held}")
    for key, width in (("vocab_size", words), ("hidden_size", hidden)):
        if width is not None and width not in widths:
            raise StrangeFile("config.json", f"{key} {width:,}", f"a width of one of {held}")
    for one, other in ((hidden, hidden), (hidden, inter)):
        if one is not None and other is not None and one * other > 8 * numbers:
            raise StrangeFile("config.json", f"a matrix of {one:,} x {other:,}", f"weights of {numbers:,} numbers")


def check_finite(place: str, tensors: Iterable[tuple[str, Any]]) -> None:
    """Raise DataError for the first tensor that holds what is no number."""
    for name, tensor in tensors:
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            wrong = int((~tensor.isfinite()).sum())
            found = f"{wrong:,} of {tensor.numel():,} values that are NaN or infinite"
            raise DataError(f"{place}: {name}", found, "weights that are numbers")


def _check_index(files: Mapping[str, Path], shards: Mapping[str, Mapping[str, Stored]]) -> None:
    if INDEX not in files:
        return
    places = json_of(files[INDEX]).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(one, str) for one in places.values()):
        raise StrangeFile(INDEX, f"weight_map {shown(places)}", "the file of each tensor")
    for name, shard in places.items():
        if "/" in shard or "\\" in shard or shard in ("", ".", ".."):
            raise StrangeFile(INDEX, f"{name[:80]} in {shard[:80]!r}", "a file of this folder")
        if shard not in shards:
            raise StrangeFile(INDEX, f"{shard[:80]}, which is not there", f"one of {', '.join(list(shards)[:4])}")
        if name not in shards[shard]:
            raise StrangeFile(shard, f"no tensor {name[:80]}", f"what {INDEX} says")


def _check_tied(
    settings: Mapping[str, Any], files: Mapping[str, Path], shards: Mapping[str, Mapping[str, Stored]]
) -> None:
    """A folder may hold the one tensor twice, but not two that are said to be one."""
    if settings.get("tie_word_embeddings") is not True:
        return
    found = [(files[shard], name, one) for shard, held in shards.items() for name, one in held.items()
             if name.endswith(("lm_head.weight", "embed_tokens.weight"))]  # fmt: skip
    if len(found) != 2:
        return
    (one, first, a), (other, second, b) = found
    same = (a.dtype, a.shape) == (b.dtype, b.shape)
    with open(one, "rb") as left, open(other, "rb") as right:
        left.seek(a.begin)
        right.seek(b.begin)
        for at in range(0, a.bytes if same else 0, 1 << 22):
            part = min(1 << 22, a.bytes - at)
            same = same and left.read(part) == right.read(part)
    if not same:
        raise StrangeFile("config.json", f"tie_word_embeddings true, and {first} is not {second}", "one tensor")
