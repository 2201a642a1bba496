"""The published collators: what they show and ask for, in made rows and in runs that go on at a change of stage."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from models.build import build
from models.losses import IGNORE
from models.objectives.infill import Sentinels, restore
from models.presets import Llama
from pipeline.errors import RecipeError
from stages.read.read import Read
from stages.tokens.pack import Pack
from stages.tokens.packed_rows import PackedRows
from stages.tokens.tokenizer import END_OF_TEXT, Tokenizer
from stages.training.checkpoint import RESULT, Saver
from stages.training.collate import NEXT_TOKEN, Key, Rows
from stages.training.drive import training_of
from stages.training.feed import Feed
from stages.training.growing_vocabulary import GrowingVocabulary
from stages.training.infill import Infill
from stages.training.mask_tokens import MaskTokens
from stages.training.pretrain import Pretrain
from stages.training.row_source import RowSource
from stages.training.stage import Stage
from stages.training.worker import train
from tests.stages.local_context import LocalContext
from tests.stages.training.rows import changed, made_rows
from tests.stages.training.test_worker import TINY, assert_same_bits, at, finish, job, result, start

__all__ = ["job"]  # the fixture
KEY = Key(3, 7, 9)
MASK = 1
MARKS = {name: 100 + place for place, name in enumerate(Infill(most_spans=8).needs)}
SENTINELS = Sentinels(tuple(range(100, 108)), 0, 108, 109)


def rows_of(*lists, length, specials):
    """Rows of documents `[0, ..., 0]`, filled up."""
    ids, documents = np.zeros((2, len(lists), length + 1), np.int64)
    for row, pieces in enumerate(lists):
        flat = np.concatenate(pieces)
        ids[row, : len(flat)] = flat
        documents[row, : len(flat)] = np.repeat(np.arange(len(pieces)) + 1, [len(piece) for piece in pieces])
    numbers = np.arange(len(lists))
    return Rows(ids, documents, numbers, 0 * numbers, np.zeros(len(lists), np.float32), {}, False, 0, 200, specials)


def piece(rng, length):
    return np.concatenate([[0], rng.integers(10, 90, length), [0]])


def many(*, fill, count=100, length=160):
    """Rows of three documents each, of which `fill` places are filling."""
    rng = np.random.default_rng(0)
    cut = [rng.integers(30, 50), rng.integers(18, 40)]
    lists = [[piece(rng, n) for n in (*cut, length + 1 - fill - 6 - sum(cut))] for _ in range(count)]
    return rows_of(*lists, length=length, specials={"<|endoftext|>": 0, **MARKS})


def test_a_share_of_the_text_is_hidden_and_asked_for_where_it_stands():
    rows = many(fill=9, count=200)._replace(specials={"<|endoftext|>": 0, "<mask>": MASK, "<other>": 11})
    batch = MaskTokens(share=0.4).collate(rows, KEY)
    ids, shown, labels = rows.ids[:, :-1], batch.ids_bt.numpy(), batch.labels_bt.numpy()
    hidden = labels != IGNORE
    assert np.array_equal(shown, np.where(hidden, MASK, ids))
    assert np.array_equal(labels[hidden], ids[hidden])
    text = (rows.documents[:, :-1] > 0) & (ids != 0) & (ids != 11)
    assert not hidden[~text].any()
    assert hidden[text].mean() == pytest.approx(0.4, abs=0.01)
    assert batch.attention == "bidirectional"
    rows_hidden_again = MaskTokens(share=0.4).collate(rows, Key(3, 8, 9)).labels_bt.numpy() != IGNORE
    assert not np.array_equal(hidden, rows_hidden_again)


def test_a_hidden_token_is_asked_for_at_the_place_before_it_where_that_is_wanted():
    rows = many(fill=9)._replace(specials={"<|endoftext|>": 0, "<mask>": MASK})
    at, before = (MaskTokens(share=0.4, predict=where).collate(rows, KEY) for where in ("at", "before"))
    assert torch.equal(at.ids_bt, before.ids_bt)
    own, moved = at.labels_bt.numpy(), before.labels_bt.numpy()
    # a document begins with a token that is never hidden, so no label is lost
    assert np.array_equal(moved[:, :-1], own[:, 1:])
    assert (moved[:, -1] == IGNORE).all()
    # the tail of a cut document begins with a token of the text: its label would stand in another document
    tail = rows_of([[5, 6, 7], [8, 9, 5]], length=5, specials={"<mask>": MASK})
    whole = MaskTokens(share=0.999999, predict="before").collate(tail, KEY)
    assert whole.labels_bt[0].tolist() == [6, 7, IGNORE, 9, IGNORE]


def test_of_hidden_tokens_a_tenth_is_another_one_and_a_tenth_itself():
    specials = {"<|endoftext|>": 0, "<mask>": MASK}
    rows = many(fill=9, count=300)._replace(specials=specials)
    batch = MaskTokens(share=0.4, behind="mixed").collate(rows, KEY)
    plain = MaskTokens(share=0.4).collate(rows, KEY)
    assert torch.equal(batch.labels_bt, plain.labels_bt)
    hidden = batch.labels_bt != IGNORE
    shown, truth = batch.ids_bt[hidden], batch.labels_bt[hidden]
    assert float((shown == MASK).float().mean()) == pytest.approx(0.8, abs=0.01)
    assert float((shown == truth).float().mean()) == pytest.approx(0.1, abs=0.01)
    others = shown[(shown != MASK) & (shown != truth)]
    assert not set(others.tolist()) & set(specials.values())
    assert len(others.unique()) > 100
    assert torch.equal(batch.ids_bt[~hidden], plain.ids_bt[~hidden])


def test_what_is_hidden_in_a_row_hangs_on_no_other_row():
    rows = many(fill=9, count=4)._replace(specials={"<mask>": MASK})
    whole = MaskTokens().collate(rows, KEY).ids_bt
    half = rows._replace(**{name: getattr(rows, name)[2:] for name in ("ids", "documents", "numbers", "log_prior")})
    assert torch.equal(MaskTokens().collate(half, KEY).ids_bt, whole[2:])


@pytest.mark.long
@pytest.mark.parametrize("until", [0.5, 0.7])
def test_masks_after_next_tokens_resume_inside_and_at_the_border_to_the_same_bits(job, tmp_path, until):
    """Checkpoints are at 3, 6 and 9 of 12 steps: at the border 6, and inside both stages around the border 8."""
    rows = dataclasses.replace(made_rows(tmp_path / "special"), specials=(("<mask>", MASK),))
    stages = (Stage(until=until), Stage(until=1.0, collate=MaskTokens()))
    staged = changed(job, sources=(RowSource("rows", rows, 1.0),), schedule=stages)
    finish(start(staged, tmp_path / "two", 2))
    saver = Saver(str(tmp_path / "one"))
    train(at(staged, tmp_path / "one"), saver, 0, 1)
    whole = result(tmp_path / "one")
    assert_same_bits(whole, result(tmp_path / "two"))
    border = round(until * 12)
    assert max(whole["record"]["tokens"][border:]) < min(whole["record"]["tokens"][:border])
    for drop in (0, 1):  # from step 9, then from step 6
        saver.scratch.remove(RESULT)
        if drop:
            (tmp_path / "one" / saver.whole()[-1] / "checkpoint.json").unlink()
        train(at(staged, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
        assert result(tmp_path / "one")["resources"]["resumed_at"] == 9 - 3 * drop
        assert_same_bits(whole, result(tmp_path / "one"))


def test_infill_of_no_row_is_next_token_prediction_to_the_byte(job):
    plain, none = (
        Feed(changed(job, collate=collate), 0, 1, torch.device("cpu")).batch(2)
        for collate in (NEXT_TOKEN, Infill(share=0.0))
    )
    for one, other in zip(plain, none, strict=True):
        assert {n for n, v in vars(one).items() if v is None} == {n for n, v in vars(other).items() if v is None}
        assert all(torch.equal(v, vars(other)[n]) for n, v in vars(one).items() if isinstance(v, torch.Tensor))


@pytest.mark.parametrize("fill", [0, 4, 40])
def test_every_document_of_a_rearranged_row_is_the_beginning_of_its_own_text(fill):
    rows = many(fill=fill)
    infill = Infill(share=1.0, most_spans=8)
    batch = infill.collate(rows, KEY)
    changed = 0
    for row in range(len(rows.ids)):
        # the last id of a row is a label alone
        last = int(batch.labels_bt[row, -1])
        ids = np.append(batch.ids_bt[row].numpy(), last)
        numbers = np.append(batch.documents_bt[row].numpy(), 0 if last == IGNORE else batch.documents_bt[row, -1])
        for document in (1, 2, 3):
            old, new = rows.ids[row][rows.documents[row] == document], ids[numbers == document]
            text = new[1 : np.flatnonzero(new == 0)[-1]] if SENTINELS.separator in new else new[1:-1]
            back = restore(text, SENTINELS)
            assert np.array_equal(back, old[1 : 1 + len(back)])
            if SENTINELS.separator in new:
                changed += 1
                # every span is closed, and has its mark on both sides of the separator
                middle = int(np.flatnonzero(new == SENTINELS.separator)[0])
                marks = [[i for i in part.tolist() if 100 <= i < 108] for part in (new[:middle], new[middle:])]
                assert marks[0] == marks[1] == list(range(100, 100 + len(marks[0])))
                assert (new == SENTINELS.end_span).sum() == len(marks[0])
            else:
                assert len(back) == len(old) - 2
    assert changed > len(rows.ids)
    assert batch.objective_b is not None
    assert bool((batch.objective_b == 1).all())


def test_the_rows_that_are_rearranged_are_the_share_and_the_others_are_plain():
    rows = many(fill=10, count=600)
    batch, plain = Infill(share=0.3, most_spans=8).collate(rows, KEY), NEXT_TOKEN.collate(rows, KEY)
    kinds = batch.objective_b
    assert kinds is not None
    assert float(kinds.double().mean()) == pytest.approx(0.3, abs=0.05)
    assert torch.equal(batch.ids_bt[kinds == 0], plain.ids_bt[kinds == 0])
    assert torch.equal(batch.labels_bt[kinds == 0], plain.labels_bt[kinds == 0])
    assert not (batch.ids_bt[kinds == 1] == plain.ids_bt[kinds == 1]).all(1).any()


def test_a_prefix_is_seen_from_both_sides_and_its_spans_alone_are_predicted():
    rows = many(fill=40, count=4)
    infill = Infill(share=1.0, most_spans=8)
    plain, batch = infill.collate(rows, KEY), dataclasses.replace(infill, prefix=True).collate(rows, KEY)
    assert torch.equal(plain.ids_bt, batch.ids_bt)
    prefix = batch.prefix_bt
    assert batch.attention == "prefix"
    assert prefix is not None
    model = build(Llama("1m", **TINY), 200, 160, seed=0).eval()
    asked = batch.labels_bt != IGNORE
    # the labels are those of causal rows, without the ones that stand in a context
    assert torch.equal(batch.labels_bt[asked], plain.labels_bt[asked])
    for row in range(4):
        first = batch.documents_bt[row] == 1
        places = torch.arange(160)[first]
        separator = int((batch.ids_bt[row] == SENTINELS.separator).nonzero()[0])
        end = int(places[-1])
        assert prefix[row, : separator + 1].all()
        assert not prefix[row, separator + 1 : end + 1].any()
        assert not asked[row, :separator].any()
        assert asked[row, separator:end].all()

        def moved(place, row=row):
            ids = batch.ids_bt.clone()
            ids[row, place] = 95
            whole = torch.stack(
                [model(dataclasses.replace(batch, ids_bt=i), "logits")[row] for i in (batch.ids_bt, ids)]
            )
            return (whole[0] != whole[1]).any(-1)

        with torch.no_grad():
            # a later token of the context moves earlier places, and none of another document's context
            assert moved(separator - 2)[:separator].all()
            assert not moved(int((batch.documents_bt[row] == 2).nonzero()[3]))[: end + 1].any()
            # a token of a target moves nothing before it
            seen = moved(separator + 2)
            assert not seen[: separator + 2].any()
            assert seen[separator + 2 : end].all()
    none = dataclasses.replace(infill, prefix=True, share=0.0).collate(rows, KEY)
    assert (none.attention, none.prefix_bt) == ("causal", None)


@pytest.mark.long
def test_infill_gives_the_same_bits_for_two_processes(job, tmp_path):
    rows = dataclasses.replace(
        made_rows(tmp_path / "long", length=64), specials=tuple((n, i - 90) for n, i in MARKS.items())
    )
    mixed = changed(
        job, sources=(RowSource("rows", rows, 1.0),), model=Llama("1m", **TINY), steps=4,
        collate=Infill(most_spans=8, span_lengths=(3,)), attend="document",
    )  # fmt: skip
    assert any((batch.objective_b == 1).any() for batch in Feed(mixed, 0, 1, torch.device("cpu")).batch(0))
    train(at(mixed, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    finish(start(mixed, tmp_path / "two", 2))
    assert_same_bits(result(tmp_path / "one"), result(tmp_path / "two"))


class OverPack(LocalContext):
    """The context of a training over rows in a folder."""

    def fingerprint(self, of=None):
        return "0" * 64

    def scratch(self):
        return str(self.folder / "scratch")


def test_a_tokenizer_without_the_special_tokens_is_named_and_one_with_them_is_read(tmp_path):
    made_rows(tmp_path / "pack")
    (tmp_path / "meta/all").mkdir(parents=True)
    meta = {"shards": [{"name": "a", "rows": 64}], "draw": None, "length": 16, "dtype": "uint16", "end_id": 0}
    (tmp_path / "meta/all.json").write_text(json.dumps({**meta, "vocab_size": 50}))
    tokens = [{"content": name, "id": place, "special": True} for place, name in enumerate((END_OF_TEXT, "<mask>"))]
    (tmp_path / "meta/all/tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    docs = Read(paths=("a.jsonl",))
    pack = Pack(docs=docs, tokenizer=Tokenizer(docs=docs), length=16)
    made = {"rows": pack, "model": Llama("1m", **TINY)}
    with pytest.raises(RecipeError, match=r"<mask_1>, <mask_2>"):
        Pretrain(**made, collate=Infill()).check()
    stages = (Stage(until=0.5), Stage(until=1.0, collate=MaskTokens(mask="<hole>")))
    with pytest.raises(RecipeError, match=r"specials: \[<hole>\]"):
        Pretrain(**made, schedule=stages).check()
    found, _ = training_of(Pretrain(**made, collate=MaskTokens()), OverPack(Pretrain(**made), tmp_path))
    assert dict(found.sources[0].rows.specials) == {END_OF_TEXT: 0, "<mask>": MASK}
    assert isinstance(found.sources[0].rows, PackedRows)


@pytest.mark.parametrize("wrong", [{"share": 1.5}, {"most_spans": 0}, {"least_share": 0.9}, {"span_lengths": [0]}])
def test_a_field_of_infill_out_of_range_is_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Infill(**wrong)


def test_rare_tokens_are_unknown_at_first_and_none_is_at_the_end():
    rng = np.random.default_rng(1)
    lists = [[piece(rng, 60) % 200] for _ in range(20)]
    rows = rows_of(*lists, length=64, specials={"<|endoftext|>": 0, "<mask>": MASK, "<unk>": 2, "late": 89})
    growing, plain = GrowingVocabulary(begin=0.1, start=0.0, end=0.8), NEXT_TOKEN.collate(rows, KEY)
    shares = []
    for step in range(50):
        batch = growing.collate(rows, Key(3, step, 50))
        limit = growing.at(step, 50) * rows.vocab_size
        unknown = (plain.ids_bt > limit) & (plain.ids_bt != 89)
        assert torch.equal(batch.ids_bt, torch.where(unknown, 2, plain.ids_bt))
        # labels are the same tokens, so they are unknown where they are shown as unknown
        assert torch.equal(batch.labels_bt[:, :-1][batch.labels_bt[:, :-1] != IGNORE],
                           batch.ids_bt[:, 1:][batch.labels_bt[:, :-1] != IGNORE])  # fmt: skip
        shares.append(int(unknown.sum()))
    assert shares[0] > 500
    assert sorted(shares, reverse=True) == shares
    assert shares[40:] == [0] * 10
    whole = GrowingVocabulary(begin=1.0).collate(rows, KEY)
    assert all(torch.equal(v, vars(plain)[n]) for n, v in vars(whole).items() if isinstance(v, torch.Tensor))
    masked = GrowingVocabulary(inner=MaskTokens(share=0.5), begin=0.2)
    assert masked.needs == ("<unk>", "<mask>")
    assert masked.both_sides
    hidden = masked.collate(rows, Key(3, 0, 50))
    assert hidden.attention == "bidirectional"
    assert not ((hidden.labels_bt > 40) & (hidden.labels_bt != 89)).any()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_masks_out_of_range_is_named(share):
    with pytest.raises(ValueError, match="share"):
        MaskTokens(share=share)
