"""GeDi's decoding: exact over tables of which every number is known, and over a folder's model with its cache."""

from __future__ import annotations

import itertools

import pytest
import torch
from small_models import folder_of

from models import Llama
from models.guided import steered
from models.objectives.gedi import Gedi
from pipeline.errors import DataError, RecipeError
from stages.generate.codes import CodeModel, CodeReading
from stages.generate.endpoint import Endpoint
from stages.generate.folder import FolderLM
from stages.generate.generate import Generate
from stages.generate.guide import Difference, GediGuide, Opened, Steering
from stages.generate.lm import Sampling
from stages.generate.posterior import Posterior
from stages.read.read import Read
from stages.tokens.classes import Classes
from stages.tokens.pack_samples import PackSamples
from stages.tokens.tokenizer import Tokenizer
from stages.training.pretrain import Pretrain

WORDS, PREFIXES = 6, list(itertools.product(range(6), repeat=3))
DOCS = Read(paths=("unread",))
EXACT = {"omega": 1.0, "rho": 1.0, "per": "none"}


def guide(**fields) -> GediGuide:
    return GediGuide(model=DOCS, wanted="<a>", against="<b>", **fields)


def tables() -> dict:
    """p(v | prefix, c) of two classes for every prefix of up to three tokens, fp64 `[c, v]`."""
    draw = torch.Generator().manual_seed(5)
    prefixes = [one for length in range(4) for one in itertools.product(range(WORDS), repeat=length)]
    return {
        one: torch.softmax(1.5 * torch.randn(2, WORDS, generator=draw, dtype=torch.float64), -1) for one in prefixes
    }


class Tables:
    """Reads every prefix of three tokens at once."""

    def __init__(self) -> None:
        self.known, self.length = tables(), -1

    def next(self, tokens):
        self.length += 1
        return torch.stack([self.known[one[: self.length]].log() for one in PREFIXES], 1)


def steps(one, *, alpha=1.0):
    """Of every length of the prefixes: what a guide makes of the exact mixture of both classes, the class's own law."""
    model, nothing = CodeModel(None, ("<a>", "<b>"), alpha), torch.zeros(2, len(PREFIXES), dtype=torch.float64)  # type: ignore[arg-type]
    rule, known = Steering(one, model, Tables(), nothing, [0] * len(PREFIXES)), tables()
    history = nothing.clone()
    for length in range(4):
        p_cbv = torch.stack([known[prefix[:length]] for prefix in PREFIXES], 1)
        mixed_bv = (torch.softmax(history, 0)[:, :, None] * p_cbv).sum(0)
        written = [list(prefix[:length]) for prefix in PREFIXES]
        yield mixed_bv, torch.softmax(rule(written, mixed_bv.log()), -1), p_cbv[0]
        if length < 3:
            tokens = torch.tensor([prefix[length] for prefix in PREFIXES])
            history = history + p_cbv.log().gather(-1, tokens[None, :, None].expand(2, -1, 1))[:, :, 0]


def test_the_posterior_of_exact_models_makes_the_mixture_the_class():
    for _, found, wanted in steps(guide(**EXACT)):
        assert float((wanted * (wanted / found).log()).sum(-1).max()) < 1e-12


def test_the_mean_over_tokens_is_not_bayes_and_needs_a_scale():
    far = [float((found - wanted).abs().max()) for _, found, wanted in steps(guide(**EXACT | {"per": "length"}))]
    assert far[0] < 1e-12, "of one token the mean is the sum"
    assert max(far[1:]) > 0.1
    # at each length the scale that undoes the mean brings the class back
    for length in (1, 2, 3):
        found, wanted = list(steps(guide(**EXACT | {"per": "length"}), alpha=length + 1.0))[length][1:]
        assert float((found - wanted).abs().max()) < 1e-12


def test_omega_of_nothing_changes_no_bit_and_more_of_it_moves_further():
    before = None
    for omega in (0.0, 0.5, 1.0, 4.0, 30.0):
        rule = guide(**EXACT | {"omega": omega})
        found = list(steps(rule))
        if not omega:
            logits = torch.randn(3, 9, dtype=torch.float64)
            assert torch.equal(steered(logits, torch.rand(3, 9).double().log(), omega=0.0), logits)
        held = torch.stack([(after * torch.log(wanted / plain)).sum(-1) for plain, after, wanted in found])
        assert before is None or bool((held >= before - 1e-12).all()), "towards tokens that the class likes better"
        before = held


def test_the_fewest_tokens_of_the_highest_posterior_stay_and_all_above_tau():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
    logp = torch.tensor([[0.1, 0.9, 0.5, 0.85]], dtype=torch.float64).log()
    shares = torch.softmax(logits + logp, -1)[0]
    assert float(shares[1]) > 0.4
    kept = lambda **how: torch.isfinite(steered(logits, logp, omega=1.0, **how))[0].tolist()  # noqa: E731
    assert kept(rho=0.2) == [False, True, False, False]
    assert kept(rho=float(shares[1]) + 1e-6) == [False, True, False, True]
    assert kept(rho=0.2, tau=0.8) == [False, True, False, True]
    assert kept(rho=1.0) == [True] * 4
    # the likeliest token stays, though its posterior is the lowest
    assert torch.isfinite(steered(logits + torch.tensor([9.0, 0, 0, 0]), logp, omega=1.0, rho=1e-6))[0].tolist() == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> FolderLM:
    return FolderLM(folder_of(tmp_path_factory.mktemp("lm") / "model"), batch_rows=4)


