"""A Hugging Face folder through transformers (extra `hf`): a causal model that writes and scores, or any encoder.

Sums of a transformer change in their last bits with the rows and the padding of a batch. Draws are keyed by request and
place, so a batch changes an answer only where two tokens are as good as equally likely; the batch size belongs to the
configuration of the nodes that use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import DataError, UserError
from stages.generate.chat_template import turn
from stages.generate.first_pass import read_prompts
from stages.generate.lm import GeneratedText, Pooling, Prompt, Sampling, TargetLoss, cut_at_stop, draw, prompt_room
from stages.strangers import check_finite, check_folder
from stages.training.memory import machine_memory

if TYPE_CHECKING:
    import numpy as np

    from stages.generate.lm import OpenGuide


class FolderLM:
    """`LM` over a local folder with `config.json`, weights in safetensors, and a tokenizer.

    `trust_code` runs the modelling file of a folder that brings one; `window` is how many tokens `nll` shows the model
    at once, if fewer than it can see; `guide` steers what it writes. Raises UserError without transformers, and
    DataError for a folder that it cannot load.
    """

    def __init__(
        self,
        folder: Path,
        *,
        batch_rows: int,
        device: str = "cpu",
        trust_code: bool = False,
        window: int | None = None,
        guide: OpenGuide | None = None,
    ) -> None:
        try:
            from transformers import AutoTokenizer
            from transformers.utils.logging import disable_progress_bar
        except ImportError as error:
            raise UserError(
                "a model in a Hugging Face folder", "transformers is not installed", "the extra `hf`",
                "pip install 'siftloom[hf]'",
            ) from error  # fmt: skip
        self.folder, self.batch_rows, self.device = folder, batch_rows, device
        self._window, self.guide = window, guide
        self._options: dict[str, Any] = {"trust_remote_code": trust_code, "local_files_only": True}
        self.settings = check_folder(
            folder.name, {path.name: path for path in sorted(folder.iterdir()) if not path.is_dir()}, machine_memory()
        )
        disable_progress_bar()  # of loading weights: without Ray it would run through the table of progress
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **self._options)
        except Exception as error:  # transformers raises whatever its parts raise
            raise DataError(str(folder.name), f"no tokenizer ({error})", "tokenizer.json beside the model") from error
        self.tokenizer.padding_side = "left"  # answers follow the prompt directly
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.unk_token

    @cached_property
    def causal(self) -> Any:
        """The model with its head."""
        from transformers import AutoModelForCausalLM

        return self._load(AutoModelForCausalLM)

    @cached_property
    def encoder(self) -> Any:
        """The model without a head: its last hidden states."""
        from transformers import AutoModel

        return self._load(AutoModel)

    def turn(self, text: str) -> Prompt:
        """Raises DataError for a folder without a chat template."""
        return turn(self.tokenizer, text, self.folder.name)

    def generate(self, prompts: Sequence[Prompt], keys: Sequence[str], sampling: Sampling) -> list[list[GeneratedText]]:
        """Answers in the order of the prompts; those that ask the longest prompts are batched together."""
        asked = [(prompt, key, sample) for prompt, key in zip(prompts, keys, strict=True)
                 for sample in range(sampling.samples)]  # fmt: skip
        answers: list[GeneratedText | None] = [None] * len(asked)
        order = sorted(range(len(asked)), key=lambda i: (-len(asked[i][0]), i))
        for start in range(0, len(order), self.batch_rows):
            chosen = order[start : start + self.batch_rows]
            for place, answer in zip(chosen, self._write([asked[i] for i in chosen], sampling), strict=True):
                answers[place] = answer
        n = sampling.samples
        return [[a for a in answers[i * n : (i + 1) * n] if a is not None] for i in range(len(prompts))]

    def nll(self, prompts: Sequence[str], targets: Sequence[str], *, ends: bool = False) -> list[TargetLoss]:
        """Prompt and target are tokenised apart. What the model cannot see at once is scored in windows
        (`stages.generate.windows`).
        """
        from stages.generate.windows import likelihoods

        begin = [self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self._end()]
        before = [[*begin, *self._ids(prompt)] for prompt in prompts]
        end = [self._end()] if ends else []
        after = [[*self._ids(target), *end] for target in targets]
        whole = [(b + a, len(b)) for b, a in zip(before, after, strict=True)]
        nats = likelihoods(lambda ids_bt: self.causal(ids_bt).logits, whole, self.window, self.batch_rows, self.device)
        return [TargetLoss(float(sum_), len(ids)) for sum_, ids in zip(nats, after, strict=True)]

    def embed(self, texts: Sequence[str], pooling: Pooling, *, instruction: str = "") -> np.ndarray:
        """Vectors are of unit length. A text longer than the model is cut at its end."""
        import numpy as np
        import torch

        from stages.generate.pooled import padded, pool, seen_texts

        seen = seen_texts(self.tokenizer, texts, self.longest, instruction=instruction, twice=pooling == "echo")
        order = sorted(range(len(seen)), key=lambda i: (-len(seen[i].ids), i))
        vectors: np.ndarray | None = None
        for start in range(0, len(order), self.batch_rows):
            chosen = order[start : start + self.batch_rows]
            ids_bt, mask_bt, pooled_bt = padded(
                [seen[i] for i in chosen], self.tokenizer.pad_token_id or 0, self.device
            )
            with torch.no_grad():
                if pooling == "static":
                    states_btd = self.encoder.get_input_embeddings()(ids_bt).float()
                else:
                    states_btd = self.encoder(input_ids=ids_bt, attention_mask=mask_bt).last_hidden_state.float()
            pooled_bd = torch.nn.functional.normalize(pool(states_btd, pooled_bt, pooling), dim=-1)
            if vectors is None:
                vectors = np.empty((len(texts), pooled_bd.shape[1]), np.float32)
            vectors[chosen] = pooled_bd.cpu().numpy()
        return np.empty((0, self.width), np.float32) if vectors is None else vectors

    @property
    def width(self) -> int:
        """Of a vector."""
        return int(self.settings.get("hidden_size") or self.settings["dim"])

    @property
    def longest(self) -> int | None:
        """Tokens that the model can see at once."""
        return self.settings.get("max_position_embeddings")

    @property
    def window(self) -> int | None:
        """Tokens that `nll` shows it at once."""
        return min((size for size in (self._window, self.longest) if size is not None), default=None)

    def _load(self, kind: Any) -> Any:
        import torch

        options = {"dtype": torch.float32, "use_safetensors": True, "output_loading_info": True, **self._options}
        try:
            model, loaded = kind.from_pretrained(self.folder, **options)
        except Exception as error:
            own = "auto_map" in self.settings and not self._options["trust_remote_code"]
            raise DataError(
                str(self.folder.name), f"the model does not load ({type(error).__name__}: {error})",
                "weights that fit config.json", "set trust_code: true, which runs the folder's own file" * own,
            ) from error  # fmt: skip
        # an encoder is often kept without its pooler, which nothing here reads
        if missing := sorted(name for name in loaded["missing_keys"] if "pooler" not in name):
            raise DataError(f"{self.folder.name}: {missing[0]}", "no such tensor in the weights", "all of the model's")
        check_finite(self.folder.name, model.named_parameters())
        return model.to(self.device).eval()

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _end(self) -> int:
        if self.tokenizer.eos_token_id is None:
            raise DataError(
                str(self.folder.name),
                "a tokenizer with no token that ends a text",
                "`eos_token` in tokenizer_config.json",
            )
        return int(self.tokenizer.eos_token_id)

    def prompt_ids(self, prompt: Prompt, room: int | None) -> list[int]:
        """The tokens of a prompt, behind the one that begins a text. Of a prompt that is too long (`room`) the end is
        kept, which is what is answered.
        """
        if isinstance(prompt, str):
            begin = self.tokenizer.bos_token or self.tokenizer.eos_token or ""
            prompt = self._ids(prompt if prompt.startswith(begin) else begin + prompt)
        return list(prompt if room is None else prompt[-room:])

    def _write(self, asked: Sequence[tuple[Prompt, str, int]], sampling: Sampling) -> list[GeneratedText]:
        """Token by token with the model's own cache; a row that has ended is fed its last token, and ignored."""
        import torch

        from models.generate import Rule, TokenSampling, next_tokens

        end = self._end()
        rules: list[Rule] = TokenSampling(
            temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p
        ).rules()
        room = None if self.longest is None else prompt_room(self.folder.name, self.longest, sampling)
        prompts = [self.prompt_ids(prompt, room) for prompt, _, _ in asked]
        if self.guide is not None:
            # before the sampling's own rules, which cut what the guide has moved
            rules = [self.guide.over(prompts), *rules]
        cache, mask_bt, places_b1, logits_bv = read_prompts(
            self.causal, prompts, self.tokenizer.pad_token_id, self.device
        )
        written, nats = [[] for _ in asked], [0.0] * len(asked)
        texts, open_rows, finish = [""] * len(asked), set(range(len(asked))), ["length"] * len(asked)
        for place in range(sampling.max_tokens):
            logits_bv = logits_bv.double().cpu()
            draws_b = [draw(sampling.seed, key, sample, place) for _, key, sample in asked]
            chosen = next_tokens(written, logits_bv, rules, draws_b if sampling.temperature else None)
            told_bv = logits_bv.log_softmax(-1)
            for i in sorted(open_rows):
                if chosen[i] == end:
                    finish[i] = "stop"
                    open_rows.discard(i)
                    continue
                written[i].append(chosen[i])
                nats[i] -= float(told_bv[i, chosen[i]])
                texts[i], stopped = cut_at_stop(
                    self.tokenizer.decode(written[i], skip_special_tokens=True), sampling.stop
                )
                if stopped:
                    finish[i] = "stop"
                    open_rows.discard(i)
            if not open_rows or place + 1 == sampling.max_tokens:
                break
            given_b1 = torch.tensor(chosen, device=self.device)[:, None]
            mask_bt, places_b1 = torch.cat([mask_bt, torch.ones_like(given_b1)], 1), places_b1 + 1
            with torch.no_grad():
                out = self.causal(
                    input_ids=given_b1, attention_mask=mask_bt, position_ids=places_b1, past_key_values=cache,
                    use_cache=True,
                )  # fmt: skip
            cache, logits_bv = out.past_key_values, out.logits[:, -1]
        return [
            GeneratedText(text, "stop" if end == "stop" else "length", seen, len(ids), tuple(ids), sum_)
            for text, end, seen, ids, sum_ in zip(texts, finish, map(len, prompts), written, nats, strict=True)
        ]
