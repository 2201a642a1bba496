"""Before the walk: digests, holds, damage, space, drift, and what stands on something that is to be done again."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.contract import Node
from pipeline.driver.commit import withdraw
from pipeline.driver.drift import NOTE, CodeIdentity, code_of
from pipeline.driver.ledger import Ledger
from pipeline.driver.plan import Plan, make_plan
from pipeline.errors import DiskFull, DriftError, NodeFailed
from pipeline.files.sources import digest_file, save_digests
from pipeline.quantities import size
from pipeline.results.holds import hold
from pipeline.results.lease import Leases
from pipeline.results.withdrawal import finish_withdrawal, is_interrupted
from pipeline.worker.context import TaskContext

SMALL_SOURCES = 256 * 1024**2  # bytes that are hashed here sooner than Ray would start


def digest_sources(state: Ledger, start_ray: Callable[[], None] | None) -> None:
    """Digest the source files of every listing that is new, on Ray where they are large. None: without Ray."""
    unknown = state.unknown_listings()
    files = [(entry.path, entry.size) for listing in unknown for entry in listing.entries]
    if start_ray is None or sum(size for _, size in files) <= SMALL_SOURCES:
        digests = [digest_file(path, size) for path, size in files]
    else:
        start_ray()
        from pipeline.ray_runtime.tasks import digest_files

        digests = digest_files(files)
    for listing in unknown:
        count = len(listing.entries)
        save_digests(state.store, listing, digests[:count])
        digests = digests[count:]


def hold_nodes(state: Ledger, leases: Leases) -> None:
    """Keep `clean` from all nodes of the graph, and forget what was read of them before."""
    hold(leases, map(state.folder, state.graph.nodes))
    for node in state.graph.nodes:
        state.reopen(node)


def withdraw_damaged(state: Ledger, take: Callable[[Node], bool]) -> None:
    """Make tasks of finished nodes due again whose files are gone or of another size than they were."""
    for node in state.graph.nodes:
        if is_interrupted(state.store, state.folder(node)) and take(node):
            finish_withdrawal(state.store, state.folder(node))
            state.reopen(node)
        manifest = state.manifest(node)
        if manifest is None:
            continue
        sizes = state.store.sizes(f"{state.folder(node)}/data")
        bad = {
            (phase, file)
            for phase, files in manifest["files"].items()
            for file, size in files.items()
            if sizes.get(f"{phase}/{file}") != size
        }
        if bad and take(node):
            receipts = [(p, r) for p, keys in manifest["phases"].items() for r in state.receipts(node, p, keys)]
            withdraw(state, node, [(p, r.key) for p, r in receipts if any((p, file) in bad for file in r.files)])


def withdraw_overwritten(state: Ledger, take: Callable[[Node], bool], context: Callable[[Node], TaskContext]) -> None:
    """Make deliveries of finished nodes due again whose place another node has delivered to since."""
    for node in state.graph.nodes:
        manifest = state.manifest(node)
        if manifest is None or any(state.manifest(one) is None for one in state.graph.ancestors(node)):
            continue  # its delivery is looked at when what it stands on is finished again
        phase = node.overwritten(context(node))
        if phase is not None and take(node):
            withdraw(state, node, [(phase, key) for key in manifest["phases"][phase]])


def check_space(state: Ledger, plan: Plan) -> None:
    """Raise `DiskFull` when the plan needs more than there is."""
    free, needed = state.store.free_bytes(), plan.bytes
    if free is not None and needed > free:
        raise DiskFull(
            f"store {state.store}", f"{free / 1e9:.1f} GB free",
            f"about {needed / 1e9:.1f} GB for what is to do", "siftloom plan shows it node by node",
        )  # fmt: skip


def with_room_missing(error: NodeFailed, state: Ledger, name: str) -> NodeFailed:
    """Return the error of a run, with a note on what is still to write where the disk was full."""
    if isinstance(error.__cause__, DiskFull):
        for node in state.graph.nodes:
            state.reopen(node)
        free, needed = state.store.free_bytes(), make_plan(state, name).bytes
        room = "" if free is None else f", and the store has {size(free)} free"
        error.add_note(f"about {size(needed)} is still to be written{room}; every finished task is kept")
    return error


def check_drift(state: Ledger, accept: bool) -> None:
    """Raise `DriftError` for a half-done node whose code, or a library in it, is not the one that it began with; note
    what the others begin with.
    """
    for node in state.graph.nodes:
        if state.manifest(node) is not None:
            continue
        name = f"{state.folder(node)}/{NOTE}"
        now, noted = code_of(node), state.store.read(name)
        before = now if noted is None else CodeIdentity.from_bytes(noted)
        changes = before._replace(mixed=False).changes(now)
        half_done = _half_done(state, node) if changes or before.mixed else False
        if changes and half_done and not accept:
            raise DriftError(
                state.graph.names[node], f"a half-done node: {changes} since it began",
                "the same code and libraries to the end", "--accept-drift to mix them, or raise the node's version",
            )  # fmt: skip
        now = now._replace(mixed=half_done)
        if noted != now.to_bytes():
            state.store.write(name, now.to_bytes())


def _half_done(state: Ledger, node: Node) -> bool:
    """Whether anything of the node is kept: receipts, or pieces of a shard or checkpoints of a training in scratch."""
    if any(state.done(node, phase.name) for phase in state.graph.phases(node)):
        return True
    scratch = f"{state.folder(node)}/{NOTE.partition('/')[0]}"
    return any(name != NOTE.partition("/")[2] for name in state.store.names(scratch))


def nodes_over_holes(state: Ledger) -> set[Node]:
    """Finished nodes that stand on an unfinished one: kept if what they read comes back with the same bytes."""
    holes: set[Node] = set()
    for node in state.graph.nodes:
        above = {parent for _, _, parent in state.graph.inputs(node)}
        if state.manifest(node) is None or above & holes:
            holes.add(node)
    return {node for node in holes if state.manifest(node) is not None}