PROMPTS = ["the cat", "a", "the dog sat on the log and the cat"]
WRITES = Sampling(temperature=1.0, max_tokens=6, seed=2)


def steering(lm, one) -> FolderLM:
    """The same model, steered by itself under two of its words."""
    codes = ("Ġcat", "Ġdog")
    opened = Opened(one, CodeModel(lm, codes, 2.0, (0.3, -0.3)), (0, 1))
    return FolderLM(lm.folder, batch_rows=lm.batch_rows, guide=opened)


def with_codes(cls=GediGuide, **fields):
    return cls(model=DOCS, wanted="Ġcat", against="Ġdog", **fields)


@pytest.mark.parametrize("after", ["prompt", "begin"])
def test_what_is_read_with_a_cache_is_what_is_read_anew(lm, after):
    model = CodeModel(lm, ("Ġcat", "Ġdog"))
    ids = [[0, *lm._ids(prompt)] for prompt in PROMPTS]
    codes = lm.tokenizer.convert_tokens_to_ids(list(model.codes))
    reading, written = CodeReading(lm, ids, codes), [[7, 11, 30], [8, 9, 10], [12, 13, 14]]
    history, counted = reading.of_prompts() if after == "begin" else reading.nothing()
    found = [reading.next([])] + [reading.next([one[t] for one in written]) for t in range(3)]
    for c, code in enumerate(codes):
        for b, (prompt, text) in enumerate(zip(ids, written, strict=True)):
            whole = [prompt[0], code, *prompt[1:], *text]
            with torch.no_grad():
                logp = torch.log_softmax(lm.causal(torch.tensor([whole])).logits[0].double(), -1)
            for t in range(4):
                torch.testing.assert_close(found[t][c, b], logp[len(prompt) + t], rtol=0, atol=1e-5)
            if after == "begin":
                sums = sum(float(logp[at, whole[at + 1]]) for at in range(1, len(prompt)))
                assert float(history[c, b]) == pytest.approx(sums, abs=1e-4)
                assert counted[b] == len(prompt) - 1


def test_a_guide_that_counts_for_nothing_writes_what_none_writes(lm):
    plain = lm.generate(PROMPTS, ["a", "b", "c"], WRITES)
    assert steering(lm, with_codes(omega=0.0, rho=1.0)).generate(PROMPTS, ["a", "b", "c"], WRITES) == plain
    assert steering(lm, with_codes(Difference, strength=0.0)).generate(PROMPTS, ["a", "b", "c"], WRITES) == plain
    moved = steering(lm, with_codes(omega=30.0)).generate(PROMPTS, ["a", "b", "c"], WRITES)
    assert moved != plain
    # whatever stands beside it in a batch
    assert steering(lm, with_codes(omega=30.0)).generate(PROMPTS[1:2], ["b"], WRITES) == moved[1:2]


def test_a_guide_of_another_vocabulary_is_named(lm, tmp_path):
    other = FolderLM(folder_of(tmp_path / "m"), batch_rows=2)
    other.tokenizer.add_tokens(["<new>"])
    opened = Opened(with_codes(), CodeModel(other, ("Ġcat", "Ġdog")), (0, 1))
    with pytest.raises(DataError, match="another vocabulary"):
        opened.check(lm)


def nodes():
    tokenizer = Tokenizer(docs=DOCS, specials=("<a>", "<b>"))
    sample = Classes(label="id", codes={"x": "<a>", "y": "<b>"})
    rows = PackSamples(docs=DOCS, tokenizer=tokenizer, sample=sample)
    judge = Pretrain(rows=rows, model=Llama("1m"), objective=Gedi(codes=("<a>", "<b>")), attend="document")
    return judge, Pretrain(rows=rows, model=Llama("1m"))


@pytest.mark.parametrize(("fields", "said"), [
    ({"guide": {"wanted": "<c>"}}, "wanted.*'<c>'.*one of <a>, <b>"),
    ({"guide": {"against": "<a>"}}, "against.*as in wanted"),
    ({"guide": {"model": nodes()[1]}}, "objective: gedi"),
    ({"model": Endpoint(url="http://127.0.0.1:1/v1", model="m")}, "guide.*an endpoint"),
    ({"backend": "vllm"}, "guide.*vllm"),
    ({"model": Pretrain(rows=PackSamples(docs=DOCS, tokenizer=Tokenizer(docs=DOCS), sample=Classes(
        label="id", codes={"x": "<a>", "y": "<b>"})), model=Llama("1m"))}, "another tokenizer"),
])  # fmt: skip
def test_what_no_guide_can_steer_is_named_before_a_run(fields, said):
    judge, writer = nodes()
    one = GediGuide(**{"model": judge, "wanted": "<a>", "against": "<b>", **fields.pop("guide", {})})
    with pytest.raises(RecipeError, match=said):
        Generate(**{"docs": DOCS, "model": writer, "prompt": "{text}", "guide": one, **fields}).check()


def test_a_posterior_asks_for_a_model_with_codes():
    judge, writer = nodes()
    with pytest.raises(RecipeError, match="without codes"):
        Posterior(docs=DOCS, model=writer, wanted="<a>").check()
    with pytest.raises(RecipeError, match="'<c>'"):
        Posterior(docs=DOCS, model=judge, wanted="<c>").check()
