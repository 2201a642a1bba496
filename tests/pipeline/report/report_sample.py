"""A made-up run shaped like the demo: 3,000 documents, four models, hostile texts among the removed ones."""

from __future__ import annotations

import hashlib
import random
from typing import Any

from report_sample_figures import COPY, MODELS, NOVEL, dedup, gradients, losses, planted, scores, weights

from pipeline.report.data import Example, FunnelStep, Highlight, NodeReport, Reason, ReportData

HOSTILE = (
    "<script>alert('no')</script><img src=x onerror=alert(1)> &amp; \"quotes\" ' </style></script><!-- "
    "\x00\x07\x1b[31m\n\u202eright to left override\u202c עברית וערבית العربية שלום ‏ and " + "W" * 900 + " \ud800 lone"
)
GERMAN = (
    "Die Abteilung für Sprachen prüft jedes Dokument, bevor es in die Sammlung aufgenommen wird. "
    "Über Umlaute freut sie sich."
)
NOISE = "xq zzkv wrtl pfft qqq 8813 jkl vvv xzz qpw mnb tyu rtz fgh dsa qwe yxc vbn mkl poi uzt rew qas dfg"
RECIPE = """name: demo
store: runs/
nodes:
  docs: {use: language, docs: {use: read, paths: ["demo://corpus"]}, keep: [en]}
"""


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
        figures=(planted(),),
        command="siftloom run recipes/demo.yaml --store runs/",
        recipe=RECIPE,
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


