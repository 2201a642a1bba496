"""ReportData from a run of the store: counts from manifests, times and actions from events, examples from rows.

What is read of the rows is bounded: examples come from the first rows of the first shards, so that the report of a
large run takes as long as that of a small one. A node that is not finished is shown as such.
"""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.report import numbers
from pipeline.report.data import Figure, FunnelStep, Highlight, NodeReport, Reason, ReportData
from pipeline.report.examples import examples_of
from pipeline.report.figures import problem
from pipeline.results.events import read_events

if TYPE_CHECKING:
    from pipeline.run import StoredNode, StoredRun

GONE = ("removed.", "rejected.", "dropped.")  # beginnings of counts of things that left, by reason
MADE = ("rows", "tokens", "steps", "scored", "documents")  # the counts that describe a node without rows best
WHY = {"reuse": "finished before", "resume": "partly done before", "run": "not in this store before"}


def collect(run: StoredRun, *, headline: str = "", figures: Sequence[Figure] = (), command: str = "") -> ReportData:
    """The data of a run's page. The caller may add a line on what came out, figures of its own, and its command."""
    events = list(read_events(run.store, run.name))
    nodes = tuple(_node(run, view, events) for view in run.nodes)
    steps = funnel(run)
    return ReportData(
        name=run.name,
        finished=_when(events),
        headline=headline or _headline(steps, nodes),
        highlights=tuple(_highlights(steps, nodes)),
        nodes=nodes,
        funnel=steps,
        figures=tuple(figures),
        command=command or _command(run),
        recipe=run.record.get("recipe") or "",
        versions=tuple(run.record.get("versions", {}).items()),
        machine=_machine(),
    )


def _command(run: StoredRun) -> str:
    """Return the command that makes the run again from its recipe, which the page shows."""
    name, targets = run.name.partition("@")[0], run.record.get("targets", ())
    some = [] if set(targets) == {view.label for view in run.nodes} else targets
    return shlex.join(["siftloom", "run", f"{name}.yaml", *some, "--store", str(run.store)])


def _node(run: StoredRun, view: StoredNode, events: Sequence[Mapping[str, Any]]) -> NodeReport:
    driver = _last_busy(events)
    started = next((event for event in events if event["event"] == "started" and event["driver"] == driver), {})
    action = started.get("actions", {}).get(view.label, "reuse")
    fields = run.record.get("form", {}).get(view.label, {}).get("fields", {})
    known = {
        "label": view.label,
        "kind": view.kind,
        "fingerprint": view.fingerprint,
        "action": action,
        "why": started.get("whys", {}).get(view.label) or WHY[action],
        "inputs": tuple(dict.fromkeys(labels_in(fields))),
        "seconds": _seconds(view.label, events),
        "config": tuple((name, _value(value)) for name, value in fields.items() if not list(labels_in({"": value}))),
    }
    if not view.finished:
        return NodeReport(**known, result="not finished")
    manifest = view.manifest
    inputs = [run.label_of(parent) for parent in _parents(manifest)]
    total, kept = _rows(manifest)
    known |= {"inputs": tuple(dict.fromkeys(inputs))}
    return NodeReport(
        **known,
        total=total,
        kept=kept,
        result="" if kept is not None else _result(manifest),
        tasks=sum(len(keys) for keys in manifest["phases"].values()),
        bytes_written=manifest["bytes"],
        reasons=_reasons(run, manifest),
        figures=tuple(view.figures),
    )


