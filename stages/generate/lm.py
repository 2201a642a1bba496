"""The requests of a node to a language model, whichever library or server answers: generate, likelihood, vectors.

A backend is opened once per worker and holds its model. Every answer hangs on the request alone, never on what else
stands in the batch or on when it was asked: a draw is keyed by (seed, key of the request, number of the sample). An
endpoint cannot promise even that, so the nodes that use one are not deterministic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from pipeline.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from models.generate import Rule

Pooling = Literal["mean", "weighted", "last", "first", "echo", "static"]
Prompt = str | Sequence[int]  # a text; or tokens of the model, to go on from as they are


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How answers are drawn.

    - `samples`: answers to each prompt.
    - `max_tokens`: of one answer.
    - `temperature`: 0 takes the likeliest token each time.
    - `top_p`: draw from the likeliest tokens that together have this probability.
    - `top_k`: and from so many of them at most; 0 for no limit.
    - `stop`: texts that end an answer; they are not part of it.
    - `seed`: of every draw.
    """

    samples: int = 1
    max_tokens: int = 128
    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        if self.samples < 1 or self.max_tokens < 1:
            raise ValueError(f"samples, max_tokens: found {self.samples}, {self.max_tokens}, expected at least 1 each")
        if self.temperature < 0.0:
            raise ValueError(f"temperature: found {self.temperature!r}, expected a number of 0 and more")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p: found {self.top_p!r}, expected a probability above 0")
        if self.top_k < 0:
            raise ValueError(f"top_k: found {self.top_k!r}, expected a number of tokens, or 0")


@dataclass(frozen=True)
class GeneratedText:
    """One answer to one prompt.

    text           without the prompt, and without the stop text that ended it
    finish         `stop` (the model ended it, or a stop text did) or `length` (`max_tokens`)
    prompt_tokens  tokens of the prompt, as the backend counts them
    tokens         tokens of the answer
    ids            those tokens, without the one that ended the answer, to go on from; a server does not tell them
    nats           their negative log-likelihood under the model itself, however they were drawn; null where a server
                   does not tell it. Its last bits hang on the batch, so that equal answers may differ in it
    """

    text: str
    finish: Literal["stop", "length"]
    prompt_tokens: int
    tokens: int
    ids: tuple[int, ...] = ()
    nats: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TargetLoss:
    """The likelihood of a target after a prompt: negative log-likelihood [nats], and the target's tokens."""

    nats: float
    tokens: int


class LM(Protocol):
    """A language model that is loaded, or an endpoint that answers."""

    def generate(self, prompts: Sequence[Prompt], keys: Sequence[str], sampling: Sampling) -> list[list[GeneratedText]]:
        """`sampling.samples` answers to every prompt; `keys` name the requests, one for each prompt. A text is put
        behind the token that texts of the model begin with; tokens are gone on from as they are.
        """
        ...

    def turn(self, text: str) -> Prompt:
        """The prompt of a user's message in the model's own chat format."""
        ...

    def nll(self, prompts: Sequence[str], targets: Sequence[str], *, ends: bool = False) -> list[TargetLoss]:
        """The likelihood of every target behind its prompt, which may be empty; with `ends` also that the text ends
        there.
        """
        ...

    def embed(self, texts: Sequence[str], pooling: Pooling, *, instruction: str = "") -> np.ndarray:
        """float32 `[texts, width]`: one vector of every text, as the pooling makes it of its tokens' last states, or
        (`static`) the mean of their input embeddings. The `instruction` stands before each text, and is not pooled.
        """
        ...


class OpenGuide(Protocol):
    """What steers a model that writes, with its own model loaded (`stages.generate.guide`)."""

    def over(self, prompts: Sequence[Sequence[int]]) -> Rule:
        """A rule for the answers to these prompts, given as ids. It is asked for one token after another."""
        ...


def draw(seed: int, key: str, sample: int, place: int) -> float:
    """A number in [0, 1) for the token at a place of an answer."""
    name = f"lm/{seed}/{key}/{sample}/{place}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big") / 2**64


def prompt_room(place: str, longest: int, sampling: Sampling) -> int:
    """How many tokens a prompt may have before an answer. Raises DataError where answers leave none."""
    if sampling.max_tokens >= longest:
        found = f"{sampling.max_tokens} tokens of an answer from a model that sees {longest} at once"
        raise DataError(place, found, "fewer in `max_tokens`, so that a prompt has room")
    return longest - sampling.max_tokens


def cut_at_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """The text before the first of the stop texts in it, and whether there was one."""
    places = [place for place in (text.find(one) for one in stop) if place >= 0]
    return (text[: min(places)], True) if places else (text, False)


def prompt_digest(prompt: str) -> str:
    """SHA-256 of a prompt, 64 hex digits: it names a prompt without a copy of it in every row."""
    return hashlib.sha256(prompt.encode()).hexdigest()
