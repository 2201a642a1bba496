"""Pairs and their critics on real files: what is made, what stays, and against other people's arithmetic."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter

import networkx
import numpy as np
import pytest

from pipeline.errors import NodeFailed, RecipeError
from recipes.worlds import grammar
from siftloom import Pipeline
from stages.distillation.critics import Critics, agreement
from stages.distillation.diverse import Diverse, components
from stages.distillation.entail import Entail
from stages.distillation.pairs import Pairs
from stages.distillation.rouge import rouge_l, words
from stages.generate.model_folder import ModelFolder
from stages.read.read import Read
from tests.stages.generate.small_models import folder_of

# behind 66 contexts; the first one has 11, so that a batch of 1,024 ends within a context
SENTENCES = list(itertools.islice(grammar.rows(), 5, 66 * 16))
JUDGE = "recipes.worlds.grammar:entails"


def read(folder, rows, keep) -> Read:
    folder.mkdir()
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Read(paths=(f"{folder}/docs.jsonl",), keep=keep)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Read:
    return read(tmp_path_factory.mktemp("written") / "in", SENTENCES, ("context:string",))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def rows_of(node, store, *columns: str) -> list[dict]:
    """The rows that a node keeps."""
    run = Pipeline([node], name="distil", store=str(store)).run(here=True, progress=False)
    return run[node].rows(list(columns)).to_pylist()


PAIR = ("id", "context", "x", "text")


def test_pairs_are_all_those_of_a_group_and_of_no_two(written, store):
    made = rows_of(Pairs(docs=written, by="context", carry=("context",)), store, *PAIR)
    texts: dict[str, set[str]] = {}
    for row in SENTENCES:
        texts.setdefault(row["context"], set()).add(row["text"])
    wanted = {(place, frozenset(pair)) for place, of in texts.items() for pair in itertools.combinations(of, 2)}
    found = Counter((row["context"], frozenset((row["x"], row["text"]))) for row in made)
    assert found == Counter(wanted)
    assert len({row["id"] for row in made}) == len(made)
    forward = sum(row["x"] < row["text"] for row in made) / len(made)
    assert 0.45 < forward < 0.55  # either text may be x
    few = rows_of(Pairs(docs=written, by="context", carry=("context",), most=20), store, *PAIR)
    assert {(row["context"], row["x"], row["text"]) for row in few} < {
        (row["context"], row["x"], row["text"]) for row in made
    }
    counts = [sum(1 for _ in of) for _, of in itertools.groupby(few, key=lambda row: row["context"])]
    assert counts == [min(20, len(of) * (len(of) - 1) // 2) for of in texts.values()]


def test_rouge_is_that_of_the_library():
    from rouge_score.rouge_scorer import RougeScorer  # imports nltk, which each process of `pytest -n` would collect

    scorer = RougeScorer(["rougeL"])
    draw = random.Random(1)
    for _ in range(300):
        one, other = (" ".join(draw.choices("a b c d e f, G-h 12".split(), k=draw.randint(0, 12))) for _ in range(2))
        assert rouge_l(words(one), words(other)) == pytest.approx(
            scorer.score(one, other)["rougeL"].fmeasure, abs=1e-12
        )


def test_numbers_of_both_sides_count():
    assert [agreement(*pair) for pair in (("3 of 4", "4 and 3"), ("3 of 4", "4"), ("4", "3 of 4"), ("1,5", "1.5"))] == [
        "equal", "kept", "other", "other"
    ]  # fmt: skip


def test_critics_commute(written, store):
    pairs = Pairs(docs=written, by="context", carry=("context",))
    off = {"min_ratio": None, "max_ratio": None, "max_rouge": None, "numbers": "any"}
    rules = ({"max_ratio": 1.2}, {"max_rouge": 0.6}, {"numbers": "equal"})

    def kept(node) -> set[str]:
        return {row["id"] for row in rows_of(node, store, "id")}

    together = kept(Critics(docs=pairs, **off | rules[0] | rules[1] | rules[2]))
    assert 0 < len(together) < len(kept(pairs)) / 2
    for order in itertools.permutations(rules):
        node = pairs
        for number, rule in enumerate(order):
            node = Critics(docs=node, as_=f"pair_{number}", **off | rule)
        assert kept(node) == together
    judged_first = Critics(docs=Entail(docs=pairs, fn=JUDGE), **off | rules[2])
    judged_last = Entail(docs=Critics(docs=pairs, **off | rules[2]), fn=JUDGE)
    assert kept(judged_first) == kept(judged_last)


def chance(seed: int):
    """A judge that draws its verdicts: a third of all, by the two texts."""

    def judge(premises, hypotheses):
        sure = [random.Random(f"{seed} {pair}").random() for pair in zip(premises, hypotheses, strict=True)]
        return np.array(sure, np.float32) ** 8

    return judge


@pytest.mark.parametrize("seed", range(30))
def test_components_are_those_of_the_graph(seed):
    draw, judge = random.Random(seed), chance(seed)
    pairs = [(f"x{draw.randrange(9)}", f"y{draw.randrange(9)}") for _ in range(draw.randint(1, 14))]
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(pairs)))
    for one, other in itertools.permutations(range(len(pairs)), 2):
        if any(judge([pairs[one][side]], [pairs[other][side]])[0] >= np.float32(0.75) for side in (0, 1)):
            graph.add_edge(one, other)
    found = components([x for x, _ in pairs], [y for _, y in pairs], judge, 0.75)
    alike = {frozenset(at for at, number in enumerate(found) if number == each) for each in found}
    assert alike == {frozenset(each) for each in networkx.connected_components(graph)}
    assert list(dict.fromkeys(found)) == list(range(max(found) + 1))


def test_of_each_component_the_surest_pair_stays(written, store):
    judged = Entail(docs=Critics(docs=Pairs(docs=written, by="context", carry=("context",))), fn=JUDGE)
    names = (*PAIR, "entail_forward", "entail_backward")
    pairs = rows_of(judged, store, *names)
    assert all(min(row["entail_forward"], row["entail_backward"]) >= 0.75 for row in pairs)
    wanted: list[str] = []
    for _, group in itertools.groupby(pairs, key=lambda row: row["context"]):
        rows = list(group)
        found = components([row["x"] for row in rows], [row["text"] for row in rows], grammar.entails, 0.75)
        for number in range(max(found) + 1):
            of = [row for row, component in zip(rows, found, strict=True) if component == number]
            wanted.append(max(of, key=lambda row: row["entail_forward"] + row["entail_backward"])["id"])
    kept = rows_of(Diverse(docs=judged, by="context", fn=JUDGE), store, "id")
    assert [row["id"] for row in kept] == [row["id"] for row in pairs if row["id"] in set(wanted)]
    assert 0 < len(kept) < len(pairs) / 2
    same = [grammar.meaning(row["x"]) == grammar.meaning(row["text"]) for row in pairs]
    assert sum(same) / len(same) > 0.95


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A small model with a head for pairs, whose label of entailment is neither first nor in small letters."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = folder_of(tmp_path_factory.mktemp("model") / "causal")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    torch.manual_seed(0)
    labels = {0: "NEUTRAL", 1: "CONTRADICTION", 2: "ENTAILMENT"}
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3, id2label=labels)
    model.config.pad_token_id = tokenizer.pad_token_id
    for part in (model, tokenizer):
        part.save_pretrained(folder.parent / "head")
    return folder.parent / "head"


def test_a_model_judges_as_it_does_by_itself(written, store, head):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(head)
    model = AutoModelForSequenceClassification.from_pretrained(head).eval()
    pairs = Pairs(docs=written, by="context", carry=("context",), most=2)
    folder = ModelFolder(paths=(f"{head}/*",))
    judged = Entail(docs=pairs, model=folder, min_entail=0.0, batch_rows=7)
    found = rows_of(judged, store, "x", "text", "entail_forward", "entail_backward")
    assert len(found) == 132
    for row in found[:10]:
        for name, pair in (("entail_forward", ("x", "text")), ("entail_backward", ("text", "x"))):
            with torch.no_grad():
                logits = model(**tokenizer(*(row[side] for side in pair), return_tensors="pt")).logits[0]
            assert row[name] == pytest.approx(float(logits.softmax(-1)[2]), abs=1e-5)
    one_way = Entail(docs=pairs, model=folder, both=False, min_entail=0.0, batch_rows=7)
    summaries = rows_of(one_way, store, "entail_forward")
    assert [row["entail_forward"] for row in summaries] == [row["entail_forward"] for row in found]
    assert len(rows_of(Diverse(docs=judged, by="context", model=folder, min_entail=1.0), store, "id")) == 132


def test_what_cannot_be_used_is_named(written, store, head, tmp_path):
    pairs = Pairs(docs=written, by="context", most=2)
    for node, words_ in (
        (Pairs(docs=written), "no column 'prompt'"),
        (Pairs(docs=written, by="context", carry=("x",)), "pairs.carry: 'x'"),
        (Critics(docs=written), "'x' of type none"),
        (Entail(docs=pairs), "neither"),
        (Entail(docs=pairs, fn="judge"), "package.module:function"),
        (Diverse(docs=pairs, by="x", fn=JUDGE), "no column 'entail_forward'"),
        (Diverse(docs=Entail(docs=pairs, fn=JUDGE), by="context", fn=JUDGE), "no column 'context'.*pairs: carry"),
    ):
        with pytest.raises(RecipeError, match=words_):
            node.check()
    settings = json.loads((head / "config.json").read_text())
    settings["id2label"] = {"0": "yes", "1": "no", "2": "perhaps"}
    for path in head.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(
        NodeFailed, match=r"the labels 'yes', 'no', 'perhaps'; expected 'entailment' among them.*id2label"
    ):
        rows_of(Entail(docs=pairs, model=ModelFolder(paths=(f"{tmp_path}/*",))), store, "id")
    with pytest.raises(NodeFailed, match="a function that every worker can import"):
        rows_of(Entail(docs=pairs, fn="recipes.worlds.grammar:judges"), store, "id")
