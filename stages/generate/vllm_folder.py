"""A Hugging Face folder through vLLM (extra `vllm`), which keeps a device busy with many requests at once.

Kwon et al. 2023, "Efficient Memory Management for Large Language Model Serving with PagedAttention". Which requests
share a step hangs on when they arrive, and sums change in their last bits with it, so that an answer is not promised
twice: the nodes that use it are not deterministic. Draws are seeded by request and sample. The engine runs in this
process: processes of its own would outlive a worker that is killed, with the device and the model.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import DataError, UserError
from stages.generate.chat_template import turn
from stages.generate.lm import GeneratedText, Pooling, Prompt, Sampling, TargetLoss, cut_at_stop, draw, prompt_room

if TYPE_CHECKING:
    import numpy as np


class VllmLM:
    """`LM` over a local folder, without vectors. `batch_rows` requests share a step at most.

    Raises UserError without vLLM, and DataError for a folder that it cannot load.
    """

    def __init__(self, folder: Path, *, batch_rows: int, device: str = "cpu", trust_code: bool = False) -> None:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # read when it is imported
        try:
            vllm: Any = import_module("vllm")
        except ImportError as error:
            raise UserError(
                "a model through vLLM", "vllm is not installed", "the extra `vllm`, in an environment that its own "
                "versions of torch and transformers suit", "pip install 'siftloom[vllm]'",
            ) from error  # fmt: skip
        self._vllm, self._name = vllm, folder.name
        try:
            self._model: Any = vllm.LLM(
                model=str(folder), trust_remote_code=trust_code, max_num_seqs=batch_rows, seed=0,
                dtype="float32" if device == "cpu" else "auto", enforce_eager=device == "cpu",
                enable_prefix_caching=False,  # a cached prompt has no likelihoods
            )  # fmt: skip
        except Exception as error:  # vLLM raises whatever its parts raise
            raise DataError(
                folder.name, f"vLLM does not load it ({type(error).__name__}: {error})", "a model that vLLM knows",
                "backend: transformers",
            ) from error  # fmt: skip
        self.tokenizer: Any = self._model.get_tokenizer()
        self.longest: int = self._model.llm_engine.model_config.max_model_len

    def turn(self, text: str) -> Prompt:
        """Raises DataError for a folder without a chat template."""
        return turn(self.tokenizer, text, self._name)

    def generate(self, prompts: Sequence[Prompt], keys: Sequence[str], sampling: Sampling) -> list[list[GeneratedText]]:
        """Answers in the order of the prompts. Of a prompt that is too long the end is kept."""
        room = prompt_room(self._name, self.longest, sampling)
        asked, how = [], []
        for prompt, key in zip(prompts, keys, strict=True):
            ids = self._ids(self._begun(prompt)) if isinstance(prompt, str) else list(prompt)
            ids = ids[-room:]
            for sample in range(sampling.samples):
                asked.append({"prompt_token_ids": ids})
                how.append(self._parameters(sampling, key, sample))
        found = [self._answer(one, sampling.stop) for one in self._model.generate(asked, how, use_tqdm=False)]
        n = sampling.samples
        return [found[i * n : (i + 1) * n] for i in range(len(prompts))]

    def nll(self, prompts: Sequence[str], targets: Sequence[str], *, ends: bool = False) -> list[TargetLoss]:
        """Prompt and target are tokenised apart, and a target too long for the model loses its end."""
        asked, sizes = [], []
        for prompt, target in zip(prompts, targets, strict=True):
            before, after = self._ids(self._begun("")) + self._ids(prompt), self._ids(target)[: self.longest - 2]
            if ends and len(after) < self.longest - 2:
                after = [*after, self.tokenizer.eos_token_id]
            before = before[-(self.longest - 1 - len(after)) :]
            asked.append({"prompt_token_ids": before + after})
            sizes.append(len(after))
        how = self._vllm.SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
        outputs = self._model.generate(asked, how, use_tqdm=False)
        return [_likelihood(one, size) for one, size in zip(outputs, sizes, strict=True)]

    def embed(self, texts: Sequence[str], pooling: Pooling, *, instruction: str = "") -> np.ndarray:
        raise DataError("a model through vLLM", "vectors are asked for", "backend: transformers")

    def _parameters(self, sampling: Sampling, key: str, sample: int) -> Any:
        return self._vllm.SamplingParams(
            max_tokens=sampling.max_tokens, temperature=sampling.temperature, top_p=sampling.top_p,
            top_k=sampling.top_k, logprobs=0, stop=list(sampling.stop), detokenize=bool(sampling.stop),
            seed=int(draw(sampling.seed, key, sample, 0) * 2**31),
        )  # fmt: skip

    def _answer(self, output: Any, stop: Sequence[str]) -> GeneratedText:
        """Its own text leaves out characters that are cut off at the end."""
        (one,) = output.outputs
        tokens = [token for token in one.token_ids if token != self.tokenizer.eos_token_id]
        text, stopped = cut_at_stop(self.tokenizer.decode(tokens, skip_special_tokens=True), stop)
        finish = "stop" if stopped or one.finish_reason == "stop" else "length"
        nats = -sum(float(at[token].logprob) for at, token in zip(one.logprobs, tokens, strict=False))
        return GeneratedText(text, finish, len(output.prompt_token_ids), len(tokens), tuple(tokens), nats)

    def _begun(self, prompt: str) -> str:
        """The prompt behind the token that a text of this model begins with."""
        begin = self.tokenizer.bos_token or self.tokenizer.eos_token or ""
        return prompt if prompt.startswith(begin) else begin + prompt

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]


def _likelihood(output: Any, size: int) -> TargetLoss:
    """The sum over the last `size` tokens of a prompt."""
    ids = output.prompt_token_ids
    places = range(len(ids) - size, len(ids))
    return TargetLoss(-sum(float(output.prompt_logprobs[place][ids[place]].logprob) for place in places), size)