def _parents(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Fingerprints of the inputs, those of the stream first."""
    inputs, stream = manifest["inputs"], manifest["stream"]
    yield from inputs.get(stream, ())
    for field, parents in inputs.items():
        if field != stream:
            yield from parents


def _rows(manifest: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Documents before and after a node; (None, None) for one without a row stream of its own."""
    if manifest["row_phase"]:
        counts = manifest["counts"][manifest["row_phase"]]
        return counts["alive_in"], counts["alive_out"]
    if manifest["new_base"]:
        counts = manifest["counts"][manifest["new_base"]]
        rows = sum(fact["rows"] for shards in manifest["shards"].values() for fact in shards)
        return counts.get("rows"), counts.get("kept", rows)
    return None, None


def _reasons(run: StoredRun, manifest: dict[str, Any]) -> tuple[Reason, ...]:
    counts: dict[str, int] = {}
    for phase in manifest["counts"].values():
        for name, number in phase.items():
            if name.startswith(GONE) and number:
                reason = name.partition(".")[2] if name.startswith(GONE[0]) else name
                counts[reason] = counts.get(reason, 0) + number
    examples = examples_of(run, manifest) if manifest["row_phase"] and counts else {}
    return tuple(
        Reason(name=name, documents=number, examples=examples.get(name, ())) for name, number in counts.items()
    )


def _result(manifest: Mapping[str, Any]) -> str:
    """Return what a node without rows wrote, from the counts of its phases: `1,276 rows, 327,840 tokens`."""
    counts = {name: number for phase in manifest["counts"].values() for name, number in phase.items()}
    names = [name for name in MADE if counts.get(name)][:2] or [name for name in counts if "." not in name][:2]
    return ", ".join(f"{numbers.count(counts[name])} {name.replace('_', ' ')}" for name in names)


def funnel(run: StoredRun) -> tuple[FunnelStep, ...]:
    """Return what is left after each node of the longest chain of row nodes, and the tokens of the last documents.

    The text left after a node is what the next one that reads text found, where no document left between them. Rows
    of other bases that a node did not see (pages go through `extract`, JSON lines do not) count as left.
    """
    finished = {view.label: view.manifest for view in run.nodes if view.finished}
    ends = {
        label: max(run.manifests.chains(manifest).values(), key=len, default=())
        for label, manifest in finished.items()
        if manifest["row_phase"] or _tokens(manifest)
    }
    if not ends:
        return ()
    last = max(ends, key=lambda label: (len(ends[label]), bool(_tokens(finished[label]))))
    chain, end = ends[last], finished[last]
    shards = [base.shard for base in run.manifests.stream(end).shards]
    chains = run.manifests.chains(end)
    seen = {
        manifest["fingerprint"]: {base[:12] for base, other in chains.items() if manifest in other}
        for manifest in chain
    }
    unseen = {name: sum(shard.rows for shard in shards if shard.base not in bases) for name, bases in seen.items()}
    steps = [
        FunnelStep(
            label=" + ".join(run.label_of(base) for base in chains),
            documents=chain[0]["counts"][chain[0]["row_phase"]]["alive_in"] + unseen[chain[0]["fingerprint"]]
            if chain
            else sum(shard.rows for shard in shards),
            text_bytes=sum(shard.text_bytes for shard in shards),
        )
    ]
    packed = _tokens(end)
    for number, manifest in enumerate(chain):
        alive = manifest["counts"][manifest["row_phase"]]["alive_out"] + unseen[manifest["fingerprint"]]
        text = next(
            (
                counts["text_bytes_in"]
                for later in chain[number + 1 :]
                if (counts := later["counts"][later["row_phase"]]).get("text_bytes_in") and counts["alive_in"] == alive
            ),
            packed["bytes"] if packed and packed.get("packed") == alive else None,
        )
        steps.append(FunnelStep(label=run.label_of(manifest["fingerprint"]), documents=alive, text_bytes=text))
    if packed:
        documents = packed.get("packed", packed.get("documents"))
        steps.append(
            FunnelStep(label=last, documents=documents, text_bytes=packed.get("bytes"), tokens=packed["tokens"])
        )
    return tuple(steps)


def _tokens(manifest: Mapping[str, Any]) -> Mapping[str, int] | None:
    """Return the counts of the phase that tokenised the node's stream."""
    packed = (counts for counts in manifest["counts"].values() if counts.get("tokens") and "documents" in counts)
    return next(packed, None) if not manifest["row_phase"] and manifest["inputs"].get(manifest["stream"]) else None


def _headline(funnel: Sequence[FunnelStep], nodes: Sequence[NodeReport]) -> str:
    open_ones = [node.label for node in nodes if node.result == "not finished"]
    if open_ones:
        return f"Not finished: {', '.join(open_ones[:5])}{' and more' if len(open_ones) > 5 else ''}."
    if not funnel or not funnel[0].documents:
        return f"{len(nodes)} nodes finished."
    first, last = funnel[0].documents, _kept(funnel)
    words = f"Of {numbers.count(first)} documents {numbers.count(last)} were kept ({numbers.percent(last / first)})"
    return f"{words}, {numbers.count(funnel[-1].tokens)} tokens." if funnel[-1].tokens else f"{words}."


def _kept(funnel: Sequence[FunnelStep]) -> int:
    """Return the documents that are left; those set aside before tokenisation (held out) do not count as removed."""
    return next((step.documents or 0 for step in reversed(funnel) if step.tokens is None), 0)


def _highlights(funnel: Sequence[FunnelStep], nodes: Sequence[NodeReport]) -> Iterator[Highlight]:
    if funnel and funnel[0].documents:
        first, last = funnel[0].documents, _kept(funnel)
        note = f"{numbers.count(last)} of {numbers.count(first)}"
        yield Highlight(label="documents kept", value=numbers.percent(last / first), note=note)
        if funnel[-1].tokens:
            yield Highlight(label="tokens", value=numbers.short(funnel[-1].tokens), note=f"in {funnel[-1].label}")
    for figure in (figure for node in nodes for figure in node.figures):
        if problem(figure) or figure["kind"] != "table":
            continue
        column = figure.get("highlight")
        if isinstance(column, int) and 0 < column < len(figure["columns"]):
            for row in figure["rows"][:6]:
                if isinstance(row[column], int | float):
                    unit = (figure.get("units") or {column: None})[column]
                    note = str(figure["columns"][column])
                    yield Highlight(label=str(row[0]), value=numbers.with_unit(row[column], unit), note=note)
    actions = [node.action for node in nodes]
    shown = (
        (actions.count(action), word) for action, word in (("run", "run"), ("resume", "resumed"), ("reuse", "reused"))
    )
    yield Highlight(label="nodes", value=str(len(nodes)), note=", ".join(f"{n} {word}" for n, word in shown if n))


def _seconds(label: str, events: Sequence[Mapping[str, Any]]) -> float | None:
    """Wall time of a node over all drivers that worked on it; nodes of one pass share theirs."""
    spans: dict[str, list[float]] = {}
    for event in events:
        if event["event"] == "node" and event.get("node") == label and event.get("total"):
            spans.setdefault(event["driver"], []).append(_moment(event))
    return sum(max(times) - min(times) for times in spans.values()) if spans else None


def _when(events: Sequence[Mapping[str, Any]]) -> str:
    """Return when the last driver that had something to do stopped writing, and how long it took."""
    driver = _last_busy(events)
    if driver is None:
        return ""
    own = [event for event in events if event["driver"] == driver]
    times, end = [_moment(event) for event in own], datetime.fromisoformat(own[-1]["time"])
    return f"{end:%Y-%m-%d %H:%M} UTC, after {numbers.duration(max(times) - min(times))}"


def _last_busy(events: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the last driver that did something, or the last one. A run with nothing to do is no news of a run."""
    busy = [event["driver"] for event in events if event["event"] == "node" and event.get("total")]
    return (busy or [event["driver"] for event in events] or [None])[-1]


def _moment(event: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def labels_in(value: Any) -> Iterator[str]:
    """Labels of the nodes inside a recorded field (`{"node": label}`, at any depth)."""
    if isinstance(value, Mapping):
        if set(value) == {"node"} and isinstance(value["node"], str):
            yield value["node"]
        else:
            for inner in value.values():
                yield from labels_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from labels_in(inner)


def _value(value: Any) -> str:
    """A recorded field as a recipe would write it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_value(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _machine() -> tuple[tuple[str, str], ...]:
    """Return the machine and the versions that made the page."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (
        ("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("processors", str(os.cpu_count())),
        ("memory", numbers.size(memory)),
    )
