"""Write the files of the worlds: python -m recipes.worlds [FOLDER]"""

import gzip
import json
import sys
from pathlib import Path

from recipes.worlds import ciphers, coins, facts, grammar, tools, voices

WORLDS = {
    "ciphers": ciphers.rows, "coins": coins.rows, "facts": facts.rows, "grammar": grammar.rows, "tools": tools.rows,
}  # fmt: skip


def write(folder: Path) -> None:
    for name, rows in WORLDS.items():
        lines = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows())
        (folder / f"{name}-00.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    voices.write(folder / "voices")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
