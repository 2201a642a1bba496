"""Rebuild the demo corpus byte for byte: `python -m recipes.rebuild [--debs FOLDER] [--check]`.

Downloads seven Debian packages with apt-get (pinned by version and SHA-256; `--debs` names a folder that has
them or shall keep them), cuts passages, plants faults, and writes recipes/corpus/. `--check` builds in a
temporary folder and compares. Compression is zopfli (`pip install -e ".[corpus]"`): 4 % smaller than
zlib's best, and its bytes do not depend on the system's zlib.

A row of corpus-NN.jsonl.gz is {id, text, source}; truth.jsonl.gz has one row for each, in their order:
{id, kind} and, by kind,
  near, exact, exact_normalised   of: id of the original; jaccard: of their word 5-grams (exact: 1.0)
  boilerplate                     lines: places of the planted lines in text.split("\\n")
  leak                            of: id of the item in eval-00.jsonl.gz; verbatim: whether letter for letter
  language                        language: tag of the translation
`clean` is prose (originals of copies too), `listing` real text that is a list of names or options.
"""

import argparse
import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from recipes.rebuild import faults, sources
from recipes.rebuild.plan import Row, assemble

HERE = Path(__file__).parents[1] / "corpus"


def packed(rows: Iterable[Row]) -> bytes:
    import zopfli.gzip

    lines = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    return zopfli.gzip.compress(lines.encode())


def build(debs: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory() as tree:
        sources.unpack(debs, Path(tree))
        files = assemble(Path(tree))
    out.mkdir(parents=True, exist_ok=True)
    digests: dict[str, dict[str, object]] = {}
    for name, rows in files.items():
        data = packed(rows)
        (out / f"{name}.jsonl.gz").write_bytes(data)
        digests[f"{name}.jsonl.gz"] = {
            "rows": len(rows),
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    truth = files["truth"]
    manifest = {
        "seed": faults.SEED,
        "packages": {
            p.name: {"version": p.version, "sha256": p.sha256, "licence": p.licence} for p in sources.PACKAGES
        },
        "sources": sources.LICENCES,
        "kinds": dict(sorted(Counter(str(row["kind"]) for row in truth).items())),
        "boilerplate": [list(pair) for pair in faults.BOILERPLATE],
        "files": digests,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild the demo corpus.")
    parser.add_argument("--debs", type=Path, help="folder with the .deb files, or to keep them in")
    parser.add_argument("--check", action="store_true", help="build elsewhere and compare the bytes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        debs = given.debs or Path(folder) / "debs"
        debs.mkdir(parents=True, exist_ok=True)
        out = Path(folder) / "corpus" if given.check else HERE
        build(debs.resolve(), out)
        if given.check:
            names = sorted({p.name for p in out.iterdir()} | {p.name for p in HERE.iterdir()})
            different = [
                n
                for n in names
                if not (
                    (out / n).exists() and (HERE / n).exists() and (out / n).read_bytes() == (HERE / n).read_bytes()
                )
            ]
            raise SystemExit(f"differ: {', '.join(different)}" if different else 0)


if __name__ == "__main__":
    main()
