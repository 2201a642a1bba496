"""Pages through the steps of a configuration, by DCLM's own functions: `python dclm_reference.py CHECKOUT CONFIG`.

Reads JSON lines from standard input and writes those that stay, with their text. It is a process of its own, since
their modules are called `core` and `baselines`. Where a step stands between all files (`exact_dedup`), their function
over S3 is left out, and its own parts are put together here: `tar_to_entries` and `get_dupe_rows`.
"""

from __future__ import annotations

import functools
import importlib
import io
import json
import sys
from typing import Any
from unittest import mock

MAPPERS = (
    "baselines.mappers.modifiers", "baselines.mappers.filters.content_filters",
    "baselines.mappers.filters.metadata_filters", "baselines.mappers.enrichers.enrichers",
    "baselines.mappers.enrichers.language_id_enrichers",
)  # fmt: skip
UNUSED = (
    "blingfire", "boto3", "simdjson", "jsonlines", "cloudpathlib", "zstandard", "justext", "bs4", "langdetect",
    "unidecode",
)  # fmt: skip


def function(name: str, arguments: dict[str, Any]) -> Any:
    """One of theirs, as their `get_mapper` prepares it."""
    from core.factory_utils import initialize_mapper, is_factory

    for place in MAPPERS:
        found = getattr(importlib.import_module(place), name, None)
        if found is not None:
            ready = initialize_mapper(found, **arguments)
            return ready if is_factory(found) else functools.partial(found, **arguments)
    raise LookupError(name)


def dedup(pages: list[dict], step: dict) -> list[dict]:
    """`exact_dedup` over all pages, which are one file."""
    import numpy as np
    from baselines.mappers.core_utils import DEDUP_NORMALIZERS

    # the package has a function of this name too
    theirs = importlib.import_module("ray_processing.dedup_jsonl")

    key, selection = step.get("content_key", "text"), step.get("selection_key")
    forms = {name: DEDUP_NORMALIZERS.get(step.get(name) or "") for name in ("normalize", "selection_normalize")}
    batch = {"path": ["all.jsonl"], "bytes": ["\n".join(map(json.dumps, pages)).encode()]}
    rows = theirs.tar_to_entries(batch, "", key, selection_key=selection, **forms)
    groups: dict[str, list[int]] = {}
    for at, uid in enumerate(rows["uid"]):
        groups.setdefault(uid, []).append(at)
    gone: set[tuple[int, int]] = set()
    for places in groups.values():
        group = {"s3_filename": np.array(["all.jsonl"] * len(places))}
        group["local_index"] = np.empty(len(places), object)
        group["local_index"][:] = [tuple(rows["local_index"][at]) for at in places]
        if selection is not None:
            # numpy finds no least string: their places in the order do as well
            values = [rows[selection][at] for at in places]
            group[selection] = np.array([sorted(values).index(value) for value in values])
        gone |= set(theirs.get_dupe_rows(group, selection).get("local_index", ()))
    for number, page in enumerate(pages):
        units = page[key] if isinstance(page[key], list) else [page[key]]
        page[key] = [unit for at, unit in enumerate(units) if (number, at) not in gone]
    pages = [page for page in pages if page[key]]
    if key != "text" or not any(len(page[key]) > 1 for page in pages):
        for page in pages:
            page[key] = page[key][0]
    return pages


def prepare(model: str | None) -> None:
    """Give their modules what they import and do not use here, the sentences of nltk, and a model of languages."""
    for name in UNUSED:
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = mock.MagicMock(name=name)  # a spec would take its names away
    sys.modules["simdjson"] = json
    from baselines.mappers import core_utils
    from nltk.tokenize.punkt import PunktSentenceTokenizer, PunktTokenizer

    try:
        core_utils.sent_tokenizer = PunktTokenizer("english")
    except LookupError:  # its parameters are no part of the package
        core_utils.sent_tokenizer = PunktSentenceTokenizer()
    core_utils._prep_nltk_tokenizer = lambda language: None
    if model:
        import fasttext
        from baselines.mappers.enrichers import language_id_enrichers

        language_id_enrichers.load_fasttext_model = lambda: fasttext.load_model(model)


def main(checkout: str, config: str, model: str | None = None) -> None:
    import yaml

    sys.path[:0] = [checkout, f"{checkout}/baselines"]
    prepare(model)
    (source,) = yaml.safe_load(open(config))
    pages = [json.loads(line) for line in io.TextIOWrapper(sys.stdin.buffer, "utf-8")]
    for step in source["steps"]:
        arguments = {name: value for name, value in step.items() if name != "func" and not name.startswith("_")}
        before = len(pages)
        if step["func"] == "exact_dedup":
            pages = dedup(pages, step)
        else:
            ready = function(step["func"], arguments)
            pages = [page for each in pages for page in ready(each)]
        print(f"{step['func']}: {before} -> {len(pages)}", file=sys.stderr)
    for page in pages:
        print(json.dumps(page))


if __name__ == "__main__":
    main(*sys.argv[1:])
