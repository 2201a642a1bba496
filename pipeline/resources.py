"""What a worker of a phase holds. Stages take this from `pipeline.contract`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one worker of a phase holds. It is what Ray is asked for; it never enters an identity.

    cpus         CPUs; `ctx.cpus` says how many whole threads they allow
    gpus         GPUs; a share below 1 puts several workers on one device
    memory       bytes that Ray sets aside; 0 sets nothing aside
    actors       (fewest, most) actors of a row or shard phase. An actor keeps its process, its device and what `load`
                 and `open` have made until the pass ends. None: plain tasks; with GPUs, one actor and more as they fit
    concurrency  shards that one actor works on at once, each in a thread: for phases that wait for a network
    """

    cpus: float = 1
    gpus: float = 0
    memory: int = 0
    actors: tuple[int, int] | None = None
    concurrency: int = 1

    def __post_init__(self) -> None:
        if min(self.cpus, self.gpus, self.memory) < 0:
            raise ValueError(f"{self}: a negative amount")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"{self}: more than one GPU must be a whole number of them")
        if self.actors is not None and not 1 <= self.actors[0] <= self.actors[1]:
            raise ValueError(f"{self}: actors are (fewest, most), at least one")
        if self.concurrency < 1 or (self.concurrency > 1 and not self.held):
            raise ValueError(f"{self}: a concurrency above 1 is for actors")

    @property
    def held(self) -> bool:
        """Whether the workers are actors, which hold what they have from the first shard to the last."""
        return self.actors is not None or self.gpus > 0


ONE_CPU = Resources()
