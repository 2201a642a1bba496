"""A trained Llama from a Hugging Face folder, as a node that gives a model: to evaluate, to export, to start from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from models.accounting import count_parameters
from models.hf_settings import llama_of
from pipeline.contract import Context, Node, Result, TaskPhase, one, sources
from pipeline.errors import DataError
from stages.one_folder import by_name, marks
from stages.strangers import check_folder, check_names
from stages.tokens.tokenizer_files import travels
from stages.training.memory import machine_memory
from stages.training.planned_model import checked_llama, folder_settings

PLACE = "hf_model.paths"
NEEDED = ("config.json", "tokenizer.json")
MEASURED = ("model.safetensors.index.json", "generation_config.json")


@dataclass(frozen=True, kw_only=True, eq=False)
class HfModel(Node):
    """Read a dense Llama: `config.json`, `tokenizer.json` and one or more `.safetensors` of one folder. The other files
    of the tokenizer are kept for `export`.

    paths  the folder's files, as `folder/*`; their names and digests are the identity

    A folder below it is left out. Errors: `DataError` for files of several folders, and for what is no dense Llama.
    """

    paths: tuple[str, ...] = sources()

    version = 5
    gives = "model"

    def check(self) -> None:
        if (settings := folder_settings(self)) is not None:
            checked_llama(settings)

    def source_marks(self, field: str, names: Sequence[str]) -> Sequence[str]:
        return marks(PLACE, names)

    def phases(self):
        return (TaskPhase(name="train", keys=one, run=self._read),)

    def _read(self, ctx: Context, key: str) -> Result:
        import shutil
        import tempfile
        from pathlib import Path

        from models.build import build
        from models.convert import read_dense
        from models.files import describe, save

        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            given = by_name(PLACE, ctx.sources())
            check_names(PLACE, {name: source.size for name, source in given.items()})
            for name, source in given.items():
                if name in (*NEEDED, *MEASURED) or travels(name) or name.endswith(".safetensors"):
                    with ctx.open_source(source) as stream, open(folder / name, "wb") as file:
                        shutil.copyfileobj(stream, file, 1 << 24)
            for name in NEEDED:
                if not (folder / name).exists():
                    raise DataError(PLACE, f"no {name}", "the files of a Hugging Face folder, as folder/*")
            settings = check_folder(PLACE, {path.name: path for path in folder.iterdir()}, machine_memory())
            try:
                config = llama_of(settings)
                words, length = settings["vocab_size"], settings["max_position_embeddings"]
                model = build(config, words, length, 0, dense=read_dense(folder, config))
            except KeyError as error:
                raise DataError(PLACE, f"no tensor {error.args[0]}", "those of a dense Llama") from None
            except ValueError as error:
                raise DataError(PLACE, f"{error}", "a dense Llama that has no biases") from None
            with ctx.create("/model.safetensors") as path:
                save(path, model)
            with ctx.create("/tokenizer.json") as path:
                shutil.copyfile(folder / "tokenizer.json", path)
            others = sorted(path.name for path in folder.iterdir() if travels(path.name))
            for name in others:
                with ctx.create(f"/{name}") as path:
                    shutil.copyfile(folder / name, path)
            counts = count_parameters(config, words)
            begin, ends = settings.get("bos_token_id"), settings["eos_token_id"]
            end = ends[0] if isinstance(ends, list) else ends
            run = {
                "format": 1,
                "label": f"{settings.get('model_type', 'llama')} of {counts.total:,} parameters",
                "model": describe(config),
                "vocab_size": words,
                "length": length,
                "begin_id": end if begin is None else begin,
                "end_id": end,
                "parameters": counts.total,
                "bytes": 4 * counts.total,
                "tokens": None,
            }
            with ctx.create("/config.json") as path:
                path.write_text(json.dumps(run, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return Result(counts={"models": 1}, facts={"parameters": counts.total, "tokenizer_files": others})
