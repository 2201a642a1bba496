"""Folders that nobody should load, each a change of a good one: name -> (doors, what the answer says, the change)."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from models.build import build
from models.convert import export
from models.presets import Llama
from tests.stages.generate.small_models import folder_of

HF, FOLDER, TOKENIZER, CHAT = "hf_model", "model_folder", "tokenizer", "chat"
BOTH = (HF, FOLDER)
ALL = (HF, FOLDER, TOKENIZER)
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


class Case(NamedTuple):
    doors: tuple[str, ...]
    says: str  # a regular expression
    change: Callable[[Path], None]
    long: bool = False  # takes seconds, or a library that does


def good(path: Path) -> Path:
    """A folder that each door takes."""
    folder_of(path)
    settings = json.loads((path / "tokenizer_config.json").read_text())
    (path / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": TEMPLATE}))
    return path


def config(**values: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", lambda found: found.update(values))


def edit(path: Path, change: Callable[[dict], Any]) -> None:
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def tokenizer(change: Callable[[dict], Any]) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "tokenizer.json", change)


def content(name: str, data: str | bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)

    return change


def spaces(name: str, size: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with open(folder / name, "wb") as file:
            file.truncate(size)

    return change


def link(name: str, to: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(to)

    return change


def pipe(folder: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


def directory(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def tensors(change: Callable[[dict], Any]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        found = load_file(folder / "model.safetensors")
        change(found)
        save_file(
            {name: one.contiguous() for name, one in found.items()}, folder / "model.safetensors", {"format": "pt"}
        )

    return act


def header(
    change: Callable[[dict], Any], *, length: int | None = None, raw: bytes | None = None
) -> Callable[[Path], None]:
    """Another header before the same data."""

    def act(folder: Path) -> None:
        data = (folder / "model.safetensors").read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        found = json.loads(data[8 : 8 + size])
        change(found)
        text = raw if raw is not None else json.dumps(found).encode()
        first = struct.pack("<Q", len(text) if length is None else length)
        (folder / "model.safetensors").write_bytes(first + text + data[8 + size :])

    return act


def keep(_: Any) -> None:
    """No change."""


def entry(**values: Any) -> Callable[[Path], None]:
    return header(lambda found: found["model.norm.weight"].update(values))


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def sharded(name: str, shard: str | None = None) -> Callable[[Path], None]:
    """An index that leads elsewhere for one tensor."""

    def act(folder: Path) -> None:
        names = load_file(folder / "model.safetensors")
        places = dict.fromkeys(names, "model.safetensors") | {name: shard}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))

    return act


def pickled(name: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        found = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save(found, folder / name)

    return act


def adapter(**values: Any) -> Callable[[Path], None]:
    told = {"peft_type": "LORA", "base_model_name_or_path": "another/base", "r": 8, "target_modules": ["q_proj"]}
    return content("adapter_config.json", json.dumps(told | values))


def regex(pattern: str) -> Callable[[Path], None]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return tokenizer(lambda t: t.update(pre_tokenizer={"type": "Sequence", "pretokenizers": [split, level]}))


def template(text: str) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "tokenizer_config.json", lambda found: found.update(chat_template=text))


def deep(kind: str = "[") -> str:
    return kind * 10_000 + {"[": "]", '{"a":': "}"}[kind].replace('"', "") * 10_000


def added(**values: Any) -> Callable[[dict], None]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return lambda t: t["added_tokens"].append({"id": 300, "content": "<x>", "special": True, **flags} | values)


def merges(found: dict) -> None:
    found["model"]["merges"] = [["a", "b"]] * 1_000_000


def others(folder: Path) -> None:
    """Weights of a model of another width."""
    vocabulary = json.loads((folder / "config.json").read_text())
    made = folder.parent / f"{folder.name}-other"
    made.mkdir()
    export(build(Llama("1m", hidden=64, inter=64, layers=2, heads=2), vocabulary["vocab_size"], 64, seed=0), made)
    (folder / "model.safetensors").write_bytes((made / "model.safetensors").read_bytes())


def untied(found: dict) -> None:
    found.pop("lm_head.weight")


NORM, Q = "model.norm.weight", "model.layers.0.self_attn.q_proj.weight"
CASES = {
    "config null": Case(BOTH, r"config\.json: null; expected a JSON mapping", content("config.json", "null")),
    "config list": Case(BOTH, r"config\.json: a list of 1", content("config.json", "[1]")),
    "config deep": Case(BOTH, r"config\.json: .*nested too deep", content("config.json", deep())),
    "config deep mapping": Case(BOTH, r"config\.json: .*nested too deep", content("config.json", deep('{"a":'))),
    "config missing": Case(BOTH, r"no config\.json", lambda folder: (folder / "config.json").unlink()),
    "config empty": Case(BOTH, r"config\.json: an empty file", content("config.json", "")),
    "config 1 GB": Case(BOTH, r"config\.json: 1,073,741,824 bytes", spaces("config.json", 1 << 30)),
    "config bytes": Case(BOTH, r"config\.json: no JSON", content("config.json", b"\xff\xfe\x00\x80")),
    "config twice": Case(BOTH, r"config\.json: the key 'a' twice", content("config.json", '{"a": 1, "a": 2}')),
    "config number": Case(BOTH, r"config\.json: no JSON.*", content("config.json", '{"a": ' + "9" * 5000 + "}")),
    "layers 1e7": Case(BOTH, r"config\.json: num_hidden_layers 10000000", config(num_hidden_layers=10**7)),
    "layers 9999": Case(BOTH, r"config\.json: num_hidden_layers 9,999; ", config(num_hidden_layers=9999)),
    "vocab 1e12": Case(BOTH, r"config\.json: vocab_size 1000000000000", config(vocab_size=10**12)),
    "vocab 16M": Case(BOTH, r"config\.json: vocab_size 16,000,000", config(vocab_size=16_000_000)),
    "vocab 0": Case(BOTH, r"config\.json: vocab_size 0", config(vocab_size=0)),
    "vocab negative": Case(BOTH, r"config\.json: vocab_size -5", config(vocab_size=-5)),
    "hidden float": Case(BOTH, r"config\.json: hidden_size 32\.5", config(hidden_size=32.5)),
    "hidden string": Case(BOTH, r'config\.json: hidden_size "32"', config(hidden_size="32")),
    "hidden true": Case(BOTH, r"config\.json: hidden_size true", config(hidden_size=True)),
    "hidden list": Case(BOTH, r"config\.json: hidden_size a list", config(hidden_size=[32])),
    "hidden NaN": Case(BOTH, r"config\.json: NaN", config(hidden_size=float("nan"))),
    "inter 1e7": Case(BOTH, r"config\.json: a matrix of", config(intermediate_size=10**7)),
    "heads 3": Case(BOTH, r"config\.json: num_attention_heads 3", config(num_attention_heads=3, head_dim=None)),
    "heads 0": Case(BOTH, r"config\.json: num_attention_heads 0", config(num_attention_heads=0)),
    "groups 3": Case(BOTH, r"config\.json: num_key_value_heads", config(num_key_value_heads=3)),
    "length 1e15": Case(BOTH, r"config\.json: max_position_embeddings", config(max_position_embeddings=10**15)),
    "theta infinite": Case(BOTH, r"config\.json: rope_theta", config(rope_theta=float("inf"))),
    "theta NaN": Case(BOTH, r"config\.json: NaN", config(rope_theta=float("nan"))),
    "eps string": Case(BOTH, r"config\.json: rms_norm_eps", config(rms_norm_eps="small")),
    "tied string": Case(BOTH, r"config\.json: tie_word_embeddings", config(tie_word_embeddings="no")),
    "tied, and two heads": Case(BOTH, r"config\.json: tie_word_embeddings true", config(tie_word_embeddings=True)),
    "rope list": Case(BOTH, r"config\.json: rope_parameters", config(rope_parameters=[1])),
    "config pipe": Case((FOLDER,), r"config\.json: a pipe", pipe),
    "config /dev/zero": Case((FOLDER,), r"config\.json: a pipe or a device", link("config.json", "/dev/zero")),
    "config folder": Case((FOLDER,), r"config\.json: a folder|no config\.json", directory("config.json")),
    "config dangling": Case((FOLDER,), r"config\.json: No such file", link("config.json", "/nowhere/at/all")),
    "eos beyond": Case(BOTH, r"config\.json: eos_token_id 5000", config(eos_token_id=5000)),
    "bos negative": Case(BOTH, r"config\.json: bos_token_id -7", config(bos_token_id=-7)),
    "eos string": Case(BOTH, r"config\.json: eos_token_id", config(eos_token_id="end")),
    "NaN in weights": Case(BOTH, r"NaN or infinite", tensors(lambda t: t[Q].view(-1)[:1].fill_(float("nan")))),
    "infinite weight": Case(BOTH, r"NaN or infinite", tensors(lambda t: t[NORM].view(-1)[:1].fill_(float("inf")))),
    "missing tensor": Case(BOTH, r"q_proj", tensors(lambda t: t.pop(Q))),
    "missing head": Case(BOTH, r"lm_head", tensors(untied)),
    "extra tensor": Case((HF,), r"strange", tensors(lambda t: t.update({"model.strange": torch.zeros(3)}))),
    "wrong shape": Case(BOTH, r"q_proj|shape|load", tensors(lambda t: t.update({Q: torch.zeros(31, 32)}))),
    "wrong width": Case(BOTH, r"config\.json: (hidden_size|vocab_size) \d+; expected a width|found shape", others),
    "whole numbers": Case(BOTH, r"q_proj", tensors(lambda t: t.update({Q: torch.zeros(32, 32, dtype=torch.int64)}))),
    "cut": Case(BOTH, r"model\.safetensors: .*expected", cut),
    "weights empty": Case(BOTH, r"model\.safetensors: 0 bytes", content("model.safetensors", b"")),
    "header 2^63": Case(BOTH, r"model\.safetensors: a header of 9,223,372,036,854,775,808", header(keep, length=2**63)),
    "header no JSON": Case(BOTH, r"model\.safetensors: no JSON", header(keep, raw=b"x" * 64)),
    "header list": Case(BOTH, r"model\.safetensors: a list", header(keep, raw=b"[]      ")),
    "header deep": Case(BOTH, r"model\.safetensors: .*nested", header(keep, raw=deep().encode())),
    "overlap": Case(BOTH, r"model\.safetensors: .*(overlaps|bytes|gap)", entry(data_offsets=[0, 128])),
    "offset beyond": Case(BOTH, r"model\.safetensors: ", entry(data_offsets=[2**40, 2**40 + 128])),
    "shape lies": Case(BOTH, r"model\.norm\.weight.*has 128 bytes", entry(shape=[10**9])),
    "shape negative": Case(BOTH, r"shape \[-1\]", entry(shape=[-1])),
    "shape product": Case(BOTH, r"model\.norm\.weight", entry(shape=[2**40, 2**40, 2**40])),
    "dtype unknown": Case(BOTH, r"dtype \"F31\"", entry(dtype="F31")),
    "index outside": Case(BOTH, r"index\.json: .*\.\./\.\./etc/passwd", sharded(Q, "../../etc/passwd")),
    "index absolute": Case(BOTH, r"index\.json: .*/etc/passwd", sharded(Q, "/etc/passwd")),
    "index without shard": Case(BOTH, r"index\.json: model-2", sharded(Q, "model-2.safetensors")),
    "index number": Case(BOTH, r"index\.json: weight_map", sharded(Q, None)),
    "index strange tensor": Case(BOTH, r"no tensor model\.more", sharded("model.more", "model.safetensors")),
    "pytorch_model.bin": Case(BOTH, r"pytorch_model\.bin: .*pickle is code", pickled("pytorch_model.bin")),
    "weights .pt": Case(BOTH, r"model\.pt: .*pickle is code", pickled("model.pt")),
    "weights .ckpt": Case(BOTH, r"model\.ckpt", pickled("model.ckpt")),
    "weights .gguf": Case(BOTH, r"model\.gguf", pickled("model.gguf")),
    "adapter": Case(BOTH, r"adapter_config\.json: an adapter", adapter()),
    "adapter rank 1e9": Case(BOTH, r"adapter_config\.json: an adapter", adapter(r=10**9)),
    "generation list": Case(BOTH, r"generation_config\.json: a list", content("generation_config.json", "[]")),
    "generation hot": Case(
        BOTH, r"generation_config\.json: temperature", content("generation_config.json", '{"temperature": "hot"}')
    ),
    "generation beyond": Case(
        BOTH, r"generation_config\.json: pad_token_id", content("generation_config.json", '{"pad_token_id": 90000}')
    ),
    "tokenizer null": Case(ALL, r"tokenizer\.json: null", content("tokenizer.json", "null")),
    "tokenizer list": Case(ALL, r"tokenizer\.json: a list", content("tokenizer.json", "[]")),
    "tokenizer deep": Case(ALL, r"tokenizer\.json: .*nested", content("tokenizer.json", deep())),
    "tokenizer 1 GB": Case(ALL, r"tokenizer\.json: 1,073,741,824", spaces("tokenizer.json", 1 << 30)),
    "tokenizer brackets": Case(ALL, r"tokenizer\.json: .*lists, map", content("tokenizer.json", "[" + "[]," * 10**7)),
    "token 2^40": Case(ALL, r"tokenizer\.json: the special token .*1099511627776", tokenizer(added(id=2**40))),
    "word 2^40": Case(ALL, r"tokenizer\.json: the added", tokenizer(added(id=2**40, special=False))),
    "token negative": Case(ALL, r"tokenizer\.json: the special", tokenizer(added(id=-1))),
    "token beyond the model": Case(BOTH, r"tokenizer\.json: the special token .<x>", tokenizer(added(id=5000))),
    "ids twice": Case(ALL, r"tokenizer\.json: the tokens", tokenizer(lambda t: t["model"]["vocab"].update(zzz=70))),
    "vocabulary a number": Case(ALL, r"tokenizer\.json: model\.vocab", tokenizer(lambda t: t["model"].update(vocab=3))),
    "id a string": Case(ALL, r"tokenizer\.json: the token", tokenizer(lambda t: t["model"]["vocab"].update(zzz="7"))),
    "1e6 merges": Case(ALL, r"tokenizer\.json: ", tokenizer(merges)),
    "regex broken": Case(ALL, r"tokenizer\.json: ", regex("(unclosed")),
    "regex exponential": Case(ALL, r"tokenizer\.json: ", regex(r"(a+)+$"), long=True),
    "regex words": Case(ALL, r"tokenizer\.json: ", regex(r"^(([a-z])+.)+[A-Z]([a-z])+$"), long=True),
    "regex cubic": Case(ALL, r"tokenizer\.json: ", regex(r"x*x*x*x*y"), long=True),
    "settings list": Case(ALL, r"tokenizer_config\.json: a list", content("tokenizer_config.json", "[]")),
    "settings deep": Case(ALL, r"tokenizer_config\.json: .*nested", content("tokenizer_config.json", deep())),
    "template syntax": Case((CHAT,), r"chat_template: TemplateSyntaxError", template("{% for %}"), long=True),
    "template escape": Case(
        (CHAT,), r"chat_template: SecurityError",
        template("{{ ''.__class__.__mro__[1].__subclasses__() }}{{ messages[0].content }}"), long=True,
    ),
    "template loop": Case(
        (CHAT,), r"chat_template: no end in",
        template("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"), long=True,
    ),
    "template string": Case((CHAT,), r"chat_template: .*memory", template("{{ 'a' * 9000000000 }}"), long=True),
    "template long": Case((CHAT,), r"chat_template: an answer", template("{{ 'a' * 90000000 }}"), long=True),
    "template range": Case((CHAT,), r"chat_template: OverflowError", template("{{ range(10**12) | list }}"), long=True),
    "template doubles": Case(
        (CHAT,), r"chat_template: ",
        template("{% set n = namespace(a='x') %}{% for i in range(60) %}{% set n.a = n.a ~ n.a %}{% endfor %}"),
        long=True,
    ),
    "template power": Case((CHAT,), r"chat_template: no end", template("{{ 9 ** (9 ** 9) }}"), long=True),
    "template recursion": Case(
        (CHAT,), r"chat_template: ", template("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), long=True
    ),
    "template silent": Case((CHAT,), r"chat_template: .*message once", template("hello"), long=True),
}  # fmt: skip
