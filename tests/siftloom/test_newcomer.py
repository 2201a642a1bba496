"""A newcomer with a folder of mixed files, who edits no recipe: init, plan, a try, a run, one file more."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from pathlib import Path

import datasets
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from command_line import siftloom, write_documents

from tests.data_debian import MANUALS, DebianUnavailable, Page, debian_pages, unpacked

FEW = 8  # files or rows of each format


def write_corpus(folder: Path) -> list[Page]:
    """Pages of Debian's manuals in seven formats, the pages themselves, pictures; returns pages that are left."""
    try:
        pages = list(debian_pages())
        (place,) = (unpacked("developers-reference") / MANUALS["developers-reference"],)
    except DebianUnavailable as why:
        pytest.skip(str(why))
    folder.mkdir()
    assert len(pages) > 6 * FEW
    parts = [pages[i * FEW : (i + 1) * FEW] for i in range(6)]
    rows = [[{"id": page.id, "text": page.text} for page in part] for part in parts]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[0]))
    with gzip.open(folder / "b.jsonl.gz", "wt") as packed:
        packed.writelines(json.dumps({"url": row["id"], "body": row["text"]}) + "\n" for row in rows[1])
    with open(folder / "c.csv", "w", newline="") as table:
        writer = csv.DictWriter(table, ["id", "text"])
        writer.writeheader()
        writer.writerows(rows[2])
    pq.write_table(pa.Table.from_pylist(rows[3]), folder / "d.parquet")
    (folder / "e.json").write_text(json.dumps(rows[4]))
    for number, row in enumerate(rows[5]):
        (folder / f"{number}.txt").write_text(row["text"])
    (folder / "pages").mkdir()
    for path in sorted(place.glob("*.html"))[:4]:
        shutil.copy(path, folder / "pages" / path.name)
    (folder / "picture.png").write_bytes(b"\x89PNG")
    return pages[6 * FEW :]


def curate(folder: Path, *words: str) -> None:
    siftloom("run", "recipe.yaml", "curated", *words, "--here", cwd=folder)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_from_a_mixed_folder_to_a_dataset_without_an_edit(tmp_path: Path) -> None:
    left = write_corpus(tmp_path / "corpus")
    told = siftloom("init", "corpus", cwd=tmp_path).stdout
    assert "left out   files of other formats: 1 .png" in told
    limit = told.rpartition("--limit ")[2].split()[0]
    plan = json.loads(siftloom("plan", "recipe.yaml", "--json", cwd=tmp_path).stdout)
    recipe = yaml.safe_load((tmp_path / "recipe.yaml").read_text())["nodes"]
    assert len(plan["nodes"]) == len(recipe)

    curate(tmp_path, "--limit", limit)
    first = datasets.load_dataset(str(tmp_path / "curated"), split="train", cache_dir=str(tmp_path / "cache"))
    curate(tmp_path)
    rows = opened(tmp_path / "curated", tmp_path / "cache")
    assert len(first) < rows
    assert 30 <= rows <= 6 * FEW + 4

    (tmp_path / "corpus" / "z.jsonl").write_text(json.dumps({"id": left[0].id, "text": left[0].text}) + "\n")
    before = digests(tmp_path / "runs")
    curate(tmp_path)
    assert opened(tmp_path / "curated", tmp_path / "cache") == rows + 1
    made = counted(digests(tmp_path / "runs"), before)
    assert made["read"] == 1
    assert not made["extract"]
    # the one new shard; side-cars of the others are links, and so are their keys and files where no copy came
    assert (made["language"], made["gopher_quality"], made["gopher_repetition"]) == (1, 1, 1)


def digests(store: Path) -> dict[Path, int]:
    """Data files of nodes -> inode: a file that is taken over is a link to the old one."""
    found = {path: path.stat().st_ino for path in store.glob("nodes/*/data/*/*") if path.is_file()}
    assert found
    return found


def counted(after: dict[Path, int], before: dict[Path, int]) -> dict[str, int]:
    """Kind of node -> data files that were written anew."""
    old = set(before.values())
    found: dict[str, int] = {}
    for path, inode in after.items():
        kind = path.parts[path.parts.index("nodes") + 1].rpartition("-")[0]
        found[kind] = found.get(kind, 0) + (path not in before and inode not in old)
    return found


def opened(folder: Path, cache: Path) -> int:
    """The rows of a written dataset, the same in three libraries."""
    found = datasets.load_dataset(str(folder), split="train", cache_dir=str(cache / str(len(list(cache.glob("*"))))))
    files = sorted(folder.rglob("*.parquet"))
    frame = pandas.concat([pandas.read_parquet(file) for file in files])
    table = polars.read_parquet([str(file) for file in files])
    assert len(found) == len(frame) == len(table)
    assert sorted(found["text"]) == sorted(frame["text"]) == sorted(table["text"])
    return len(found)


def test_every_command_shows_an_example() -> None:
    from siftloom.cli.examples import EXAMPLES
    from siftloom.cli.main import command_line

    commands = command_line().commands
    assert set(EXAMPLES) == set(commands)
    for name, command in commands.items():
        assert command.epilog == f"Example: {EXAMPLES[name]}"
        assert EXAMPLES[name].startswith(f"siftloom {name}")


def test_a_filter_over_a_column_that_is_null_says_so(tmp_path: Path) -> None:
    write_documents(tmp_path / "docs")
    (tmp_path / "bad.txt").write_text("bad.example\n")
    (tmp_path / "r.yaml").write_text(
        "name: r\nnodes:\n  docs: {use: read, paths: [docs/*.jsonl], keep: [address]}\n"
        "  listed: {use: url, docs: docs, column: address, domains: [bad.txt]}\n"
    )
    said = siftloom("run", "r.yaml", "--here", cwd=tmp_path).stderr
    assert "listed: not one of 44 documents has a score; is address null in all of them?" in said
