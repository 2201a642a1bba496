"""Cards of a dataset: a Hugging Face card, Croissant and PROV, made from the graph and the counts alone.

Nothing here is typed by a person, and nothing depends on the clock or the machine: of paths only the last part is
named, so a card can be published. What comes from data or a configuration is shown and cannot act. Sources: Hugging
Face's dataset cards (a YAML header in README.md); Croissant 1.0 (MLCommons 2024); PROV-JSON (W3C member submission
2013).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.contract import Node
from pipeline.inputs import inputs_first, nodes_in, parents_of
from pipeline.safe_text import markdown, markdown_code, visible, visible_json
from stages.read.damaged import COUNT as DAMAGED
from stages.source_fields import JSON

CROISSANT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
         (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"), (10**11, "10B<n<100B"))  # fmt: skip
CODE = re.compile("[a-z]{2,3}")  # of a language (ISO 639)


@dataclass(frozen=True)
class Dataset:
    """The subject of the cards.

    columns  name -> Arrow type name
    files    name -> rows, bytes, sha256
    counts   text_bytes, and rows by language and by source
    passed   node -> what its rows counted (`Context.behind`)
    """

    name: str
    node: Node
    fingerprint: str
    columns: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]]
    counts: Mapping[str, Any]
    passed: Mapping[Node, Mapping[str, int]]

    @property
    def rows(self) -> int:
        return sum(entry["rows"] for entry in self.files.values())


def cards(dataset: Dataset) -> dict[str, str]:
    """File name -> content of every card."""
    return {
        "README.md": readme(dataset),
        "croissant.json": visible_json(croissant(dataset), indent=1) + "\n",
        "prov.json": visible_json(prov(dataset), indent=1) + "\n",
    }


def readme(dataset: Dataset) -> str:
    """The dataset card."""
    first, place = next(iter(dataset.files)), visible_json(visible(dataset.name))
    ext = first[first.index(".") :]
    size = next((name for limit, name in SIZES if dataset.rows < limit), "n>100B")
    languages = sorted(name for name in dataset.counts["languages"] if CODE.fullmatch(name))
    header = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        f'    path: "data/train-*{ext}"',
        *(["language:", *(f'- "{name}"' for name in languages)] if languages else []),
        "size_categories:",
        f"- {size}",
        "tags:",
        "- siftloom",
        "---",
    ]
    parts = [
        "\n".join(header),
        f"# {markdown(dataset.name)}",
        f"{dataset.rows:,} rows, {dataset.counts['text_bytes']:,} bytes of text, {len(dataset.files):,} files.",
        f'```python\nfrom datasets import load_dataset\n\nrows = load_dataset({place}, split="train")\n```',
        _table("Columns", "type", dataset.columns),
        *(_table(f"Rows by {by[:-1]}", "rows", dataset.counts[by]) for by in ("languages", "sources")),
        "## How it came to be\n\nOne line a node, inputs first, with the fields that are no defaults, and how many "
        "documents it saw and removed. "
        f"The result is `{dataset.fingerprint}`; the same graph over the same files gives the same bytes.",
        "\n".join(f"- {step.text}" for step in steps(dataset.node, dataset.passed)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(title: str, column: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    numbers = all(isinstance(value, int) for value in values.values())
    shown = sorted(values.items(), key=lambda item: (-item[1], item[0])) if numbers else list(values.items())
    cells = [
        (markdown_code(name, cell=True), f"{value:,}" if numbers else markdown(str(value))) for name, value in shown
    ]
    lines = [f"| {name} | {value} |" for name, value in cells]
    return "\n".join([f"## {title}", "", f"| | {column} |", "|---|---|", *lines])


def croissant(dataset: Dataset) -> dict[str, Any]:
    """The dataset in Croissant 1.0: one file object a file, one record set with a field a column."""
    parquet = next(iter(dataset.files)).endswith(".parquet")
    encoding = "application/x-parquet" if parquet else "application/jsonlines"
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": PurePosixPath(name).name,
            "contentUrl": name,
            "contentSize": f"{entry['bytes']} B",
            "encodingFormat": encoding if parquet else "application/gzip",
            "sha256": entry["sha256"],
        }
        for name, entry in dataset.files.items()
    ]
    whole = {
        "@type": "cr:FileSet",
        "@id": "rows",
        "name": "rows",
        "encodingFormat": encoding,
        "includes": "data/train-*.parquet" if parquet else "data/train-*.jsonl.gz",
    }
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"row/{name}",
            "name": f"row/{name}",
            "dataType": _croissant_type(kind),
            "source": {"fileSet": {"@id": "rows"}, "extract": {"column": name}},
        }
        for name, kind in dataset.columns.items()
        if parquet or kind != JSON
    ]
    return {
        "@context": CROISSANT,
        "@type": "sc:Dataset",
        "name": dataset.name,
        "description": f"{dataset.rows} rows that siftloom made; node {dataset.fingerprint}.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "version": f"0.0.0+{dataset.fingerprint[:12]}",
        "distribution": [*objects, whole],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "row", "name": "row", "field": fields}],
    }


def _croissant_type(kind: str) -> str:
    if kind.startswith(("int", "uint")):
        return "sc:Integer"
    return {"bool": "sc:Boolean", "string": "sc:Text"}.get(kind, "sc:Float" if kind.startswith("float") else "sc:Text")


def prov(dataset: Dataset) -> dict[str, Any]:
    """The graph in PROV-JSON: a node is an activity, its result an entity that the next node uses."""
    document: dict[str, Any] = {
        "prefix": {"sl": "urn:siftloom:"},
        "agent": {"sl:siftloom": {"prov:type": "prov:SoftwareAgent"}},
        "activity": {},
        "entity": {},
        "wasGeneratedBy": {},
        "used": {},
        "wasAssociatedWith": {},
    }
    found = steps(dataset.node, dataset.passed)
    for step in found:
        activity, entity = f"sl:run-{step.number}", f"sl:result-{step.number}"
        fields = {f"sl:{name}": str(value) for name, value in (*step.fields.items(), *step.counts.items())}
        document["activity"][activity] = {"prov:label": step.kind, "sl:version": str(step.version), **fields}
        document["entity"][entity] = {"prov:label": f"result of {step.kind}"}
        document["wasGeneratedBy"][f"_:g{step.number}"] = {"prov:entity": entity, "prov:activity": activity}
        document["wasAssociatedWith"][f"_:a{step.number}"] = {"prov:activity": activity, "prov:agent": "sl:siftloom"}
        for parent in step.inputs:
            edge = {"prov:activity": activity, "prov:entity": f"sl:result-{parent}"}
            document["used"][f"_:u{step.number}-{parent}"] = edge
    last = found[-1].number
    document["entity"][f"sl:result-{last}"] |= {"sl:fingerprint": dataset.fingerprint, "sl:rows": str(dataset.rows)}
    for name, entry in dataset.files.items():
        file = f"sl:{name}"
        document["entity"][file] = {"sl:sha256": entry["sha256"], "sl:rows": str(entry["rows"])}
        document["wasGeneratedBy"][f"_:{name}"] = {"prov:entity": file, "prov:activity": f"sl:run-{last}"}
    return document


@dataclass(frozen=True)
class Step:
    """One node of the graph: its number in an order in which inputs come first, what is not a default, and what its
    rows counted: `documents`, and `removed.<reason>` or `rejected.<reason>`.
    """

    number: int
    kind: str
    version: int
    fields: Mapping[str, Any]
    inputs: tuple[int, ...]
    counts: Mapping[str, int]

    @property
    def text(self) -> str:
        values = "".join(f", {markdown_code(f'{name}={value!r}')}" for name, value in self.fields.items())
        return f"{self.number}. `{self.kind}` of {', '.join(map(str, self.inputs)) or 'files'}{values}{self._seen}"

    @property
    def _seen(self) -> str:
        if "documents" not in self.counts:
            return ""
        gone = sorted((-n, name) for name, n in self.counts.items() if "." in name)
        reasons = ", ".join(f"{markdown_code(name.partition('.')[2])} {-n:,}" for n, name in gone)
        damaged = self.counts.get(DAMAGED, 0)
        return (
            f": {self.counts['documents']:,} documents, {-sum(n for n, _ in gone):,} removed"
            + (f" ({reasons})" if reasons else "")
            + (f"; {damaged:,} damaged files left out" if damaged else "")
        )


def steps(node: Node, passed: Mapping[Node, Mapping[str, int]]) -> list[Step]:
    """Every node that a node depends on and the node itself, inputs first."""
    found: dict[int, Step] = {}
    for one in inputs_first([node]):
        fields = {}
        for field in dataclasses.fields(one):
            value, role = getattr(one, field.name), field.metadata.get("role")
            if not any(nodes_in(value)) and role not in ("runtime", "target") and value != field.default:
                fields[field.name] = [PurePosixPath(path).name for path in value] if role == "sources" else value
        inputs = tuple(dict.fromkeys(found[id(parent)].number for parent in parents_of(one)))
        counts = _documents(passed.get(one, {}))
        found[id(one)] = Step(len(found) + 1, one.kind(), one.version, fields, inputs, counts)
    return list(found.values())


def _documents(counts: Mapping[str, int]) -> dict[str, int]:
    """How many documents a row phase or a reader saw, and how many of them went for which reason."""
    seen = counts.get("alive_in", counts.get("rows"))
    gone = {name: n for name, n in counts.items() if name.startswith(("removed.", "rejected.", DAMAGED)) and n}
    return {} if seen is None else {"documents": seen, **gone}
