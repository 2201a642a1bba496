"""The endpoint backend against a real local server: answers, keys, retries, and everything a server can do wrong."""

from __future__ import annotations

import numpy as np
import pytest
from server import serving

from stages.generate.endpoint import BadAnswer, Endpoint, EndpointFailed, EndpointLM
from stages.generate.lm import Sampling


def test_a_prompt_is_asked_as_the_interface_wants_it(monkeypatch) -> None:
    monkeypatch.setenv("SOME_KEY", "secret")
    with serving(lambda asked: asked["messages"][-1]["content"].upper()) as server:
        lm = EndpointLM(Endpoint(url=server.url, model="m", key_variable="SOME_KEY", system="Be brief."))
        answers = lm.generate(["one two", "three"], ["a", "b"], Sampling(samples=2, stop=("X",), seed=7, top_k=5))
    assert [[a.text for a in of] for of in answers] == [["ONE TWO"] * 2, ["THREE"] * 2]
    assert (answers[0][0].finish, answers[0][0].prompt_tokens, answers[0][0].tokens) == ("stop", 2, 3)
    first = server.asked[0]
    assert first["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (first["model"], first["n"], first["seed"], first["stop"], first["top_k"]) == ("m", 2, 7, ["X"], 5)
    assert first["_key"] == "Bearer secret"
    assert first["_path"] == "/v1/chat/completions"


def test_what_passes_is_tried_again_and_what_a_server_asks_for_is_waited() -> None:
    with serving() as server:
        server.mishaps += [429, 503]
        lm = EndpointLM(Endpoint(url=server.url, model="m"))
        assert lm.generate(["p"], ["a"], Sampling())[0][0].text == "yes"
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("mishaps", "tries", "error", "words"),
    [
        ([429] * 3, 3, EndpointFailed, "HTTP 429 in 3 tries"),
        ([401], 3, EndpointFailed, "export OPENAI_API_KEY"),
        (["garbage"], 3, BadAnswer, "not today"),
        (["odd"], 3, BadAnswer, "an older interface"),
        (["hang"], 1, EndpointFailed, "no answer in 1 tries"),
    ],
)
def test_what_does_not_pass_is_a_named_error(mishaps, tries, error, words) -> None:
    with serving() as server:
        server.mishaps += mishaps
        lm = EndpointLM(Endpoint(url=server.url, model="m", tries=tries, timeout=0.5))
        with pytest.raises(error, match=words):
            lm.generate(["p"], ["a"], Sampling())


def test_a_budget_of_tokens_ends_the_asking() -> None:
    """The server counts two tokens for such a prompt and three for each answer."""
    with serving() as server:
        lm = EndpointLM(Endpoint(url=server.url, model="m"), budget=14)
        lm.generate(["one two"] * 2, ["a", "b"], Sampling())
        assert lm.used == 10
        lm.generate(["one two"], ["c"], Sampling())
        with pytest.raises(EndpointFailed, match="15 tokens are used; expected fewer than the 14"):
            lm.generate(["one two"], ["d"], Sampling())
        assert len(server.asked) == 3
        server.mishaps.append({"choices": [{"message": {"content": "yes"}}]})
        with pytest.raises(EndpointFailed, match="do not say how many tokens"):
            EndpointLM(lm.endpoint, budget=14).generate(["one two"], ["e"], Sampling())
        assert EndpointLM(lm.endpoint).generate(["one two"], ["e"], Sampling())[0][0].text == "yes"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("\ud83d\ude00 whole", "\U0001f600 whole"),
        ("", ""),
    ],
)
def test_an_answer_without_a_text_is_empty_and_every_text_can_be_stored(content, text) -> None:
    with serving() as server:
        server.mishaps.append(
            {
                "choices": [{"message": {"content": content}}],
                "usage": {"prompt_tokens": None, "completion_tokens": None},
            }
        )
        (answers,) = EndpointLM(Endpoint(url=server.url, model="m")).generate(["p"], ["a"], Sampling())
    assert [answer.text for answer in answers] == [text]
    assert answers[0].text.encode() == text.encode()


def test_a_server_that_is_not_there_is_named() -> None:
    with serving() as server:
        url = server.url
    with pytest.raises(EndpointFailed, match=url):
        EndpointLM(Endpoint(url=url, model="m", tries=2)).generate(["p"], ["a"], Sampling())


def test_vectors_come_in_the_order_of_the_texts() -> None:
    with serving() as server:
        vectors = EndpointLM(Endpoint(url=server.url, model="m")).embed(["a", "bbb", "aa"], "mean")
    assert np.array_equal(vectors, np.array([[1, 1], [3, 0], [2, 2]], np.float32))


def test_a_key_in_the_url_is_refused() -> None:
    with pytest.raises(ValueError, match="key_variable"):
        Endpoint(url="https://user:key@host/v1", model="m")
