"""A server with the OpenAI interface (vLLM, llama.cpp, SGLang, a hosted model): `POST /v1/chat/completions`.

Retries are urllib3's: connection errors, time-outs, 408, 429 and 5xx, with exponential waits or the server's own
`Retry-After`, up to `tries` in all. The key comes from an environment variable of the worker, so no recipe, record or
error holds it, and `~/.netrc` is not asked. A server may repeat what it was sent: its words are masked, and at most 200
characters of them are shown. A redirect within its origin is followed; to elsewhere nothing is sent.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from models.fields import Typed
from pipeline.errors import DataError, UserError
from pipeline.files.secrets import masked, take
from pipeline.safe_text import quoted
from stages.generate.lm import GeneratedText, Pooling, Prompt, Sampling, TargetLoss

if TYPE_CHECKING:
    import numpy as np

RETRIED = (408, 409, 429, 500, 502, 503, 504)
REFUSALS = (400, 413, 422)
REDIRECTS = 5  # of one request, within its origin
LARGEST = 256 << 20  # bytes of one answer
LONGEST_WAIT = 60  # seconds that a Retry-After or a back-off may ask for


@dataclass(frozen=True, kw_only=True)
class Endpoint(metaclass=Typed):
    """The address of a server, and how to ask it.

    - `url`: up to the version, such as `http://127.0.0.1:8000/v1`.
    - `model`: the name that the server knows it by.
    - `key_variable`: environment variable with the key; the server may need none.
    - `timeout`: seconds for one answer.
    - `tries`: of one request, the first included.
    - `system`: a system message before every prompt.
    """

    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    timeout: float = 120.0
    tries: int = 6
    system: str = ""

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url: found {self.url!r}, expected http://HOST:PORT/v1 or https://...")
        if "@" in self.url.partition("://")[2].partition("/")[0]:
            raise ValueError("url: found a user or a key in it, expected the key in the variable of `key_variable`")
        if self.tries < 1 or not self.timeout > 0:
            raise ValueError(f"tries, timeout: found {self.tries}, {self.timeout}, expected at least 1, and seconds")
        if not self.key_variable.isprintable():
            raise ValueError(f"key_variable: found {self.key_variable!r}, expected the name of a variable")
        take(os.environ.get(self.key_variable, ""))  # in the driver, too: it shows what workers say


class EndpointFailed(UserError):
    """The server did not answer, or refused, however often it was asked."""


class Refused(DataError):
    """The server refused this one request (HTTP 400, 413, 422): too long, or with a field that it does not take."""


class BadAnswer(DataError):
    """The server answered with something that is not an answer."""


class EndpointLM:
    """`LM` over HTTP; one session with its own connections. Safe to use from several threads.

    `budget`: tokens, of prompts and answers, after which it asks no more and raises EndpointFailed. Requests that are
    in flight by then go over it.
    """

    def __init__(self, endpoint: Endpoint, budget: int | None = None) -> None:
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.util.retry import Retry

        self.endpoint, self.budget, self.used = endpoint, budget, 0
        self._lock = threading.Lock()
        retry = Retry(
            total=endpoint.tries - 1, status_forcelist=RETRIED, allowed_methods=None, backoff_factor=0.5,
            backoff_max=LONGEST_WAIT, retry_after_max=LONGEST_WAIT, raise_on_status=False,
        )  # fmt: skip
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=64))
        self._key = take(os.environ.get(endpoint.key_variable, ""))
        self._session.auth = self._sign  # else requests looks into ~/.netrc

    def turn(self, text: str) -> Prompt:
        """The text: a chat server lays out the message itself."""
        return text

    def generate(self, prompts: Sequence[Prompt], keys: Sequence[str], sampling: Sampling) -> list[list[GeneratedText]]:
        """One request for each prompt. Raises EndpointFailed and BadAnswer."""
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        if len(texts) < len(prompts):
            raise EndpointFailed(self._place(), "tokens to go on from", "a text", "a model that is loaded here")
        return [self._chat(prompt, sampling) for prompt in texts]

    def nll(self, prompts: Sequence[str], targets: Sequence[str], *, ends: bool = False) -> list[TargetLoss]:
        """Raises EndpointFailed: chat servers do not tell the likelihood of a given text."""
        raise EndpointFailed(self._place(), "a chat server tells no likelihoods", "a model that is loaded here")

    def embed(self, texts: Sequence[str], pooling: Pooling, *, instruction: str = "") -> np.ndarray:
        """float32 `[texts, width]` from `POST /v1/embeddings`; the pooling is the server's own."""
        import numpy as np

        answer = self._post("embeddings", {"model": self.endpoint.model, "input": list(texts)})
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = np.array([row["embedding"] for row in rows], np.float32)
            if vectors.ndim != 2 or len(vectors) != len(texts):
                raise ValueError(f"{len(rows)} vectors for {len(texts)} texts")
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(
                self._place(), f"{quoted(json.dumps(answer))} ({type(error).__name__})", "one vector for each text"
            ) from None
        return vectors

    def _chat(self, prompt: str, sampling: Sampling) -> list[GeneratedText]:
        messages = [{"role": "user", "content": prompt}]
        if self.endpoint.system:
            messages.insert(0, {"role": "system", "content": self.endpoint.system})
        asked: dict[str, Any] = {
            "model": self.endpoint.model, "messages": messages, "n": sampling.samples, "seed": sampling.seed,
            "max_tokens": sampling.max_tokens, "temperature": sampling.temperature, "top_p": sampling.top_p,
        }  # fmt: skip
        if sampling.stop:
            asked["stop"] = list(sampling.stop)
        if sampling.top_k:
            asked["top_k"] = sampling.top_k
        self._require_budget()
        answer = self._post("chat/completions", asked)
        try:
            usage = answer.get("usage") or {}
            texts = [(_text(choice["message"]["content"]), choice.get("finish_reason")) for choice in answer["choices"]]
            if len(texts) != sampling.samples:
                raise ValueError(f"{len(texts)} of {sampling.samples} answers")
            seen, tokens = (int(usage.get(f"{part}_tokens") or 0) for part in ("prompt", "completion"))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadAnswer(
                self._place(), f"{quoted(json.dumps(answer))} ({type(error).__name__})", "choices with a message each"
            ) from None
        self._count(seen + tokens)
        # a server counts the tokens of all samples together
        return [
            GeneratedText(text, "length" if finish == "length" else "stop", seen, tokens // len(texts))
            for text, finish in texts
        ]

    def _require_budget(self) -> None:
        if self.budget is not None and self.used >= self.budget:
            raise EndpointFailed(
                self._place(), f"{self.used:,} tokens are used", f"fewer than the {self.budget:,} of `token_budget`",
                "siftloom run goes on with as many again; what is done is kept",
            )  # fmt: skip

    def _count(self, tokens: int) -> None:
        if self.budget is not None and not tokens:
            raise EndpointFailed(
                self._place(), "answers that do not say how many tokens they took (`usage`)",
                "a server that counts, where there is a `token_budget`", "leave token_budget out",
            )  # fmt: skip
        with self._lock:
            self.used += tokens

    def _sign(self, request: Any) -> Any:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        import requests

        url = f"{self.endpoint.url.rstrip('/')}/{path}"
        try:
            for _ in range(REDIRECTS):
                with self._session.post(
                    url, json=body, timeout=(10.0, self.endpoint.timeout), allow_redirects=False, stream=True
                ) as answer:
                    if not answer.is_redirect:
                        status, text = answer.status_code, self._whole(answer)
                        break
                    url = self._redirected(url, urljoin(url, answer.headers["location"]))
            else:
                raise EndpointFailed(self._place(), f"{REDIRECTS} redirects", "an answer")
        except (requests.RequestException, OSError) as error:
            raise EndpointFailed(
                self._place(), f"no answer in {self.endpoint.tries} tries ({type(error).__name__})",
                "a server that answers", "siftloom run, when it does",
            ) from None  # fmt: skip
        if status in REFUSALS:
            raise Refused(self._place(), f"HTTP {status}: {quoted(text)}", "a request that the server takes")
        if status != 200:
            then = f"export {self.endpoint.key_variable}=..." if status in (401, 403) else ""
            found = f"HTTP {status} in {self.endpoint.tries} tries: {quoted(text)}"
            raise EndpointFailed(self._place(), found, "HTTP 200", then or "siftloom run, when it answers")
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise BadAnswer(self._place(), f"no JSON: {quoted(text)}", "the OpenAI interface") from None

    def _whole(self, answer: Any) -> str:
        """The text of an answer, read within the time and size that one may take."""
        parts, size, until = [], 0, time.monotonic() + self.endpoint.timeout
        for part in answer.iter_content(65536):
            parts.append(part)
            size += len(part)
            if size > LARGEST or time.monotonic() > until:
                raise BadAnswer(
                    self._place(), f"{size:,} bytes after {self.endpoint.timeout:g} s at most, and no end",
                    f"an answer of at most {LARGEST:,} bytes in `timeout`",
                )  # fmt: skip
        return b"".join(parts).decode("utf-8", "replace")

    def _redirected(self, url: str, to: str) -> str:
        here, there = urlsplit(url), urlsplit(to)
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise EndpointFailed(
                self._place(), f"a redirect from {here.netloc} to {there.netloc}, where nothing was sent",
                "an answer of the server itself", "name the server that answers in `url`",
            )  # fmt: skip
        return to

    def _place(self) -> str:
        return f"endpoint {self.endpoint.url}"


def _text(content: str | None) -> str:
    """The text of an answer: none is empty, and halves of pairs, of which a server may send one, become U+FFFD."""
    return masked(content or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
