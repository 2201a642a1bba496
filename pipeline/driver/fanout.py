"""From the nodes that join a pass to its phases and to the work of each shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipeline.contract import Node, RowNode, RowPhase, ShardPhase
from pipeline.driver.ledger import Ledger
from pipeline.results.binding import Binding
from pipeline.worker.passes import PassPhase, ShardWork


def pass_work(
    state: Ledger,
    joined: Sequence[tuple[Node, RowPhase | ShardPhase]],
    binding: Callable[[Node], Binding],
    known_scores: Callable[[Node], Mapping[str, tuple[str, str, str]]],
) -> tuple[list[PassPhase], list[ShardWork]]:
    """Return the phases in order, and for every shard the indices of those that are due there. `known_scores` returns
    the side-cars whose values may be copied, by shard.
    """
    graph = state.graph
    index = {node: i for i, (node, phase) in enumerate(joined) if isinstance(phase, RowPhase)}
    phases, due_keys, scores = [], [], []
    chains_of = [graph.input_chains(node) for node, _ in joined]
    for (node, phase), chains in zip(joined, chains_of, strict=True):
        phases.append(
            PassPhase(
                binding=binding(node).only(),
                phase=phase.name,
                after={state.place(b).short: index.get(chain[-1]) if chain else None for b, chain in chains.items()},
                chain={state.place(b).short: tuple(state.link(n) for n in chain) for b, chain in chains.items()},
            )
        )
        scores.append(known_scores(node) if isinstance(node, RowNode) else {})
        due_keys.append(state.done(node, phase.name))
    works = []
    for base in dict.fromkeys(base for chains in chains_of for base in chains):
        for shard in state.base_shards(base):
            due: list[int] = []
            for i, chains in enumerate(chains_of):
                if (
                    base in chains
                    and shard.shard.name not in due_keys[i]
                    and _startable(state, chains[base], shard.shard.name, index, due)
                ):
                    due.append(i)
            if due:
                known = {i: scores[i][shard.shard.name] for i in due if shard.shard.name in scores[i]}
                works.append(ShardWork(shard, tuple(due), known))
    return phases, works


def _startable(state: Ledger, chain: Sequence[Node], shard: str, index: dict[Node, int], due: Sequence[int]) -> bool:
    """Return whether a phase can run over a shard: the one before it runs too, or all side-cars before it exist."""
    if chain and index.get(chain[-1]) in due:
        return True
    return all(shard in state.done(node, state.link(node).phase) or state.manifest(node) for node in chain)
