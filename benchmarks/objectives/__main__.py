"""`python -m benchmarks.objectives [NAME...] [--small] [--json FILE]`: do the published objectives do what they claim?

Models of 0.15 million parameters on the embedded corpus, by the project's own training loop, in one process. Paired:
for each of three seeds all arms share the start and the rows. Each difference is printed with its paired t interval at
95 %, and held against what the method claims: also where the claim is that nothing happens.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from benchmarks.dedup.records import Records, say
from benchmarks.interval import interval
from benchmarks.objectives.late import emo, half_tuning
from benchmarks.objectives.mixed import curricula, infill, phases, priors

Experiment = Callable[[Path, int, int], Mapping[str, float]]
# name -> (experiment, its number of steps; what goes on from a trained model trained that for twice as many)
EXPERIMENTS: Mapping[str, tuple[Experiment, int]] = {
    "emo": (emo, 100),
    "half_tuning": (half_tuning, 120),
    "infill": (infill, 600),
    "phases": (phases, 300),
    "curricula": (curricula, 240),
    "priors": (priors, 60),
}
# name -> (what, one arm, another, in percent of the other, least, most): what the difference one - other must be
CLAIMS: Mapping[str, tuple[tuple[str, str, str, bool, float | None, float | None], ...]] = {
    "emo": (
        ("cosine: emo - plain", "emo cosine", "plain cosine", False, 0.0, None),
        ("cosine: fixed - plain", "fixed cosine", "plain cosine", False, 0.0, None),
        ("cosine: shuffled costs - plain (control)", "shuffled cosine", "plain cosine", False, None, None),
        ("loss: emo - plain [%]", "emo loss", "plain loss", True, None, 1.0),
        ("loss: fixed - plain [%]", "fixed loss", "plain loss", True, None, None),
    ),
    "half_tuning": (
        ("loss of the first text: half - full", "half kept", "full kept", False, None, 0.0),
        ("loss of the first text: layer - full", "layer kept", "full kept", False, None, None),
        ("loss of the second text: half - full", "half learned", "full learned", False, None, None),
        ("forgotten by full", "full kept", "before kept", False, None, None),
    ),
    "infill": (
        ("names filled in: infill - plain", "infill filled", "plain filled", False, 0.1, None),
        ("loss from left to right: infill - plain [%]", "infill loss", "plain loss", True, None, 2.0),
    ),
    "phases": (
        ("probe: causal, then masks - masks", "both", "masks", False, 0.0, None),
        ("probe: masks - causal", "masks", "causal", False, 0.0, None),
    ),
    "curricula": (
        ("loss: easy first - none [%]", "easy first", "none", True, None, 1.0),
        ("loss: hard first - none [%] (control)", "hard first", "none", True, None, None),
        ("loss: vocabulary - none [%]", "vocabulary", "none", True, None, 1.0),
    ),
    "priors": (
        ("weight of the noise - its share", "noise weight", "noise share", False, None, 0.0),
        ("loss: prior in the loss - none [%]", "in the loss", "none", True, None, 0.0),
        ("loss: prior in the sampler - none [%]", "in the sampler", "none", True, None, 0.0),
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.objectives")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EXPERIMENTS)}; all without one")
    parser.add_argument("--small", action="store_true", help="two seeds of a few steps: only that it runs")
    parser.add_argument("--json", type=Path)
    wish = parser.parse_args()
    if unknown := set(wish.names) - set(EXPERIMENTS):
        parser.error(f"{', '.join(sorted(unknown))}: no experiment, expected some of {', '.join(EXPERIMENTS)}")
    torch.set_num_threads(1)
    records = Records()
    for name in wish.names or EXPERIMENTS:
        experiment, steps = EXPERIMENTS[name]
        found = []
        for seed in range(2 if wish.small else 3):
            with tempfile.TemporaryDirectory() as folder:
                found.append(experiment(Path(folder), seed, 4 if wish.small else steps))
            say(f"{name}, seed {seed}: " + ", ".join(f"{arm} {value:.4f}" for arm, value in found[-1].items()))
        for what, one, other, percent, least, most in CLAIMS[name]:
            differences = [(run[one] - run[other]) * (100.0 / run[other] if percent else 1.0) for run in found]
            mean, half = interval(differences)
            say(f"  {what}: {mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]")
            shown = f"{what}, mean of {len(found)} seeds, 95 % within {half:.4f}"
            if least is not None:
                records.at_least(name, shown, mean, least, "")
            elif most is not None:
                records.at_most(name, shown, mean, most, "")
            else:
                records.shown(name, shown, mean, "")
        if wish.json is not None:
            wish.json.write_text(json.dumps(records.rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
