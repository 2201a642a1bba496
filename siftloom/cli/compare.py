"""`whatif` and `diff`: the effect of another threshold, and the difference of two runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from siftloom.cli import complete
from siftloom.cli.look import RUN, shortened
from siftloom.cli.run import JSON, STORE
from siftloom.screen import begin, say, say_json, table


def whatif(
    run: RUN,
    node: Annotated[
        str, typer.Argument(help="a node that scores and decides", metavar="NODE", autocompletion=complete.nodes)
    ],
    change: Annotated[str, typer.Argument(help="a threshold and its new value", metavar="FIELD=VALUE")],
    store: STORE = None,
    as_json: JSON = False,
) -> None:
    """Count what a node would keep under another threshold, from stored scores; runs nothing."""
    begin(f"reading the scores of {node} in {run}", as_json=as_json)
    from pipeline.quantities import size
    from siftloom.ask.runs import open_found
    from siftloom.ask.whatif import whatif as count

    found = count(open_found(run, store), node, change)
    if as_json:
        say_json(found)
        return
    rows = [("all", "", found["kept"])]
    rows += [(name, value, counts) for name, group in found["by"].items() for value, counts in group.items()]
    columns = ("kept documents", "", "now", "then", "text now", "text then")
    table(
        columns,
        [
            (name, value, *(f"{n:,}" for n in counts["documents"]), *(size(n) for n in counts["bytes"]))
            for name, value, counts in rows
        ],
        right=(2, 3, 4, 5),
    )
    if found["reasons"]:
        say()
        counts = [(reason, *(f"{n:,}" for n in pair)) for reason, pair in found["reasons"].items()]
        table(("removed for", "now", "then"), counts, right=(1, 2))
    for name, side in found["sides"].items():
        if side["documents"]:
            say(f"\n{side['documents']:,} documents would be {name}, for instance")
            _examples(side["examples"])


def diff(
    run: RUN,
    other: Annotated[str, typer.Argument(help="the run to compare with", metavar="RUN", autocompletion=complete.runs)],
    node: Annotated[
        str | None,
        typer.Option(help="compare after this node; default: the last node with rows", autocompletion=complete.nodes),
    ] = None,
    store: STORE = None,
    as_json: JSON = False,
) -> None:
    """Compare two runs: documents that only one run keeps, with reasons, and results that differ."""
    begin(f"comparing {run} with {other}", as_json=as_json)
    from pipeline.quantities import number
    from siftloom.ask.difference import difference
    from siftloom.ask.runs import open_two

    one, two = open_two(run, other, store)
    found = difference(one, two, node)
    if as_json:
        say_json(found)
        return
    say(f"after {found['node']}: {one.name} keeps {found['kept'][0]:,} documents, {two.name} {found['kept'][1]:,}")
    for key, keeps, removes in (("gone", one, two), ("new", two, one)):
        for entry in found[key]:
            where = f"{entry['node']}, {entry['reason']}" if entry["node"] else entry["reason"]
            say(f"\nonly {keeps.name} keeps {entry['documents']:,}; {removes.name} removes them in {where}")
            _examples(entry["examples"])
    if found["results"]:
        say()
        rows = [(r["row"], r["column"], *(_value(v, number) for v in r["values"])) for r in found["results"]]
        table(("result", "", one.name, two.name), rows, right=(2, 3))


def _examples(examples: list[dict[str, Any]]) -> None:
    for row in examples:
        reason = f"  {row['reason']}" if "reason" in row else ""
        limit = "" if row.get("value") is None else f"  {row['value']:.4g} against {row['threshold']}"
        say(f"  {row['id']}{reason}{limit}\n    {shortened(row['text'])}")


def _value(value: Any, number: Any) -> str:
    return "" if value is None else number(value)
