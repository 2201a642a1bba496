"""`siftloom generate`: text from a model, which is a node of a run or a folder.

A folder is what a trained node leaves (`config.json`, `model.safetensors`, `tokenizer.json`) or any Hugging Face folder
with a causal model, such as `export` writes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from models.strange_files import json_of
from pipeline.errors import DataError, UserError
from pipeline.files.address import Address
from siftloom.ask.runs import all_runs
from siftloom.run import NodeView, Run, open_run
from siftloom.vocabulary import vocabulary

TOKENS = 128
OURS = ("config.json", "model.safetensors", "tokenizer.json")
EXPORT = "export"


def find_model(name: str, run: str | None, store: Address) -> tuple[str, dict[str, Path]]:
    """Return (what it is, file name -> path) of a model: a folder, or a finished node of a run.

    Without a run it is the run that was started last among those that have finished such a node. Raises UserError where
    there is none, and for a node that is no model.
    """
    folder = Path(name)
    if folder.is_dir():
        return str(folder), {file.name: file for file in sorted(folder.iterdir()) if file.is_file()}
    names = (
        [run] if run else [r["run"] for r in sorted(all_runs(store), key=lambda r: r["started"] or "", reverse=True)]
    )
    for each in names:
        opened = open_run(store, each)
        if run or any(view.label == name and view.finished for view in opened.nodes):
            return f"{opened.name}, node {name}", _files(opened, name)
    raise UserError(
        name, f"neither a folder nor a finished node of a run in {store}", "a trained model",
        "siftloom runs, or name the store with --store",
    )  # fmt: skip


def _files(run: Run, label: str) -> dict[str, Path]:
    view = run[label]
    assert isinstance(view, NodeView)
    if view.kind == EXPORT and view.finished:
        names = view.receipt("folder", "all").facts["files"]
        return {name: view.path("folder", "all", f"/{name}") for name in names}
    if not _gives_model(view):
        models = [v.label for v in run.nodes if v.kind == EXPORT or _gives_model(v)]
        raise UserError(
            f"{run.name}, {label}", f"a {view.kind}, which is no model", f"one of {', '.join(models) or '-'}"
        )
    return {name: view.path("train", view.keys("train")[0], f"/{name}") for name in OURS}  # raises where not finished


def _gives_model(view: Any) -> bool:
    return view.kind in vocabulary().nodes and getattr(vocabulary().node(view.kind), "gives", None) == "model"


def generate(
    files: Mapping[str, Path], prompt: str, *, samples: int, tokens: int | None, temperature: float, top_k: int,
    top_p: float, seed: int,
) -> list[str]:  # fmt: skip
    """Return what the model writes after the prompt, `samples` times, in `tokens` tokens at most: 128 without a
    number, or half of what the model sees at once. Equal arguments give equal texts on one machine.

    Raises DataError for files that are no model, UserError for settings that make no sense.
    """
    missing = [name for name in OURS if name not in files]
    if missing:
        raise DataError(_place(files), f"no {missing[0]}", f"a folder with {', '.join(OURS)}")
    settings: Any = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    try:
        config = json_of(files["config.json"])
        if "end_id" not in config:
            return _by_transformers(files, prompt, samples, tokens, seed, settings)
        return _by_ours(files, config, prompt, samples, tokens, seed, settings)
    except ValueError as error:  # the settings and the model file say themselves what is wrong with them
        raise UserError("generate", str(error), "see siftloom generate --help") from error


def _by_ours(
    files: Mapping[str, Path],
    config: Mapping[str, Any],
    prompt: str,
    samples: int,
    tokens: int | None,
    seed: int,
    settings: Any,
) -> list[str]:
    from tokenizers import Tokenizer

    from models.files import load
    from models.generate import TokenSampling
    from models.generate import generate as write
    from stages.tokens.encoder import Encoder

    sampling = TokenSampling(**settings)
    start = Encoder.load(files["tokenizer.json"]).encode([prompt])[0].tolist() if prompt else []
    model = load(files["model.safetensors"]).eval()
    begin, end = config.get("begin_id"), config["end_id"]
    written = write(model, [start] * samples, tokens or TOKENS, end, sampling=sampling, seed=seed, begin_id=begin)
    decoder = Tokenizer.from_file(str(files["tokenizer.json"]))
    return [decoder.decode(ids) for ids in written]


def _by_transformers(
    files: Mapping[str, Path], prompt: str, samples: int, tokens: int | None, seed: int, settings: Any
) -> list[str]:
    from stages.generate.folder import FolderLM
    from stages.generate.lm import Sampling

    # A store may keep every file in a place of its own; transformers wants one folder.
    with tempfile.TemporaryDirectory(prefix="siftloom-model-") as place:
        for name, path in files.items():
            (Path(place) / name).symlink_to(path.absolute())
        model = FolderLM(Path(place), batch_rows=samples, trust_code=_brings_our_code_only(files))
        most = tokens or min(TOKENS, (model.longest or 2 * TOKENS) // 2)  # a prompt needs room too
        sampling = Sampling(samples=samples, max_tokens=most, seed=seed, **settings)
        return [answer.text for answer in model.generate([prompt], [prompt], sampling)[0]]


def _brings_our_code_only(files: Mapping[str, Path]) -> bool:
    """Whether all code that a folder brings is, to the byte, what `export` writes; no other is run."""
    code = [path.read_bytes() for name, path in files.items() if name.endswith(".py")]
    ours = {file.read_bytes() for file in (resources.files("models") / "hf").iterdir() if file.name.endswith(".py")}
    return bool(code) and all(content in ours for content in code)


def _place(files: Mapping[str, Path]) -> str:
    return str(next(iter(files.values())).parent) if files else "generate"
