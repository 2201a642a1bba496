"""Text of the embedded corpus as packed rows in a folder: what `tokenizer` and `pack` do, without an engine."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from pipeline.files.open_store import file_on_disk
from stages.tokens.packed_rows import PackedRows
from stages.tokens.packing import best_fit, cut

CORPUS = Path(__file__).parents[2] / "recipes" / "corpus"
SPECIALS = ("<|endoftext|>", "<mask>", "<unk>", *(f"<mask_{n}>" for n in range(1, 5)), "<sep>", "<eom>")
WORDS = 512
Document = np.ndarray  # int64 ids, without the special tokens around them


def texts(*sources: str, clean: bool = False) -> list[str]:
    """Documents of some sources, in the order of the corpus, each once. `clean`: those alone into which nothing was
    planted, nor a copy of another one.
    """
    found: dict[str, None] = {}
    planted = _planted() if clean else set()
    for path in sorted(CORPUS.glob("corpus-*.jsonl.gz")):
        with gzip.open(path, "rt") as lines:
            for line in lines:
                row = json.loads(line)
                if row["source"] in sources and row["id"] not in planted:
                    found[row["text"]] = None
    return list(found)


def _planted() -> set[str]:
    with gzip.open(CORPUS / "truth.jsonl.gz", "rt") as lines:
        return {row["id"] for row in map(json.loads, lines) if row["kind"] != "clean"}


def tokenizer(of: Sequence[str]) -> Tokenizer:
    """Byte pairs of a small vocabulary."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        of, trainers.BpeTrainer(vocab_size=WORDS, special_tokens=list(SPECIALS), initial_alphabet=alphabet)
    )
    return made


def encoded(by: Tokenizer, of: Sequence[str]) -> list[Document]:
    return [np.array(one.ids, np.int64) for one in by.encode_batch(list(of))]


def packed(
    folder: Path,
    documents: Sequence[Document],
    length: int,
    columns: Mapping[str, Sequence[float]] | None = None,
    words: int = WORDS,
) -> PackedRows:
    """Rows of `length` + 1 tokens; `columns`: a value for each document, of which rows carry the mean."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = [np.concatenate([[0], ids, [0]]) for ids in documents]
    rows = best_fit(cut([len(ids) for ids in whole], length + 1), length + 1)
    ids = np.zeros((len(rows), length + 1), "<u2")
    table: dict[str, list] = {name: [] for name in ("tokens", "doc_start", *(columns or {}))}
    for row, pieces in enumerate(rows):
        parts = [whole[piece.document][piece.offset : piece.offset + piece.length] for piece in pieces]
        used = np.concatenate(parts)
        ids[row, : len(used)] = used
        table["tokens"].append(len(used))
        table["doc_start"].append(np.cumsum([0, *(len(part) for part in parts[:-1])]).tolist())
        for name, values in (columns or {}).items():
            of_pieces, sizes = [values[piece.document] for piece in pieces], [piece.length for piece in pieces]
            mean = np.log(np.average(np.exp(of_pieces), weights=sizes)) if name == "log_prior" else None
            table[name].append(float(np.average(of_pieces, weights=sizes) if mean is None else mean))
    ids.tofile(folder / "a.bin")
    kinds = {"tokens": pa.int32(), "doc_start": pa.list_(pa.int32())}
    pq.write_table(
        pa.table({name: pa.array(values, kinds.get(name, pa.float64())) for name, values in table.items()}),
        folder / "a.rows.parquet",
    )
    files = ((file_on_disk(folder / "a.bin"), file_on_disk(folder / "a.rows.parquet"), len(rows)),)
    return PackedRows(files, length, "uint16", 0, words, specials=tuple((n, i) for i, n in enumerate(SPECIALS)))
