"""The other tools, each in an environment of its own, on the same documents with the same settings.

Lower-cased words, 5-grams, 14 bands of 8, 112 hashes, one document kept per component. Known differences, which
cannot be set away: gaoya verifies the estimate at 0.75; datatrove normalises digits and punctuation; text-dedup keeps
empty tokens; Data-Juicer splits at white space; rensa has no tokenizer, its time is mostly that of Python's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dedup.measure import Failed, Measured, best, command

SCRIPTS = Path(__file__).parent / "peer_scripts"
ROUNDS = 3  # of which the best counts, for the tools and for ours alike
SHORT = 60.0  # CPU seconds; what takes longer runs once


@dataclass(frozen=True)
class Peer:
    """name; pip requirements (none: our own environment has it); script and its further arguments."""

    name: str
    needs: tuple[str, ...]
    script: str
    more: tuple[str, ...] = ()


PEERS = (
    Peer("datasketch", (), "datasketch_run.py", ("sha1",)),
    Peer("datasketch-xxh", ("datasketch==2.0.0", "xxhash", "pyarrow"), "datasketch_run.py", ("xxh",)),
    Peer("rensa", ("rensa==0.5.0", "numpy", "pyarrow"), "rensa_run.py"),
    Peer("gaoya", ("gaoya==0.2.2", "numpy", "pyarrow"), "gaoya_run.py"),
    Peer("text-dedup", ("text-dedup==0.4.0", "pyarrow"), "text_dedup_run.py"),
    Peer("datatrove", ("datatrove[processing,io]==0.10.1", "spacy", "pyarrow"), "datatrove_run.py"),
    Peer("data-juicer", ("py-data-juicer==1.6.1", "ray[default,data]", "pyarrow"), "data_juicer_run.py"),
)


def run(peer: Peer, cache: Path, source: Path) -> tuple[Measured | None, str]:
    """(its run, "") or (None, why there is none). The kept rows lie in `<cache>/kept/<peer>.npy`."""
    try:
        python = _environment(peer, cache)
        out = cache / "kept" / f"{peer.name}.npy"
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = cache / "scratch"
        scratch.mkdir(exist_ok=True)
        line = [python, str(SCRIPTS / peer.script), str(source), str(out), *peer.more]
        settings = {"TMPDIR": str(scratch), "RAY_AUTH_MODE": "disabled", "PYTHONPATH": ""}
        rounds = [command(line, cache / "logs" / f"{peer.name}.txt", settings)]
        while len(rounds) < ROUNDS and rounds[0].cpu < SHORT:
            rounds.append(command(line, cache / "logs" / f"{peer.name}.txt", settings))
    except (Failed, subprocess.CalledProcessError) as error:
        return None, str(error)[-200:]
    return best(rounds), ""


def _environment(peer: Peer, cache: Path) -> str:
    if not peer.needs:
        return sys.executable
    folder = cache / "environments" / peer.name
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        # The interpreter itself, not the environment that this runs in.
        base = os.path.join(sys.base_prefix, "bin", f"python{sys.version_info.major}")
        subprocess.run([base, "-m", "venv", str(folder)], check=True, capture_output=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *peer.needs]
        subprocess.run(install, check=True, capture_output=True)
        (folder / "ready").touch()
    return str(python)
