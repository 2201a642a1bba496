"""A folder is brought to a door; what answers. As a program: in a process for
each, with what it took."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

from pipeline.errors import UserError
from tests.stages.hostile_folders import CHAT, FOLDER, HF, TOKENIZER
from tests.stages.local_context import LocalContext


def bring(folder: Path, door: str, place: Path) -> None:
    """What a user would run. Raises what the door says."""
    files = sorted(path for path in folder.iterdir())
    if door in (CHAT, FOLDER) and any(not path.is_file() for path in files):
        _language_model(folder)
    elif door == HF:
        from stages.training.hf_model import HfModel

        node = HfModel(paths=(f"{folder}/*",))
        node.check()
        LocalContext(node, place, files={"paths": _plain(files)}).run_all()
    elif door == TOKENIZER:
        from stages.tokens.tokenizer import Tokenizer

        node = Tokenizer(from_=tuple(map(str, files)))
        node.check()
        assert node.entries is not False
        LocalContext(node, place, files={"from_": _plain(files)}).run_all()
    elif door == FOLDER:
        from stages.generate.model_folder import ModelFolder

        LocalContext(ModelFolder(paths=(str(folder),)), place, files={"paths": _plain(files)}).run_all()
        _language_model(place / "files" / "all")
    else:
        from stages.generate.folder import FolderLM

        FolderLM(folder, batch_rows=1).turn("the cat")


def _plain(files: list[Path]) -> list[Path]:
    return [path for path in files if path.is_file()]


def _language_model(folder: Path) -> None:
    from stages.generate.folder import FolderLM
    from stages.generate.lm import Sampling

    FolderLM(folder, batch_rows=1).generate(["the cat"], ["k"], Sampling(temperature=0.0, max_tokens=2))


def _answer(folder: str, door: str, place: str) -> str:
    """CPU seconds, megabytes beyond what the process had, and what was said, of a door in a fork of this process."""
    reads, writes = os.pipe()
    if (pid := os.fork()) == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            bring(Path(folder), door, Path(place))
            said = "PASSED"
        except UserError as error:
            said = str(error)
        except BaseException as error:
            said = f"RAW {type(error).__name__}: {error}"
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        most = max(own, children.ru_maxrss) >> 10
        os.write(
            writes, f"{time.process_time() + children.ru_utime + children.ru_stime:.1f}\t{most}\t{said[:3000]}".encode()
        )
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(pid, 0)
    return said or "0\t0\tDIED"


if __name__ == "__main__":
    import torch
    import transformers

    assert torch.ones(1).isfinite().all()
    assert transformers.AutoModelForCausalLM
    assert transformers.AutoTokenizer
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(_answer(*line.rstrip("\n").split("\t"))), file=out, flush=True)
