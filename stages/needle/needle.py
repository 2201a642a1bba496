"""Whether a model finds a fact in a long text: for each length of the text and each place of the fact.

Source: Kamradt 2023 (Needle in a haystack), as Yi reports it (arXiv 2403.04652, section 7.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from pipeline.bounds import Positive
from pipeline.contract import Context, Node, Resources, Result, TaskPhase, one
from pipeline.errors import DataError, RecipeError
from stages.documents import HELD_OUT, ID, TEXT, columns_of
from stages.intervals import rounded
from stages.measure import MeasureNode
from stages.needle.facts import fact, sentences, told
from stages.tokens.tokenizer import ENCODERS
from stages.training.lineage import sees_both_sides
from stages.wants import TrainedNode

if TYPE_CHECKING:
    import numpy as np

    from stages.tokens.encoder import Encoder
    from stages.training.results import TrainedModel

Depth = Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Needle(MeasureNode):
    """Hide a fact in texts of some lengths at some depths, ask for it, and count exact answers: a table of both in the
    report, shaded by the share that was found.

    model       a node that gives a model
    docs        what the texts are made of: the held-out documents, where they carry that mark, else all
    lengths     tokens of a text with its question and the longest answer, which may be above those of its training
    depths      where the fact stands: 0 at the beginning, 1 at the end
    samples     texts of each length and depth, of documents in a drawn order; one text has the same fact at each depth
    tokens      of an answer, at most; its last line is what counts
    batch_rows  texts at once; part of the identity, since a model's sums depend on it
    resamples   draws of texts with replacement, for the intervals
    level       of the intervals

    Writes `score/all.json`, and `score/all.parquet`: `id` (length, depth and number of the text), `group` (the length)
    and `value` (0 or 1), so that `ablation` compares models. The facts are drawn by the seed and are in no training
    sample of `haystack`. Errors: `DataError` where the documents are shorter than the texts.
    """

    model: TrainedNode
    docs: Node
    lengths: tuple[Positive, ...]
    depths: tuple[Depth, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    samples: Positive = 20
    tokens: Positive = 40
    batch_rows: Positive = 16
    threads: Positive = 1

    libraries = ENCODERS

    @property
    def measured(self) -> str:
        return "found"

    def check(self) -> None:
        if sees_both_sides(self.model):
            raise RecipeError("needle.model", "a model that was trained last to see both sides", "a causal model")
        for field, values in (("lengths", self.lengths), ("depths", self.depths)):
            if not values or len(set(values)) < len(values):
                raise RecipeError(f"needle.{field}", f"{list(values)}", "one number or more, none of them twice")

    def phases(self):
        return (TaskPhase(name="score", keys=one, run=self._score, resources=Resources(cpus=self.threads)),)

    def _score(self, ctx: Context, key: str) -> Result:
        import numpy as np
        import torch

        from stages.tokens.encoder import Encoder
        from stages.training.results import TrainedModel

        torch.set_num_threads(self.threads)
        run = TrainedModel.of(ctx)
        encoder = Encoder.load(run.folder["tokenizer.json"])
        hay = self._sentences(ctx, encoder)
        found = self._found(run, encoder, hay)  # [lengths, depths, samples]
        places = [(length, depth, n) for length in self.lengths for depth in self.depths for n in range(self.samples)]
        names = [f"{length} tokens, depth {depth:g}, {number}" for length, depth, number in places]
        groups = [f"{length} tokens" for length, _, _ in places]
        score = {
            "level": self.level, "depths": list(self.depths), "label": run.config["label"],
            "lengths": [
                {"length": length, "depths": cells.mean(1).tolist(), **self.mean_of(cells.ravel())}
                for length, cells in zip(self.lengths, found, strict=True)
            ],
        }  # fmt: skip
        self.write_score(ctx, {"id": names, "group": groups, "value": found.ravel()}, score)
        facts = {f"found_{length}": float(cells.mean()) for length, cells in zip(self.lengths, found, strict=True)}
        ctx.log("looked for needles", **facts)
        return Result(counts={"texts": int(np.size(found))}, facts=facts)

    def _sentences(self, ctx: Context, encoder: Encoder) -> list[list[list[int]]]:
        """Of each document the ids of its sentences, documents in a drawn order."""
        from stages.chance import draws

        held: list[tuple[str, str]] = []
        marked = HELD_OUT in columns_of(self.docs)
        for _, table in ctx.rows([ID, TEXT, *([HELD_OUT] if marked else [])], of="docs"):
            if marked:
                table = table.filter(table[HELD_OUT].fill_null(False))
            held += zip(table[ID].to_pylist(), table[TEXT].to_pylist(), strict=True)
        order = draws([name for name, _ in held], self.seed, "needle hay").argsort(kind="stable")
        texts = [sentences(held[at][1].rstrip() + "\n") for at in order.tolist()]
        ids = iter(encoder.encode([one for text in texts for one in text]))
        return [[next(ids).tolist() for _ in text] for text in texts]

    def _found(self, run: TrainedModel, encoder: Encoder, hay: list[list[list[int]]]) -> np.ndarray:
        import numpy as np
        from tokenizers import Tokenizer

        from models.generate import TokenSampling, generate

        decoder = Tokenizer.from_file(str(run.folder["tokenizer.json"]))
        model = run.load().eval()
        model.max_length = max(self.lengths)  # positions are relative: nothing in a model holds its length
        facts = [fact(f"needle/{self.seed}/{number}") for number in range(self.samples)]
        found = np.zeros((len(self.lengths), len(self.depths), self.samples))
        for i, length in enumerate(self.lengths):
            prompts = [
                self._prompt(number, fact_.statement, fact_.question, depth, length, encoder, hay)
                for depth in self.depths
                for number, fact_ in enumerate(facts)
            ]
            written = []
            for first in range(0, len(prompts), self.batch_rows):
                part = prompts[first : first + self.batch_rows]
                written += generate(
                    model, part, self.tokens, run.config["end_id"], sampling=TokenSampling(temperature=0.0),
                    begin_id=run.begin_id,
                )  # fmt: skip
            answers = [told(decoder.decode(ids)) for ids in written]
            codes = [one.code for one in facts] * len(self.depths)
            found[i] = np.reshape([a == c for a, c in zip(answers, codes, strict=True)], found[i].shape)
        return found

    def _prompt(
        self, number: int, statement: str, question: str, depth: float, length: int, encoder: Encoder,
        hay: Sequence[Sequence[list[int]]],
    ) -> list[int]:  # fmt: skip
        """Ids of a text with its question: all texts of a length are of as many tokens."""
        told_ids, asked_ids = (ids.tolist() for ids in encoder.encode([statement + " ", question]))
        room = length - 1 - self.tokens - len(told_ids) - len(asked_ids)
        if room < 1:
            raise DataError(
                "needle.lengths", f"{length} tokens", f"more than {length - room}, which fact and answer take"
            )
        parts: list[list[int]] = []
        for sentence in (ids for at in range(len(hay)) for ids in hay[(number + at) % len(hay)]):
            parts.append(sentence[:room])
            room -= len(parts[-1])
            if not room:
                break
        if room:
            raise DataError(
                "needle.docs", f"documents that are {room} tokens short of {length}", "more, or longer ones"
            )
        place = round(depth * len(parts))
        return [token for part in (*parts[:place], told_ids, *parts[place:], asked_ids) for token in part]

    def figures(self, ctx: Context):
        score: dict[str, Any] = ctx.read_json("score")
        share = f"{score['level']:.0%}"
        yield {
            "kind": "table",
            "title": f"Needles found: {score['label']}",
            "note": "Share of exact answers by the length of the text (rows) and the depth of the fact (columns).",
            "columns": ["tokens", *(f"depth {depth:g}" for depth in score["depths"])],
            "rows": [[f"{one['length']:,}", *one["depths"]] for one in score["lengths"]],
            "heat": True,
        }
        yield {
            "kind": "table",
            "title": f"Needles found at any depth: {score['label']}",
            "columns": ["tokens", "found", f"{share} from", "to"],
            "rows": [[f"{one['length']:,}", *rounded(one)] for one in score["lengths"]],
        }
