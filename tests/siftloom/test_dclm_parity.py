"""All configurations of DCLM's, translated and run, against its own functions on pages that nobody here chose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from command_line import siftloom

from stages.fasttext_models import bundled_language_model
from tests.data_dclm import DclmUnavailable, dclm_checkout
from tests.data_debian import MANUALS, DebianUnavailable, debian_pages

# They are looked for, not imported: only the other process, of DCLM's own code, imports them.
MISSING = [name for name in ("nltk", "retrie", "uniseg") if find_spec(name) is None]
pytestmark = [pytest.mark.timeout(900), pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}")]
CONFIGS = "baselines/baselines_configs"
DOMAINS = "baselines/mappers/banlists/refinedweb_banned_domains_curated.txt"  # which their setup fetches
HOSTS = {"debian-policy": "www.debian.org", "developers-reference": "github.com", "html": "listed.example"}
REFERENCE = Path(__file__).with_name("dclm_reference.py")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their code, and beside it a list of hosts in the place of theirs."""
    try:
        tree = dclm_checkout()
    except DclmUnavailable as reason:
        pytest.skip(str(reason))
    folder = tmp_path_factory.mktemp("dclm")
    for name in ("baselines", "ray_processing"):
        subprocess.run(["cp", "-r", str(tree / name), str(folder)], check=True)
    (folder / DOMAINS).write_text("debian.org\nlisted.example\n")
    return folder


@pytest.fixture(scope="module")
def pages() -> list[dict]:
    """Pages of manuals in the form of DCLM's pool: the address stands in a field in a field."""
    try:
        found = [page for package in (*MANUALS, "git-doc") for page in debian_pages(package, min_words=1)]
    except DebianUnavailable as reason:
        pytest.skip(str(reason))
    rows = [{"id": page.id, "text": page.text} for page in found[::4]]
    for number, row in enumerate(rows):
        host = HOSTS.get(row["id"].partition("/")[0], "a.example") if number % 3 else "b.example"
        row["metadata"] = {"WARC-Target-URI": f"https://{host}/{row['id']}"}
    return rows


def theirs(checkout: Path, config: Path, pages: list[dict]) -> dict[str, str]:
    """Id -> text of what their functions keep."""
    done = subprocess.run(
        [sys.executable, str(REFERENCE), str(checkout), str(config), str(bundled_language_model())], cwd=checkout,
        input="".join(json.dumps(page) + "\n" for page in pages), capture_output=True, text=True, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {row["id"]: row["text"] for row in map(json.loads, done.stdout.splitlines())}


def ours(folder: Path, checkout: Path, config: Path, pages: list[dict]) -> dict[str, str]:
    """Id -> text of what the translation keeps."""
    (folder / "data").mkdir()
    (folder / "data" / "pages.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))
    (folder / "baselines").symlink_to(checkout / "baselines")
    siftloom("init", "data", "--from-dclm", config, cwd=folder)
    siftloom("run", "recipe.yaml", "--here", cwd=folder)
    rows = [row for path in sorted(folder.glob("curated/**/*.parquet")) for row in pq.read_table(path).to_pylist()]
    return {row["source_id"]: row["text"] for row in rows}


# of every so many pages: `refinedweb` differs from the baseline by one list of hosts, and their words are slow
@pytest.mark.parametrize(("name", "every"), [("dclm_baseline_refinedweb", 1), ("refinedweb", 3), ("c4", 1)])
def test_verdicts_and_texts_are_theirs(
    tmp_path: Path, checkout: Path, pages: list[dict], name: str, every: int
) -> None:
    pages = pages[::every]
    config = checkout / CONFIGS / f"{name}.yaml"
    kept, found = theirs(checkout, config, pages), ours(tmp_path, checkout, config, pages)
    other = [page["id"] for page in pages if (page["id"] in kept) != (page["id"] in found)]
    assert len(other) <= 0.005 * len(pages), other
    both = kept.keys() & found.keys()
    assert len(both) > 0.2 * len(pages)
    # of the empty lines of the whole corpus one stays in C4's, and none here
    assert sum(kept[key] != found[key] for key in both) <= (name == "c4")
