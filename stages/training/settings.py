"""What is declared of a training: every field of `pretrain`, once, and what follows from the fields alone.

The node (`stages.training.pretrain`), the driver and each training process read this one frozen value, so that a new
field is a line here and the code that uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models.adapter import Adapter
from models.freeze import Freeze
from models.objective import CROSS_ENTROPY, Objective
from models.optim_config import AdamW, Cosine, LearningRateSchedule
from models.optimiser import Optimiser
from models.presets import Llama
from models.reweight_config import LossShaped, Reweight, Uniform
from models.transforms import Transform
from pipeline.bounds import Amount, AmountAboveZero, Count, Positive, ShareBelowOne
from pipeline.contract import Node, runtime
from stages.training.asks import columns
from stages.training.collate import NEXT_TOKEN, Collator
from stages.training.machine import has_gpu, multiplies_bf16
from stages.training.match import Match
from stages.training.metrics import Metrics
from stages.training.order import MIXTURE, RowOrder
from stages.training.stage import Stage, last_collator
from stages.training.stream import RowStream
from stages.wants import PackedRows, RowsOrDocuments, TokenizerNode, TrainedNode

ADAMW, COSINE = AdamW(), Cosine()


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingSettings(Node):
    """The fields of a training.

    rows            one pack node, or a mixture: node -> share of the tokens seen; with `feed`, a node of documents
    feed            make rows of the documents while the training runs (`stages.training.stream`), for data too large to
                    be packed ahead. Batches then depend on workers and timing
    tokenizer       a tokenizer node, with `feed` alone
    model           `llama`, `lost`, `low_rank`, `sltrain` (`models.presets`)
    match           `parameters_of` or `flops_of` another training: the model's rank is the one that fits
    start           a node that gives a model, to start from instead of a draw. Of the same configuration it is taken
                    over; one that has an equal dense Llama may start any model of its shape
    transform       what is made of the start before it is trained, one after another: `add_tokens`, `rope_base`,
                    `depth` (`models.transforms`); `model` is what comes out
    objective       the loss at each place (`models.objective`)
    collate         the model's input and targets (`stages.training.collate`)
    order           which rows a step sees (`stages.training.order`)
    neftune         noise on the embeddings of a document of L tokens, `neftune / sqrt(L d) U(-1, 1)`, in training
                    alone (`models.neftune`); 0 = none
    dropout         share of what each half of a block adds that is left out, in training alone (`models.dropout`); 0 =
                    none
    freeze          which parameters are not trained (`models.freeze`); null = all are
    adapter         what is trained beside a model that stands still, which `start` gives (`models.adapter`); null = the
                    model is trained itself
    optimizer       `adamw`, `muon`, `galore`, with the peak of the learning rate (`models.optimiser`)
    reweight        weights of the samples of a batch by their losses (`models.reweight_config`); null = every token the
                    same, and with a loss of groups of pieces every group
    lr_schedule     the course of the learning rate
    schedule        stages of training, each up to a share of the steps, with an objective, a collator or an attention
                    of its own (`stages.training.stage`)
    steps           optimiser steps
    batch_rows      rows of a step, over all workers
    micro_batches   pieces of a batch, a power of two; more allow more workers and keep fewer activations, and above
                    two of a worker keep sums of gradients
    max_epochs      passes over a source of a mixture, at most; the other sources take its rest. null =
                    no limit
    attend          "document" keeps attention inside a document, "row" lets it see all earlier tokens of
                    the row
    precision       "bf16" is autocast: weights and sums stay fp32. "auto" = bf16 on a GPU, and on a CPU that
                    multiplies it faster
    compile         of each block by torch. "auto" = "on" for a GPU; on a CPU the minute that it takes is paid back by
                    long runs alone
    shard           processes that one copy of the weights is spread over (FSDP2); 1 = a whole copy in each.
                    It decides bits, and so does the number of workers when it is above 1: losses of other
                    numbers differ by less than 1e-5 of their size
    reduce          of whole copies: "tree", bits independent of the number of workers; "ring", less traffic
                    on many workers. null = "tree"; shards are added up in the library's order, so "tree" with
                    them is an error
    threads         of each worker; they decide bits, so they are configuration
    device          "auto" = "cuda" where the machine that builds the graph has a GPU
    on_nan          a step whose loss or gradient is not finite: "stop" ends the run with an error that names its rows,
                    "skip" leaves the update out and counts it, 19 times in a row at most
    recompute       run each block again in the backward instead of keeping its activations: a third more work
    workers         processes, at most `micro_batches`; full use of a number needs a power of two. A pair (least,
                    most) takes what the cluster has between them, and more or fewer as it changes. With
                    shards: multiples of `shard` that divide `micro_batches`
    checkpoint_every  steps between two checkpoints; a killed run goes on from the last one
    log_interval    steps between two lines of progress
    max_failures    how often a training may lose a worker and start again from its last checkpoint
    async_checkpoints  write checkpoints in a thread, for the memory of a copy of the state; "auto" = "on" for a GPU
    metrics         what the run can be followed with: "jsonl", a log of its steps in scratch, and its readers
                    "tensorboard", "wandb", "mlflow" (`stages.training.metrics`)

    What is "auto" is decided when the node is built, so that it is part of the identity.
    """

    rows: RowsOrDocuments | tuple[tuple[PackedRows, float], ...]
    feed: RowStream | None = None
    tokenizer: TokenizerNode | None = None
    model: Llama
    match: Match | None = None
    start: TrainedNode | None = None
    transform: tuple[Transform, ...] = ()
    objective: Objective = CROSS_ENTROPY
    collate: Collator = NEXT_TOKEN
    order: RowOrder = MIXTURE
    neftune: Amount = 0.0
    dropout: ShareBelowOne = 0.0
    freeze: Freeze | None = None
    adapter: Adapter | None = None
    reweight: Reweight | None = None
    optimizer: Optimiser = ADAMW
    lr_schedule: LearningRateSchedule = COSINE
    schedule: tuple[Stage, ...] = ()
    steps: Positive = 1000
    batch_rows: Positive = 32
    micro_batches: Positive = 2
    seed: int = 0
    max_epochs: AmountAboveZero | None = None
    attend: Literal["row", "document"] = "row"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    shard: Positive = 1
    reduce: Literal["tree", "ring"] | None = None
    threads: Positive = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    on_nan: Literal["stop", "skip"] = "stop"
    recompute: bool = runtime(False)
    workers: int | tuple[int, int] = runtime(1)
    checkpoint_every: Positive = runtime(100)
    async_checkpoints: Literal["auto", "on", "off"] = runtime("auto")
    log_interval: Positive = runtime(10)
    metrics: tuple[Metrics, ...] = runtime(("jsonl",))
    max_failures: Count = runtime(3)

    def __post_init__(self) -> None:
        if self.match is not None:
            object.__setattr__(self, "model", self.match.solve(self.model))
            object.__setattr__(self, "match", None)
        if isinstance(self.rows, Mapping):
            object.__setattr__(self, "rows", tuple(self.rows.items()))
        object.__setattr__(self, "schedule", tuple(self.schedule))
        object.__setattr__(self, "transform", tuple(self.transform))
        object.__setattr__(self, "metrics", (self.metrics,) if isinstance(self.metrics, str) else tuple(self.metrics))
        if self.device == "auto":
            object.__setattr__(self, "device", "cuda" if has_gpu() else "cpu")
        if self.precision == "auto":
            fast = self.device == "cuda" or multiplies_bf16()
            object.__setattr__(self, "precision", "bf16" if fast else "fp32")
        for name in ("compile", "async_checkpoints"):
            if getattr(self, name) == "auto":
                object.__setattr__(self, name, "on" if self.device == "cuda" else "off")

    @property
    def mixture(self) -> tuple[tuple[Node, float], ...]:
        """The pack nodes with their shares."""
        return ((self.rows, 1.0),) if isinstance(self.rows, Node) else self.rows

    @property
    def sizes(self) -> range:
        """Numbers of processes that the run may have."""
        least, most = (self.workers, self.workers) if isinstance(self.workers, int) else self.workers
        return range(least, most + 1)

    @property
    def beside(self) -> Adapter:
        """The adapter; where there is none, one that does nothing in a step."""
        return self.adapter or Adapter()

    @property
    def label(self) -> str:
        """What the run is called in tables and figures: model and weights, from the configuration alone."""
        parts = [f"{type(self.model).__name__} {self.model.size}"]
        parts += [f"{name} {getattr(self.model, name)}" for name in ("rank", "density") if hasattr(self.model, name)]
        if self.adapter is not None:
            parts.append(type(self.adapter).__name__)
        if isinstance(self.reweight, LossShaped):
            parts.append(f"{type(self.reweight).__name__} r {self.reweight.r:g}")
        return ", ".join(parts)

    @property
    def ends_with(self) -> Collator:
        """The last collator of the run: what the model is in the end."""
        return last_collator(self.collate, self.schedule)

    @property
    def vocab_size(self) -> int:
        """Of the tokenizer behind the rows, as far as its node says it; 32,000 where it does not."""
        tokenizer = self.tokenizer or getattr(self.mixture[0][0], "tokenizer", None)
        return getattr(tokenizer, "entries", None) or 32_000

    @property
    def save_aside(self) -> bool:
        """Whether a thread writes checkpoints from a copy of the state."""
        return self.async_checkpoints == "on"

    @property
    def length(self) -> int:
        """Tokens of a row, as far as the node of the rows says it."""
        return self.feed.length if self.feed is not None else getattr(self.mixture[0][0], "length", 256)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """That of the run and those of its stages."""
        return (self.objective, *(stage.objective for stage in self.schedule if stage.objective is not None))

    @property
    def in_turn(self) -> tuple[tuple[Objective, Collator], ...]:
        """Objective and collator of each stage of the run, or of the run where it has none."""
        if not self.schedule:
            return ((self.objective, self.collate),)
        return tuple((one.objective or self.objective, one.collate or self.collate) for one in self.schedule)

    @property
    def weighting(self) -> Reweight:
        """How the samples of a batch are weighted: without `reweight` every token counts the same, or every group."""
        return self.reweight or Uniform(by_tokens=self.unit != "group")

    @property
    def unit(self) -> Literal["row", "document", "group"]:
        """What a sample of the weights is."""
        if any(one.unit == "group" for one in self.objectives):
            return "group"
        return getattr(self.reweight, "unit", "row")

    @property
    def reference(self) -> str | None:
        """The carried column above which losses are ranked."""
        return getattr(self.reweight, "reference", None)

    @property
    def reads(self) -> tuple[str, ...]:
        """Carried columns that some part of the run asks for, in order of name."""
        return columns([*self.objectives, self.collate, self.order, self.reweight, *(s.collate for s in self.schedule)])

    @property
    def reads_of_groups(self) -> tuple[str, ...]:
        """Carried columns that a loss of groups asks for, a value of each piece."""
        return columns(one for one in self.objectives if one.unit == "group")
