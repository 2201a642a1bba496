"""The finished nodes of a store, through manifests that describe themselves: what they are, and whose rows they carry.

Neither a graph nor the classes behind the nodes are needed, so newer code can read an old run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pipeline.contract import NewShard, Source
from pipeline.errors import DataError
from pipeline.files.json_files import read_json
from pipeline.files.objects import Store
from pipeline.results.binding import BaseShard, DocumentStream, Link

Manifest = dict[str, Any]


class Manifests:
    """Manifests by folder and by fingerprint, each read once until `forget`.

    `sources` are the files in which shards lie as they are, at the paths where the run found them.
    """

    def __init__(self, store: Store, sources: Sequence[Source] = ()) -> None:
        self.store = store
        self._sources = sources
        self._read: dict[str, Manifest | None] = {}
        self._folders: dict[str, str] | None = None

    def get(self, folder: str) -> Manifest | None:
        """The manifest in a folder, None where the node is not finished."""
        if folder not in self._read:
            self._read[folder] = read_json(self.store, f"{folder}/manifest.json", "siftloom verify, then siftloom run")
        return self._read[folder]

    def forget(self, folder: str) -> None:
        """Look into the store again when the folder is asked for next."""
        self._read.pop(folder, None)

    def by_fingerprint(self, fingerprint: str) -> Manifest:
        """The manifest of a finished node. Raises DataError where there is none."""
        if self._folders is None:
            self._folders = {name.rpartition("-")[2]: f"nodes/{name}" for name in self.store.names("nodes")}
        folder = self._folders.get(fingerprint[:12])
        found = self.get(folder) if folder else None
        if found is None:
            raise DataError(f"node {fingerprint[:12]}", "not finished", "a finished node", "siftloom run")
        return found

    def chains(self, manifest: Manifest) -> dict[str, tuple[Manifest, ...]]:
        """Base fingerprint -> manifests with a row phase from that base to this node, in order."""
        if manifest["new_base"]:
            return {manifest["fingerprint"]: ()}
        found = self.input_chains(manifest)
        return {base: (*chain, manifest) for base, chain in found.items()} if manifest["row_phase"] else found

    def input_chains(self, manifest: Manifest) -> dict[str, tuple[Manifest, ...]]:
        """`chains` of the node's stream input: what its row and shard phases have seen."""
        found: dict[str, tuple[Manifest, ...]] = {}
        for parent in manifest["inputs"].get(manifest["stream"], ()):
            for base, chain in self.chains(self.by_fingerprint(parent)).items():
                found[base] = max(found.get(base, ()), chain, key=len)
        return found

    def stream(self, manifest: Manifest) -> DocumentStream:
        """The rows that a node carries, or reads if it carries none."""
        return self.joined(self.chains(manifest))

    def joined(self, chains: Mapping[str, Sequence[Manifest]]) -> DocumentStream:
        """The rows at the ends of `chains` or `input_chains`."""
        bases = [self.by_fingerprint(base) for base in chains]
        return DocumentStream(
            shards=tuple(shard for base in bases for shard in base_shards(base, self._sources)),
            chains={base[:12]: tuple(link_of(m) for m in chain) for base, chain in chains.items()},
            base_columns={base["fingerprint"][:12]: base["base_columns"] for base in bases},
            folders={base["fingerprint"][:12]: folder_of(base) for base in bases},
        )


@lru_cache(maxsize=8)
def finished(store: Store, folder: str) -> Manifest:
    """The manifest of a node that is known to be finished; read once per process. Not to be changed."""
    found = Manifests(store).get(folder)
    if found is None:
        raise DataError(folder, "not finished", "a finished node", "siftloom run")
    return found


def folder_of(manifest: Manifest) -> str:
    """Return the folder that holds a manifest."""
    return f"nodes/{manifest['kind']}-{manifest['fingerprint'][:12]}"


def link_of(manifest: Manifest) -> Link:
    """The columns that a finished node with a row phase wrote beside its base."""
    return Link(folder_of(manifest), manifest["row_phase"], manifest["adds"], manifest["changes_text"])


def base_shards(manifest: Manifest, sources: Sequence[Source]) -> tuple[BaseShard, ...]:
    """The shards of a finished base in order; `sources` give the files of those that lie in place."""
    by_digest: Mapping[str, Source] = {source.digest: source for source in sources}
    base, folder, found = manifest["fingerprint"][:12], folder_of(manifest), []
    phase = manifest["new_base"]
    for task in manifest["phases"][phase]:  # their order is that of the sources, which their keys need not have
        facts = manifest["shards"].get(task, ())
        found += [BaseShard.of(base, folder, phase, task, new, by_digest) for new in map(NewShard.parse, facts)]
    return tuple(found)
