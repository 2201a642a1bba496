"""New documents from documents: rewritten, explained, asked about, in whatever a prompt says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.bounds import Amount, Count, Positive, ShareAboveZero
from pipeline.contract import Context, Node, Resources, runtime
from pipeline.errors import RecipeError
from stages.documents import ID, PARENTS, SOURCE, TEXT, carried, columns_of
from stages.generate.endpoint import Endpoint
from stages.generate.folder import FolderLM
from stages.generate.guide import Guide
from stages.generate.judge import ask
from stages.generate.lm import Sampling, prompt_digest
from stages.generate.loading import Backend, check_model, libraries_of, open_model, promises
from stages.generate.over_rows import whole_batches
from stages.generate.prompt import Template
from stages.new_base import NewBaseNode, NewRows
from stages.wants import ModelOrFolder

if TYPE_CHECKING:
    import pyarrow as pa


OWN = {name: "string" for name in (SOURCE, "finish", "model", "sampling", "prompt")} | {
    "sample": "int32", "empty": "int32",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Generate(NewBaseNode):
    """Make new documents from a model's answers to a prompt about each document; `why` leads back to the document.

    model       an endpoint, or a `pretrain`, `hf_model`, `export` or `model_folder` node
    prompt      with columns in braces: `Explain this to a child: {text}`
    chat        put the prompt as a user's message into the chat format that the model's folder brings; a special token
                that stands in it stays text
    samples, max_tokens, temperature, top_p, top_k, stop, seed  how answers are drawn; every sample is a document
    guide       what steers a model that is loaded here (`stages.generate.guide`); null = nothing does
    carry       columns of the document that its answers have too, such as the expected answer
    max_chars   how much of the text is put into the prompt, from its beginning
    batch_rows  prompts at once for a model that is loaded here; part of the identity, since its sums depend on it
    backend     what runs it: `transformers`, or `vllm` (extra `vllm`), which promises no equal answers
    in_flight   requests to an endpoint at the same time, in the whole cluster
    token_budget  tokens, of prompts and answers, that one run may use at an endpoint; then the node fails, and
                what it has done is kept
    on_error    `fail` when the server refuses a prompt or answers nonsense, or `skip`: such a document has no child

    Adds to every new document: `source` (that of its parent), `sample` int32, `finish` (`stop` or `length`), `model`
    (the endpoint's name for it, or kind and fingerprint of the node), `sampling` (JSON, with the seed) `prompt`
    (the SHA-256 of the prompt) and `empty` int32: how many answers to the same prompt were empty. An empty answer is no
    document; the law counts parents without one as `childless`.
    """

    docs: Node
    model: ModelOrFolder | Endpoint
    prompt: str
    chat: bool = False
    samples: Positive = 1
    max_tokens: Positive = 256
    temperature: Amount = 0.7
    top_p: ShareAboveZero = 1.0
    top_k: Count = 0
    stop: tuple[str, ...] = ()
    seed: int = 0
    guide: Guide | None = None
    carry: tuple[str, ...] = ()
    max_chars: Positive = 3000
    batch_rows: Positive = 16
    device: Literal["cpu", "cuda"] = "cpu"
    backend: Backend = "transformers"
    on_error: Literal["fail", "skip"] = "fail"
    in_flight: Positive = runtime(8)
    token_budget: Positive | None = runtime(None)
    commit_rows: Positive | None = runtime(256)

    version = 6  # what prompts have in common is read once

    @property
    def libraries(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return libraries_of(self.model, self.backend)

    @property
    def deterministic(self) -> bool:  # type: ignore[override]
        return promises(self.model, self.backend)

    def check(self) -> None:
        check_model(self.model, "generate.model", self.backend)
        self._template().check("generate.prompt", self.docs)
        if self.guide is not None:
            self._check_guide(self.guide)
        have = columns_of(self.docs)
        for name in self.carry:
            if name not in have or name in (ID, TEXT, *OWN):
                free = ", ".join(sorted(set(have) - {ID, TEXT, *OWN}))
                raise RecipeError("generate.carry", f"{name!r}", f"columns that an answer has not itself: {free}")
        try:
            self._sampling()
        except ValueError as error:
            raise RecipeError("generate", f"{error}", "settings that a draw can have") from error

    def _check_guide(self, guide: Guide) -> None:
        if isinstance(self.model, Endpoint) or self.backend != "transformers":
            what = "an endpoint" if isinstance(self.model, Endpoint) else f"backend: {self.backend}"
            raise RecipeError(
                "generate.guide", f"{type(guide).__name__} for {what}, which takes no rule for the next token",
                "a model that transformers runs here", "a pretrain, export or model_folder node, and no backend",
            )  # fmt: skip
        guide.check("generate.guide", self.model)

    def reads(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self._template().needs(), *carried(self.docs, SOURCE), *self.carry)))

    def columns(self):
        have = columns_of(self.docs)
        return {**OWN, **{name: have[name] for name in self.carry if name in have}}

    def resources(self) -> Resources:
        """One actor asks an endpoint, with all requests in flight; a model that is loaded here has one on every GPU, or
        two on the CPU.
        """
        if isinstance(self.model, Endpoint):
            return Resources(cpus=0.5, actors=(1, 1))
        return Resources(gpus=1.0) if self.device == "cuda" else Resources(actors=(1, 2))

    def phases(self):
        batch = self.in_flight if isinstance(self.model, Endpoint) else self.batch_rows
        return (self.rows_phase(batch_rows=batch, commit_rows=whole_batches(self.commit_rows, batch)),)

    def _template(self) -> Template:
        return Template(self.prompt, self.max_chars)

    def _sampling(self) -> Sampling:
        return Sampling(
            samples=self.samples, max_tokens=self.max_tokens, temperature=self.temperature, top_p=self.top_p,
            top_k=self.top_k, stop=self.stop, seed=self.seed,
        )  # fmt: skip

    def open(self, ctx: Context) -> NewRows:
        how = self._sampling()
        lm = open_model(
            ctx, "model", self.batch_rows, self.device, backend=self.backend, token_budget=self.token_budget
        )
        if self.guide is not None:
            assert isinstance(lm, FolderLM), "checked"
            guide = self.guide.open(ctx, self.batch_rows, self.device)
            guide.check(lm)
            lm.guide = guide
        if isinstance(self.model, Endpoint):
            model = self.model.model
        else:
            model = f"{self.model.kind()} {ctx.fingerprint('model')[:12]}"
        drawn = {name: getattr(self, name) for name in ("max_tokens", "temperature", "top_p", "top_k", "stop", "seed")}
        sampling = json.dumps(drawn, sort_keys=True)

        def new_rows(table: pa.Table) -> pa.Table:
            import pyarrow as pa

            prompts, ids = list(self._template().fill(table)), table[ID].to_pylist()
            sources = table[SOURCE].to_pylist() if SOURCE in table.column_names else [None] * len(ids)
            rows, places = [], []  # of an answer: its values, and the row of its document
            asked = [lm.turn(prompt) for prompt in prompts] if self.chat else prompts
            for at, (answers, name, source, prompt) in enumerate(
                zip(ask(lm, asked, ids, how, self.in_flight), ids, sources, prompts, strict=True)
            ):
                if isinstance(answers, Exception):
                    if self.on_error == "fail":
                        raise answers
                    continue
                digest = prompt_digest(prompt)
                texts = [answer.text.replace("\0", " ") for answer in answers]
                empty = sum(not text.strip() for text in texts)
                for number, (text, answer) in enumerate(zip(texts, answers, strict=True)):
                    if text.strip():
                        rows.append((text, [name], source, answer.finish, model, sampling, digest, number, empty))
                        places.append(at)
            types = {TEXT: pa.string(), PARENTS: pa.list_(pa.string())}
            types |= {name: pa.string() if kind == "string" else pa.int32() for name, kind in OWN.items()}
            columns = list(zip(*rows, strict=True)) or [()] * len(types)
            made = {n: pa.array(list(c), t) for (n, t), c in zip(types.items(), columns, strict=True)}
            return pa.table(made | {name: table[name].take(pa.array(places, pa.int64())) for name in self.carry})

        return new_rows