def _row(label: str, kind: str, inputs: tuple[str, ...], total: int | None, kept: int, **more: Any) -> NodeReport:
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
        _row(
            "docs",
            "language",
            ("read",),
            3000,
            2871,
            config=(("keep", '["en"]'), ("min_score", "0.65")),
            reasons=(
                Reason(
                    name="language.other",
                    documents=118,
                    text_bytes=131_000,
                    examples=(Example(id="9f3a61c0b2d4:17", text=GERMAN, value=0.021, threshold=0.65),),
                ),
                Reason(
                    name="language.unsure",
                    documents=11,
                    text_bytes=4_100,
                    examples=(Example(id="9f3a61c0b2d4:203", text=HOSTILE, value=0.41, threshold=0.65),),
                ),
            ),
            figures=(scores(dice, "language score", "probability of English", 0.65, section="scores"),),
        ),
        _row(
            "plain",
            "gopher_quality",
            ("docs",),
            2871,
            2694,
            config=(("min_words", "30"),),
            reasons=(
                Reason(
                    name="gopher.words",
                    documents=84,
                    text_bytes=9_200,
                    examples=(
                        Example(id="9f3a61c0b2d4:311", text="Click here.", value=2, threshold=30),
                        Example(id="9f3a61c0b2d4:312", text=""),
                    ),
                ),
                Reason(
                    name="gopher.alphabetic",
                    documents=61,
                    text_bytes=70_233,
                    examples=(Example(id="9f3a61c0b2d4:1877", text=NOISE, value=0.613, threshold=0.8),),
                ),
                Reason(name="gopher.mean_word", documents=27, text_bytes=31_002),
                Reason(name="gopher.symbols", documents=5, text_bytes=3_000),
            ),
            figures=(
                {
                    "kind": "bars",
                    "title": "Share of documents that break each rule alone",
                    "unit": "percent",
                    "labels": ["words", "alphabetic", "mean word length", "stop words", "symbols"],
                    "values": [0.0293, 0.0212, 0.0094, 0.031, 0.0017],
                },
            ),
        ),
        _row(
            "clean",
            "gopher_repetition",
            ("plain",),
            2694,
            2571,
            action="resume",
            why="2 of 4 shards were done",
            seconds=3.1,
            reasons=(
                Reason(
                    name="gopher.top_2_gram",
                    documents=123,
                    text_bytes=181_000,
                    examples=(Example(id="9f3a61c0b2d4:940", text="buy now " * 60, value=0.97, threshold=0.2),),
                ),
            ),
        ),
        _row(
            "exact",
            "exact_dedup",
            ("clean",),
            2571,
            2391,
            action="run",
            why="no finished result with this identity",
            reasons=(Reason(name="exact.copy", documents=180, text_bytes=201_345),),
        ),
        _row(
            "unique",
            "minhash_dedup",
            ("exact",),
            2391,
            1987,
            action="run",
            why="`min_jaccard` changed from 0.7 to 0.6",
            seconds=6.2,
            config=(("min_jaccard", "0.6"), ("bands", "32"), ("rows", "4")),
            reasons=(
                Reason(
                    name="minhash.near",
                    documents=404,
                    text_bytes=512_000,
                    examples=(
                        Example(
                            id="9f3a61c0b2d4:2201",
                            text=COPY,
                            value=0.83,
                            threshold=0.6,
                            kept_id="9f3a61c0b2d4:88",
                            kept_text=NOVEL,
                        ),
                    ),
                ),
            ),
            figures=dedup(dice),
        ),
        _row(
            "once",
            "split",
            ("unique",),
            1987,
            1987,
            action="run",
            why="its input ran",
            result="",
            figures=(
                {
                    "kind": "table",
                    "title": "Sides",
                    "columns": ["side", "documents", "text", "share"],
                    "units": [None, None, "bytes", "percent"],
                    "rows": [["training", 1947, 2_048_113, 0.9799], ["held out", 40, 41_008, 0.0201]],
                },
            ),
        ),
        _row("good_read", "read", (), None, 240, bytes_written=240_000),
        NodeReport(
            label="model",
            kind="train_quality",
            fingerprint=fingerprint("model"),
            inputs=("good_read", "once"),
            action="run",
            why="its input ran",
            result="fastText, AUC 0.981",
            tasks=1,
            bytes_written=4_200_000,
            seconds=3.3,
        ),
        _row(
            "scored",
            "quality",
            ("once", "model"),
            1987,
            1987,
            action="run",
            why="its input ran",
            figures=(scores(dice, "quality", "quality score", None, section=None),),
        ),
        _row(
            "good",
            "select",
            ("scored",),
            1987,
            1022,
            action="run",
            why="its input ran",
            reasons=(
                Reason(
                    name="select.quality",
                    documents=965,
                    text_bytes=988_000,
                    examples=(Example(id="9f3a61c0b2d4:1500", text=NOISE, value=0.0931, threshold=0.5172),),
                ),
            ),
            figures=(scores(dice, "quality", "quality score", 0.5172, section="scores"),),
        ),
        NodeReport(
            label="vocabulary",
            kind="tokenizer",
            fingerprint=fingerprint("tok"),
            inputs=("good",),
            action="run",
            result="4,096 tokens",
            tasks=1,
            bytes_written=190_000,
            seconds=1.2,
            figures=(
                {
                    "kind": "lines",
                    "title": "Vocabulary by rank",
                    "x": "rank",
                    "y": "uses",
                    "log_x": True,
                    "log_y": True,
                    "section": "tokens",
                    "series": [{"name": "uses", "points": [[r, 30_000 / r**1.02] for r in range(1, 4000, 11)]}],
                },
            ),
        ),
        NodeReport(
            label="rows",
            kind="pack",
            fingerprint=fingerprint("rows"),
            inputs=("good", "vocabulary"),
            action="run",
            unit="rows",
            kept=1276,
            tasks=4,
            bytes_written=660_000,
            seconds=1.9,
            figures=(
                {
                    "kind": "histogram",
                    "title": "Document lengths",
                    "x": "tokens",
                    "log_x": True,
                    "section": "tokens",
                    "edges": [2.0 ** (i / 2) for i in range(8, 27)],
                    "counts": [1, 2, 4, 9, 18, 31, 55, 90, 131, 162, 158, 137, 98, 62, 35, 17, 8, 4],
                },
            ),
        ),
    )


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
        figures = weights(dice) if name == "lost_reweighted" else ()
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
            figures=(losses(dice), table, text, gradients(dice)),
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
    return tuple(nodes)


def _funnel() -> tuple[FunnelStep, ...]:
    steps = (
        ("read", 3000, 3_310_000),
        ("language", 2871, 3_174_900),
        ("gopher_quality", 2694, 3_061_000),
        ("gopher_repetition", 2571, 2_880_000),
        ("exact_dedup", 2391, 2_678_000),
        ("minhash_dedup", 1987, 2_166_000),
        ("split", 1947, 2_124_000),
        ("select", 1022, 1_136_000),
    )
    done = tuple(FunnelStep(label=label, documents=documents, text_bytes=size) for label, documents, size in steps)
    return (*done, FunnelStep(label="pack", documents=1022, text_bytes=1_136_000, became=327_840, unit="tokens"))
