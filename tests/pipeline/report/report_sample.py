"""A made-up run shaped like the demo: 3,000 documents, four models, hostile texts among the removed ones."""

from __future__ import annotations

import hashlib
import math
import random
from typing import Any

from pipeline.report.data import Example, FunnelStep, Highlight, NodeReport, Reason, ReportData

HOSTILE = (
    "<script>alert('no')</script><img src=x onerror=alert(1)> &amp; \"quotes\" ' </style></script><!-- \x00\x07\x1b[31m\n"
    "\u202eright to left override\u202c עברית וערבית العربية שלום ‏ and " + "W" * 900 + " \ud800 lone"
)
NOVEL = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a "
    "wife. However little known the feelings or views of such a man may be on his first entering a neighbourhood, this "
    "truth is so well fixed in the minds of the surrounding families, that he is considered the rightful property of "
    "some one or other of their daughters. “My dear Mr. Bennet,” said his lady to him one day, “have you heard that "
    "Netherfield Park is let at last?” Mr. Bennet replied that he had not. “But it is,” returned she; “for Mrs. Long "
    "has just been here, and she told me all about it.” Mr. Bennet made no answer. “Do you not want to know who has "
    "taken it?” cried his wife impatiently."
)
COPY = (
    NOVEL.replace("a good fortune", "a large fortune")
    .replace("his lady to him one day", "his wife to him one morning")
    .replace("she told me all about it", "she told me the whole of it")
)
GERMAN = "Die Abteilung für Sprachen prüft jedes Dokument, bevor es in die Sammlung aufgenommen wird. Über Umlaute freut sie sich."
NOISE = "xq zzkv wrtl pfft qqq 8813 jkl vvv xzz qpw mnb tyu rtz fgh dsa qwe yxc vbn mkl poi uzt rew qas dfg"
MODELS = ("dense", "lost", "lost_reweighted", "dense_unfiltered")


