"""How hard every document is for a small model that never saw it: the loss that later stages weigh and order by.

A model that was trained on a document tells by its loss how well it remembers. So a proxy scores only what it was not
trained on: of two proxies, each trained on one half of the documents (`halves`, `pack` with `half`), each scores the
other half. Which documents a proxy was trained on is read from the graph and from the files behind it, by place and by
digest, before anything runs. Of a model that was trained elsewhere (`model_folder`) nothing is known, and it scores
everything; so it is with the same documents in files of other bytes.

Documents longer than the proxy's length are scored in windows that overlap by half, so that every token but the first
ones stands behind half a window of context. Sources: Mindermann et al. 2022 (RHO-LOSS, arXiv 2206.07137) for the use of
a reference's losses; cross-fitting after Chernozhukov et al. 2018 (arXiv 1608.00060).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from annotated_types import Ge

from pipeline.bounds import ShareAboveZero
from pipeline.contract import Columns, Context, Node, Resources, RowFunction, runtime
from pipeline.errors import RecipeError
from stages.documents import HALF, TEXT, columns_of
from stages.generate.lm import LM
from stages.generate.loading import check_model, open_model
from stages.generate.over_rows import ModelRows
from stages.training.lineage import alike, bases_behind, nearest, trained_on
from stages.wants import ModelOrFolder

Files = Callable[[Node], frozenset[str]]
CROSS_FIT = "two proxies, each trained on one half: `halves` before `pack` with half: 0 and half: 1"


def no_files(node: Node) -> frozenset[str]:
    """Of a graph alone, before files are listed."""
    return frozenset()


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreLoss(ModelRows):
    """Add the loss of each document under a model that was not trained on it: float32 `ref_loss` [nats per token, null
    for a document without tokens], float32 `ref_loss_sum`, int32 `ref_tokens`, and `ref_proxy`, which model it was.

    proxies     one model (`pretrain`, `export` or `model_folder`), or two that were trained on one half each
    window      tokens that a proxy sees at once; null = as many as it can
    batch_rows  documents, and then windows, at once; configuration, since the last bits of a model's sums depend on it
    device      `cpu` or `cuda`; configuration, for the same reason
    as_         (`as` in a recipe) what the names of the columns begin with
    actors      (fewest, most) workers that hold the proxies
    gpu_share   share of a GPU that one of them takes
    commit_rows documents after which what is known of a shard is kept in the store

    Errors: `RecipeError` for a proxy that was trained on documents which it would score.
    """

    proxies: ModelOrFolder | tuple[ModelOrFolder, ...]
    window: Annotated[int, Ge(2)] | None = None
    as_: str = "ref"
    gpu_share: ShareAboveZero = runtime(1.0)

    version = 2  # an adapter is folded into its model

    def asked(self) -> tuple[Any, Any]:
        return self.proxies, "transformers"

    def __post_init__(self) -> None:
        given = (self.proxies,) if isinstance(self.proxies, Node) else tuple(self.proxies)
        object.__setattr__(self, "proxies", given)

    def check(self) -> None:
        for proxy in self._proxies:
            check_model(proxy, "score_loss.proxies")
        if len(self._proxies) not in (1, 2):
            raise RecipeError("score_loss.proxies", f"{len(self._proxies)} models", "one, or one for each half")
        _ = self.scores()

    def check_files(self, files: Files) -> None:
        self.scores(files)

    @property
    def _proxies(self) -> tuple[Node, ...]:
        return self.proxies if isinstance(self.proxies, tuple) else (self.proxies,)

    def scores(self, files: Files = no_files) -> tuple[int | None, ...]:
        """The half that each proxy scores; None = all documents. Raises `RecipeError` where one was trained on it, as
        far as the nodes tell, and the `files` that they read.
        """
        halves = tuple(
            trained_half(proxy, self.docs, f"score_loss.proxies[{i}]", files) for i, proxy in enumerate(self._proxies)
        )
        if len(halves) == 1 and halves[0] is not None:
            raise RecipeError(
                "score_loss.proxies", f"one model, trained on half {halves[0]} of the documents that it would score",
                CROSS_FIT,
            )  # fmt: skip
        if len(halves) == 2 and set(halves) != {0, 1}:
            found = " and ".join("no half" if half is None else f"half {half}" for half in halves)
            raise RecipeError("score_loss.proxies", f"models trained on {found}", CROSS_FIT)
        return tuple(None if half is None else 1 - half for half in halves)

    @property
    def needs(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return (TEXT, *([HALF] if len(self._proxies) == 2 else []))

    def adds(self):
        kinds = {"loss": "float32", "loss_sum": "float32", "tokens": "int32", "proxy": "string"}
        return {f"{self.as_}_{name}": kind for name, kind in kinds.items()}

    def resources(self) -> Resources:
        return replace(super().resources(), gpus=self.gpu_share if self.device == "cuda" else 0.0)

    def open(self, ctx: Context) -> RowFunction:
        import numpy as np
        import pyarrow as pa

        places = [("proxies", i) for i in range(len(self._proxies))]
        models = [open_model(ctx, at, self.batch_rows, self.device, window=self.window) for at in places]
        names = [f"{ctx.input(at).kind()}-{ctx.fingerprint(at)[:12]}" for at in places]
        scores = self.scores()

        def rows(table: pa.Table) -> Columns:
            texts = np.array(table[TEXT].to_pylist(), object)
            half = table[HALF].to_numpy() if len(models) == 2 else np.zeros(len(texts))
            sums, tokens, by = np.zeros(len(texts)), np.zeros(len(texts), np.int32), np.zeros(len(texts), np.int64)
            for number, (lm, scored) in enumerate(zip(models, scores, strict=True)):
                at = np.flatnonzero(half == scored) if scored is not None else np.arange(len(texts))
                sums[at], tokens[at], by[at] = *losses(lm, texts[at].tolist()), number
            mean = np.divide(sums, tokens, out=np.zeros(len(texts)), where=tokens > 0)
            added: dict[str, Any] = {
                "loss": pa.array(mean.astype(np.float32), mask=tokens == 0),
                "loss_sum": sums.astype(np.float32),
                "tokens": tokens,
                "proxy": pa.array([names[number] for number in by], pa.string()),
            }
            return Columns(added={f"{self.as_}_{name}": values for name, values in added.items()})

        return rows


def losses(lm: LM, texts: list[str]) -> tuple[list[float], list[int]]:
    """Sums over the tokens of each text [nats], and the numbers of tokens."""
    found = lm.nll([""] * len(texts), texts)
    return [one.nats for one in found], [one.tokens for one in found]


def trained_half(model: Node, docs: Node, place: str, files: Files) -> int | None:
    """The half of the documents that a model was trained on; None when it was trained on none of them. `files`: of a
    node that reads some, to know two nodes that read the same ones in whatever way.

    Raises `RecipeError` when it was trained on documents of both halves, or on halves of other documents.
    """
    bases = list(bases_behind(docs))
    here = frozenset[str]().union(*map(files, bases))
    halves = set()
    for trained, half in trained_on(model):
        theirs = list(bases_behind(trained))
        shared = any(here & files(base) for base in theirs)
        if not shared and not any(alike(one, base) for one in theirs for base in bases):
            continue
        if half is None:
            raise RecipeError(place, "a model that was trained on the documents which it would score", CROSS_FIT)
        halves_node = nearest(docs, "halves") if HALF in columns_of(docs) else None
        if halves_node is None or not alike(nearest(trained, "halves"), halves_node):
            raise RecipeError(
                place, f"a model that was trained on half {half} of other halves than those of the documents",
                "one `halves` node, before the rows of the proxies and before score_loss",
            )  # fmt: skip
        halves.add(half)
    if len(halves) > 1:
        raise RecipeError(place, "a model that was trained on both halves", CROSS_FIT)
    return halves.pop() if halves else None
