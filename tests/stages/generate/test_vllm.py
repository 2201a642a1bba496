"""vLLM against transformers over the same folder. It pins versions of torch and transformers that are not those of the
development environment, so this runs where someone has put vLLM beside the project; else it is skipped.
"""

from __future__ import annotations

import psutil
import pytest
from small_models import folder_of

from pipeline.contract import Node
from pipeline.errors import RecipeError, UserError
from stages.generate.endpoint import Endpoint
from stages.generate.folder import FolderLM
from stages.generate.generate import Generate
from stages.generate.lm import Sampling
from stages.generate.model_folder import ModelFolder
from stages.generate.vllm_folder import VllmLM

PROMPTS = ["the cat", "a", "the dog sat on the log and the cat sat on", "", "the cat sat on the mat 1 and the dog"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("lm") / "model", hidden=64)  # heads of 32: the least that vLLM takes


@pytest.fixture(scope="module")
def lm(folder):
    pytest.importorskip("vllm", reason="vLLM pins other versions of torch and transformers than this environment has")
    return VllmLM(folder, batch_rows=4)


def test_greedy_answers_and_likelihoods_are_those_of_transformers(folder, lm) -> None:
    other = FolderLM(folder, batch_rows=2)
    for most in (8, 12):  # an answer may be cut off in the middle of a character
        how = Sampling(temperature=0.0, max_tokens=most)
        answers = lm.generate(PROMPTS, PROMPTS, how)
        assert answers == other.generate(PROMPTS, PROMPTS, how)
    letter = next(letter for letter in answers[0][0].text[3:] if letter.isascii())
    how = Sampling(temperature=0.0, max_tokens=12, stop=(letter,))
    stopped = lm.generate(PROMPTS, PROMPTS, how)
    assert stopped == other.generate(PROMPTS, PROMPTS, how)
    assert stopped[0][0].finish == "stop"
    pairs = (["the cat", "", "x"], [" sat on the mat", "a dog", ""])
    for one, expected in zip(lm.nll(*pairs), other.nll(*pairs), strict=True):
        assert one.tokens == expected.tokens
        assert one.nats == pytest.approx(expected.nats, rel=1e-3)


def test_a_killed_worker_would_leave_no_process_of_its_engine(lm) -> None:
    assert [child.name() for child in psutil.Process().children(recursive=True) if "VLLM" in child.name()] == []


def test_samples_of_one_prompt_are_drawn_apart(lm) -> None:
    answers = lm.generate(PROMPTS[:1], ["k"], Sampling(samples=3, temperature=1.0, max_tokens=8))[0]
    assert len({answer.text for answer in answers}) == 3


def test_without_vllm_the_extra_is_named(folder, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "vllm", None)
    with pytest.raises(UserError, match=r"vllm is not installed; expected the extra `vllm`"):
        VllmLM(folder, batch_rows=4)


def test_a_backend_is_chosen_by_the_node_and_promises_nothing() -> None:
    docs, model = Node(), ModelFolder(paths=("model",))
    asked = Generate(docs=docs, model=model, prompt="{text}", backend="vllm")
    assert not asked.deterministic
    assert Generate(docs=docs, model=model, prompt="{text}").deterministic
    server = Endpoint(url="http://127.0.0.1:1/v1", model="m")
    with pytest.raises(RecipeError, match="a vLLM server is an endpoint"):
        Generate(docs=docs, model=server, prompt="{text}", backend="vllm").check()
