"""The code of DCLM (github.com/mlfoundations/dclm, MIT), for tests that hold ours against its own functions.

Nothing of it is kept here. `dclm_checkout()` gives the checkout that `SIFTLOOM_DCLM` names, or clones the folders that
are needed, at one commit, into the user's cache. Where neither can be had, `DclmUnavailable` says why, for a skip.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = "https://github.com/mlfoundations/dclm"
COMMIT = "361714bdd60bb9b7f4b2d8354cebbf0dec0c329e"
FOLDERS = ("baselines", "ray_processing")
SECONDS = 120  # for a clone


class DclmUnavailable(Exception):
    """The code cannot be had on this machine; the message is the reason."""


def dclm_checkout() -> Path:
    """The folder of a checkout. Raises DclmUnavailable."""
    if named := os.environ.get("SIFTLOOM_DCLM"):
        if not Path(named, "baselines/mappers").is_dir():
            raise DclmUnavailable(f"SIFTLOOM_DCLM: {named} is no checkout of {SOURCE}")
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home, "siftloom-tests", f"dclm-{COMMIT[:12]}")
    if folder.exists():
        return folder
    if shutil.which("git") is None:
        raise DclmUnavailable("git is not installed")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        tree = Path(made, "tree")
        for words in (
            ["clone", "--quiet", "--filter=blob:none", "--no-checkout", SOURCE, str(tree)],
            ["-C", str(tree), "checkout", "--quiet", COMMIT, "--", *FOLDERS],
        ):
            try:
                done = subprocess.run(
                    ["git", *words], capture_output=True, text=True, timeout=SECONDS,
                    env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise DclmUnavailable(f"git {words[0]}: {SOURCE} does not answer") from None
            if done.returncode:
                why = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise DclmUnavailable(f"git: {why} (SIFTLOOM_DCLM may name a checkout)")
        if not folder.exists():  # another process may have been first
            tree.rename(folder)
    return folder