def fingerprint(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def report(seed: int = 7) -> ReportData:
    """The whole page's data; the same for the same seed."""
    dice = random.Random(seed)
    nodes = (*_curation(dice), *_training(dice))
    return ReportData(
        name="demo",
        finished="2026-11-14 15:42 UTC, after 1 min 46 s",
        headline=(
            "Of 3,000 documents 1,022 were kept for training. With 53 % of the dense model’s parameters LOST comes "
            "within 0.018 bits per byte of it; the same dense model on unfiltered rows is 0.094 worse."
        ),
        highlights=(
            Highlight(label="documents kept", value="34.1 %", note="1,022 of 3,000"),
            Highlight(label="tokens", value="327,840", note="vocabulary 4,096"),
            Highlight(label="dense", value="2.041", note="bits per held-out byte"),
            Highlight(label="LOST", value="2.059", note="53 % of the parameters"),
            Highlight(label="nodes", value="20", note="13 run, 1 resumed, 6 reused"),
        ),
        nodes=nodes,
        funnel=_funnel(),
        figures=(_planted(),),
        command="siftloom run recipes/demo.yaml --store runs/",
        recipe='name: demo\nstore: runs/\nnodes:\n  docs:   {use: language, docs: {use: read, paths: ["demo://corpus"]}, keep: [en]}\n',
        versions=(
            ("siftloom", "0.1.0"),
            ("Python", "3.11.7"),
            ("ray", "2.60.0"),
            ("torch", "2.9.1"),
            ("pyarrow", "26.0.1"),
            ("datasketch", "2.0.0"),
        ),
        machine=(
            ("system", "Linux 6.12, x86_64"),
            ("processors", "2"),
            ("memory", "24 GiB"),
            ("Ray", "local, 2 workers"),
        ),
    )


def _row(
    label: str, kind: str, inputs: tuple[str, ...], total: int | None, kept: int, **more: Any
) -> NodeReport:
    more = {
        "action": "reuse",
        "why": "finished earlier with the same identity",
        "tasks": 4,
        "bytes_written": 96_000,
        "seconds": 2.4,
    } | more
    return NodeReport(
        label=label, kind=kind, fingerprint=fingerprint(label), inputs=inputs, total=total, kept=kept, **more
    )


def _curation(dice: random.Random) -> tuple[NodeReport, ...]:
    return (
        _row("read", "read", (), None, 3000, bytes_written=3_400_000, config=(("paths", '["demo://corpus"]'),)),
        _row("docs", "language", ("read",), 3000, 2871, config=(("keep", '["en"]'), ("min_score", "0.65")),
             reasons=(Reason(name="language.other", documents=118, text_bytes=131_000, examples=(
                 Example(id="9f3a61c0b2d4:17", text=GERMAN, value=0.021, threshold=0.65),)),
                 Reason(name="language.unsure", documents=11, text_bytes=4_100, examples=(
                     Example(id="9f3a61c0b2d4:203", text=HOSTILE, value=0.41, threshold=0.65),))),
             figures=(_scores(dice, "language score", "probability of English", 0.65, section="scores"),)),
        _row("plain", "gopher_quality", ("docs",), 2871, 2694, config=(("min_words", "30"),), reasons=(
            Reason(name="gopher.words", documents=84, text_bytes=9_200, examples=(
                Example(id="9f3a61c0b2d4:311", text="Click here.", value=2, threshold=30), Example(id="9f3a61c0b2d4:312", text=""))),
            Reason(name="gopher.alphabetic", documents=61, text_bytes=70_233, examples=(
                Example(id="9f3a61c0b2d4:1877", text=NOISE, value=0.613, threshold=0.8),)),
            Reason(name="gopher.mean_word", documents=27, text_bytes=31_002),
            Reason(name="gopher.symbols", documents=5, text_bytes=3_000)),
             figures=({"kind": "bars", "title": "Share of documents that break each rule alone", "unit": "percent",
                       "labels": ["words", "alphabetic", "mean word length", "stop words", "symbols"],
                       "values": [0.0293, 0.0212, 0.0094, 0.031, 0.0017]},)),
        _row("clean", "gopher_repetition", ("plain",), 2694, 2571, action="resume", why="2 of 4 shards were done", seconds=3.1,
             reasons=(Reason(name="gopher.top_2_gram", documents=123, text_bytes=181_000, examples=(
                 Example(id="9f3a61c0b2d4:940", text="buy now " * 60, value=0.97, threshold=0.2),)),)),
        _row("exact", "exact_dedup", ("clean",), 2571, 2391, action="run", why="no finished result with this identity",
             reasons=(Reason(name="exact.copy", documents=180, text_bytes=201_345),)),
        _row("unique", "minhash_dedup", ("exact",), 2391, 1987, action="run", why="`min_jaccard` changed from 0.7 to 0.6",
             seconds=6.2, config=(("min_jaccard", "0.6"), ("bands", "32"), ("rows", "4")),
             reasons=(Reason(name="minhash.near", documents=404, text_bytes=512_000, examples=(
                 Example(id="9f3a61c0b2d4:2201", text=COPY, value=0.83, threshold=0.6, kept_id="9f3a61c0b2d4:88", kept_text=NOVEL),)),),
             figures=_dedup(dice)),
        _row("once", "split", ("unique",), 1987, 1987, action="run", why="its input ran", result="",
             figures=({"kind": "table", "title": "Sides", "columns": ["side", "documents", "text", "share"],
                       "units": [None, None, "bytes", "percent"],
                       "rows": [["training", 1947, 2_048_113, 0.9799], ["held out", 40, 41_008, 0.0201]]},)),
        _row("good_read", "read", (), None, 240, bytes_written=240_000),
        NodeReport(label="model", kind="train_quality", fingerprint=fingerprint("model"), inputs=("good_read", "once"), action="run",
                 why="its input ran", result="fastText, AUC 0.981", tasks=1, bytes_written=4_200_000, seconds=3.3),
        _row("scored", "quality", ("once", "model"), 1987, 1987, action="run", why="its input ran",
             figures=(_scores(dice, "quality", "quality score", None, section=None),)),
        _row("good", "select", ("scored",), 1987, 1022, action="run", why="its input ran",
             reasons=(Reason(name="select.quality", documents=965, text_bytes=988_000, examples=(
                 Example(id="9f3a61c0b2d4:1500", text=NOISE, value=0.0931, threshold=0.5172),)),),
             figures=(_scores(dice, "quality", "quality score", 0.5172, section="scores"),)),
        NodeReport(label="vocabulary", kind="tokenizer", fingerprint=fingerprint("tok"), inputs=("good",), action="run",
                 result="4,096 tokens", tasks=1, bytes_written=190_000, seconds=1.2,
                 figures=({"kind": "lines", "title": "Vocabulary by rank", "x": "rank", "y": "uses", "log_x": True, "log_y": True,
                           "section": "tokens", "series": [{"name": "uses", "points": [[r, 30_000 / r**1.02] for r in range(1, 4000, 11)]}]},)),
        NodeReport(label="rows", kind="pack", fingerprint=fingerprint("rows"), inputs=("good", "vocabulary"), action="run",
                 unit="rows", kept=1276, tasks=4, bytes_written=660_000, seconds=1.9,
                 figures=({"kind": "histogram", "title": "Document lengths", "x": "tokens", "log_x": True, "section": "tokens",
                           "edges": [2.0**(i / 2) for i in range(8, 27)], "counts": [1, 2, 4, 9, 18, 31, 55, 90, 131, 162, 158, 137, 98, 62, 35, 17, 8, 4]},)),
    )  # fmt: skip


def _training(dice: random.Random) -> tuple[NodeReport, ...]:
    nodes = [
        _row(
            "unfiltered",
            "pack",
            ("read", "vocabulary"),
            None,
            4011,
            unit="rows",
            action="run",
            bytes_written=2_060_000,
        )
    ]
    for name, rows, seconds in zip(
        MODELS, ("rows", "rows", "rows", "unfiltered"), (14.2, 17.9, 18.4, 14.0), strict=True
    ):
        figures = _weights(dice) if name == "lost_reweighted" else ()
        nodes.append(
            NodeReport(
                label=name,
                kind="pretrain",
                fingerprint=fingerprint(name),
                inputs=(rows,),
                action="run",
                why="its input ran",
                result="200 steps, 1.64 M tokens",
                tasks=1,
                bytes_written=4_600_000,
                seconds=seconds,
                figures=figures,
            )
        )
    table = {
        "kind": "table",
        "title": "Four models on one budget",
        "section": "models",
        "columns": ["model", "parameters", "memory", "held-out bits per byte", "speed"],
        "units": [None, None, "bytes", None, "tokens/s"],
        "best": [None, "min", "min", "min", "max"],
        "rows": [
            ["dense", 1_311_232, 21_000_000, 2.0413, 118_230],
            ["lost", 694_784, 12_300_000, 2.0594, 93_120],
            ["lost_reweighted", 694_784, 12_300_000, 2.0561, 91_044],
            ["dense_unfiltered", 1_311_232, 21_000_000, 2.1354, 118_001],
        ],
        "note": "Memory is weights, gradients and both moments of AdamW in fp32.",
    }
    text = {
        "kind": "text",
        "title": "lost, at temperature 0.8",
        "section": "samples",
        "lines": [
            "The morning was so very fine that Elizabeth could not help the pleasure of",
            "her own walk, and the letter of the house, which she had been so long in the",
            "table, was to be the first of the table of the index of the rows.",
        ],
    }
    nodes.append(
        NodeReport(
            label="table",
            kind="compare",
            fingerprint=fingerprint("table"),
            inputs=MODELS,
            action="run",
            why="its input ran",
            result="4 models",
            seconds=2.0,
            figures=(_losses(dice), table, text),
        )
    )
    nodes.append(
        NodeReport(
            label="export",
            kind="export",
            fingerprint=fingerprint("export"),
            inputs=("lost",),
            action="run",
            result="Hugging Face folder",
            bytes_written=2_800_000,
            seconds=0.6,
        )
    )
    return tuple(nodes)  # fmt: skip


def _scores(
    dice: random.Random, title: str, x: str, threshold: float | None, section: str | None
) -> dict[str, Any]:
    counts = [0] * 40
    for _ in range(2400):
        value = dice.betavariate(6, 3) if dice.random() < 0.6 else dice.betavariate(2, 9)
        counts[min(39, int(value * 40))] += 1
    figure = {
        "kind": "histogram",
        "title": title,
        "x": x,
        "edges": [i / 40 for i in range(41)],
        "counts": counts,
    }
    if threshold is not None:
        figure["marks"] = [{"x": threshold, "label": "threshold", "removed": "below"}]
        figure["note"] = f"{sum(counts[: int(threshold * 40)]):,} documents lie below the threshold."
    return figure | ({"section": section} if section else {})


def _dedup(dice: random.Random) -> tuple[dict[str, Any], ...]:
    curve = [[x / 100, 1 - (1 - (x / 100) ** 4) ** 32] for x in range(1, 101)]
    seen = []
    for i in range(4, 20):
        expected = 1 - (1 - (i / 20 + 0.025) ** 4) ** 32
        seen.append([i / 20 + 0.025, min(1, max(0, dice.gauss(expected, 0.02)))])
    return (
        {"kind": "histogram", "title": "Cluster sizes", "x": "documents in a cluster", "log_x": True, "log_y": True,
         "edges": [1, 2, 3, 5, 9, 17, 33], "counts": [1731, 160, 62, 26, 7, 1], "section": "duplicates"},
        {"kind": "lines", "title": "Found pairs against the curve", "x": "Jaccard similarity", "y": "share of pairs found",
         "section": "duplicates", "marks": [{"x": 0.6, "label": "kept below", "removed": "above"}],
         "note": "The line is 1 − (1 − s⁴)³² for 32 bands of 4 rows; each dot is the share of pairs found in a bin of 0.05.",
         "series": [{"name": "expected", "points": curve}, {"name": "observed", "points": seen, "dots": True}]},
        {"kind": "diff", "title": "Largest cluster: two members", "left": COPY, "right": NOVEL, "left_label": "removed", "right_label": "kept"},
    )  # fmt: skip


def _losses(dice: random.Random) -> dict[str, Any]:
    series: list[dict[str, Any]] = []
    for name, floor, pace in zip(MODELS, (3.62, 3.69, 3.67, 3.98), (0.9, 0.82, 0.84, 0.88), strict=True):
        raw = [
            [step * 8192, floor + 4.7 * math.exp(-pace * step / 26) + 3 / (step + 6) + dice.gauss(0, 0.05)]
            for step in range(1, 201)
        ]
        smooth, average = [], raw[0][1]
        for tokens, loss in raw:
            average = 0.9 * average + 0.1 * loss
            smooth.append([tokens, average])
        series += [{"name": name, "points": raw, "faint": True}, {"name": name, "points": smooth}]
    return {"kind": "lines", "title": "Training loss", "x": "tokens seen", "y": "nats per token", "section": "training",
            "note": "Pale: every step. Line: its moving average. All models see the same rows in the same order, but for dense_unfiltered.",
            "y_range": [3.4, 6.0], "series": series}  # fmt: skip


def _weights(dice: random.Random) -> tuple[dict[str, Any], ...]:
    ess = [[step, 1 - 0.35 * (1 - math.exp(-step / 50)) + dice.gauss(0, 0.02)] for step in range(1, 201)]
    ratio = [
        [step, 1 + 6 * (1 - math.exp(-step / 40)) * math.exp(dice.gauss(0, 0.12))] for step in range(1, 201)
    ]
    return (
        {"kind": "lines", "title": "Effective sample size", "x": "step", "y": "share of the batch", "section": "weights",
         "series": [{"name": "lost_reweighted", "points": ess}]},
        {"kind": "lines", "title": "Largest weight over smallest", "x": "step", "y": "ratio", "section": "weights", "log_y": True,
         "series": [{"name": "lost_reweighted", "points": ratio}]},
    )  # fmt: skip


def _funnel() -> tuple[FunnelStep, ...]:
    steps = (("read", 3000, 3_310_000), ("language", 2871, 3_174_900), ("gopher_quality", 2694, 3_061_000),
             ("gopher_repetition", 2571, 2_880_000), ("exact_dedup", 2391, 2_678_000), ("minhash_dedup", 1987, 2_166_000),
             ("split", 1947, 2_124_000), ("select", 1022, 1_136_000))  # fmt: skip
    done = tuple(
        FunnelStep(label=label, documents=documents, text_bytes=size) for label, documents, size in steps
    )
    return (*done, FunnelStep(label="pack", documents=1022, text_bytes=1_136_000, tokens=327_840))


def _planted() -> dict[str, Any]:
    return {
        "kind": "table", "title": "Found among the planted", "section": "faults",
        "columns": ["fault", "planted", "found", "recall", "precision"], "units": [None, None, None, "percent", "percent"],
        "rows": [["exact copies", 180, 180, 1.0, 1.0], ["near copies", 410, 402, 0.9805, 0.995], ["wrong language", 120, 118, 0.9833, 0.9147],
                 ["gibberish", 60, 60, 1.0, 0.98], ["repetition", 120, 120, 1.0, 0.9756], ["boilerplate", 90, None, None, None], ["leak", 12, None, None, None]],
        "note": "Boilerplate and leaks are planted for nodes that this recipe does not have.",
    }  # fmt: skip
