"""A folder is brought to a door; what answers. As a program: in a process of its own, with what it took."""

from __future__ import annotations

import sys
from pathlib import Path

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


if __name__ == "__main__":
    import resource
    import time

    from pipeline.errors import UserError

    if sys.argv[2] != TOKENIZER:
        import torch
        import transformers

        assert torch.tensor([1.0]).isfinite().all()
        assert transformers.AutoModelForCausalLM
    begun = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        bring(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
        said = "PASSED"
    except UserError as error:
        said = str(error)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"{time.perf_counter() - begun:.1f}\t{max(own, child) >> 10}\t{said}", file=sys.__stdout__)
