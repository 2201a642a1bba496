"""What is pooled of a text, against transformers and, where it is installed, sentence-transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_models import folder_of
from transformers import AutoModel

from pipeline.errors import RecipeError
from stages.generate.embed import Embed
from stages.generate.endpoint import Endpoint
from stages.generate.folder import FolderLM
from stages.generate.pooled import padded, pool, seen_texts
from stages.read.read import Read

TEXTS = ["the cat sat on the mat", "a", "the dog and the cat sat on the small mat of words"]
DOCS = Read(paths=("unread",))


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> FolderLM:
    return FolderLM(folder_of(tmp_path_factory.mktemp("lm") / "model"), batch_rows=3)


def states(lm, ids):
    with torch.no_grad():
        return AutoModel.from_pretrained(lm.folder)(input_ids=torch.tensor([ids])).last_hidden_state[0]


def unit(vector):
    return torch.nn.functional.normalize(vector, dim=0).numpy()


def test_echo_pools_the_second_copy_alone_whose_states_have_seen_the_whole_text(lm):
    found = lm.embed(TEXTS, "echo")
    for text, vector in zip(TEXTS, found, strict=True):
        ids = lm._ids(text)
        np.testing.assert_allclose(vector, unit(states(lm, ids + ids)[len(ids) :].mean(0)), atol=2e-6)
    plain = lm.embed(TEXTS, "mean")
    assert np.abs(found - plain).max() > 0.01


def test_an_instruction_is_seen_and_not_pooled_though_its_last_letters_would_merge_with_the_text(lm):
    # "the c" + "at": tokenised in one the border lies inside of a token
    assert len(lm._ids("the c")) + len(lm._ids("at the")) != len(lm._ids("the cat the"))
    [found] = lm.embed(["at the"], "mean", instruction="the c")
    told, ids = lm._ids("the c"), lm._ids("at the")
    np.testing.assert_allclose(found, unit(states(lm, told + ids)[len(told) :].mean(0)), atol=2e-6)
    [again] = lm.embed(["at the"], "echo", instruction="the c")
    np.testing.assert_allclose(again, unit(states(lm, told + ids + ids)[len(told + ids) :].mean(0)), atol=2e-6)


def test_weights_rise_with_the_place(lm):
    [found] = lm.embed(TEXTS[:1], "weighted")
    held = states(lm, lm._ids(TEXTS[0]))
    weights = torch.arange(1, len(held) + 1).float()[:, None]
    np.testing.assert_allclose(found, unit((held * weights).sum(0) / weights.sum()), atol=2e-6)


@pytest.mark.parametrize("pooling", ["mean", "weighted", "last", "first", "echo"])
def test_company_and_padding_change_no_vector(lm, pooling):
    together = lm.embed(TEXTS, pooling)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(lm.embed([text], pooling)[0], vector, atol=1e-5)
    # filling on the left, in the middle of which nobody looks, pools the same
    x, mask = torch.randn(1, 7, 4), torch.tensor([[0, 0, 1, 1, 1, 0, 0]])
    torch.testing.assert_close(pool(x, mask, pooling), pool(x[:, 2:5], mask[:, 2:5], pooling))


def test_a_long_text_is_cut_so_that_both_copies_fit(lm):
    [seen] = seen_texts(lm.tokenizer, ["the cat " * 200], 64, instruction="a", twice=True)
    assert len(seen.ids) <= 64
    middle = (seen.end - seen.first, len(lm._ids("a")))
    assert seen.ids[middle[1] : seen.first] == seen.ids[seen.first : seen.end]
    ids, mask, pooled = padded([seen], 0, "cpu")
    assert int(mask.sum()) == len(seen.ids) == ids.shape[1]
    assert int(pooled.sum()) == middle[0]


@pytest.mark.parametrize(("ours", "theirs"), [("mean", "mean"), ("weighted", "weightedmean"), ("last", "lasttoken")])
def test_sentence_transformers_pools_the_same(lm, ours, theirs):
    library = pytest.importorskip("sentence_transformers", reason="the extra library of this check alone")
    made = library.models.Transformer(str(lm.folder))
    made.tokenizer.pad_token = "<end>"
    how = library.models.Pooling(32, pooling_mode=theirs)
    found = library.SentenceTransformer(modules=[made, how], device="cpu").encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(lm.embed(TEXTS, ours), found, atol=2e-6)


def test_what_no_server_knows_is_named_before_a_run():
    served = {"docs": DOCS, "model": Endpoint(url="http://127.0.0.1:1/v1", model="m"), "width": 4}
    with pytest.raises(RecipeError, match="an instruction, which its server"):
        Embed(**served, instruction="Find: ").check()
    with pytest.raises(RecipeError, match="pooling: echo"):
        Embed(**served, pooling="echo").check()
    with pytest.raises(RecipeError, match=r"embed\.template"):
        Embed(**served, template="{title}").check()
