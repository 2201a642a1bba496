"""The end of the demo on the terminal: what was caught, what is left, what was learned, and where to go from here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.quantities import duration, size
from siftloom.ask.samples import samples
from siftloom.screen import say, table

if TYPE_CHECKING:
    from siftloom.run import Run

REMOVING = ("english", "plain", "clean", "distinct", "unique", "good")
TEXT = 100  # characters of a text that are shown


def show(run: Run, result: dict[str, Any]) -> None:
    """Prints the result page."""
    _title("planted faults")
    rows = [
        (kind, _percent(entry["recall"]), _percent(entry["precision"]))
        for kind, entry in result["planted"].items()
        if entry is not None
    ]
    table(("kind", "recall", "precision"), rows, right=(1, 2))
    bins = result["planted"]["near"]["bins"]
    say("near copies by similarity: " + ", ".join(f"{b['jaccard']} {_percent(b['recall'])}" for b in bins))
    say(f"clean documents removed by the language and Gopher rules: {_percent(result['clean_removed'])}")

    _title("funnel")
    steps = [(s["node"], f"{s['documents']:,}", size(s["bytes"]), _tokens(s)) for s in result["funnel"]]
    table(("after", "documents", "text", "tokens"), steps, right=(1, 2, 3))

    _title("one removed document for each reason")
    for node in REMOVING:
        for entry in samples(run[node], 1):
            row = entry["documents"][0]
            held = "" if row["value"] is None else f"  {row['value']:.3g} against {row['threshold']:.3g}" if row[
                "threshold"
            ] is not None else f"  {row['value']:.3g}"  # fmt: skip
            say(f"{entry['reason']} ({entry['count']:,})  {row['id']}{held}")
            say(f"  {_short(row['text'])}")

    _title("models, on the same tokens in the same order; the last on uncurated text")
    rows = [
        (
            name, f"{m['parameters']:,}", size(m["bytes"]), f"{m['val_bits_per_byte']:.3f}",
            "" if m["tokens_per_second"] is None else f"{m['tokens_per_second']:,.0f}",
        )
        for name, m in result["models"].items()
    ]  # fmt: skip
    table(("model", "parameters", "size", "held-out bits/byte", "tokens/s"), rows, right=(1, 2, 3, 4))

    _title("what they write")
    for name in ("dense", "lost"):
        score = json.loads(run[f"eval_{name}"].path("score", "all", ".json").read_text(encoding="utf-8"))
        for sample in score["texts"][:2]:
            say(f"{name}: {_short(sample['prompt'] + sample['text'])}")

    store = run.store
    some = samples(run["unique"], 1)[0]["documents"][0]["id"]
    _title("where everything is")
    say(f"report   {result['report']}")
    for name, folder in result["export"].items():
        say(f"{name:8} {folder}")
    say(f"{duration(result['seconds'])}, at most {size(result['peak_memory'])} of memory")
    say(f"\nnext     siftloom why {run.name} {some} --store {store}")
    say("         siftloom init PATH          a recipe for your own files")


def _title(text: str) -> None:
    say(f"\n{text}\n{'-' * len(text)}")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _tokens(step: dict[str, Any]) -> str:
    return f"{step['tokens']:,}" if "tokens" in step else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TEXT else line[: TEXT - 3] + "..."
