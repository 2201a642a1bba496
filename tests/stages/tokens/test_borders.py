"""What one document does to another in a packed row: nothing. Each piece of a row against the piece alone."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.batch import Batch
from models.build import build
from models.losses import IGNORE
from models.objective import CROSS_ENTROPY
from models.presets import Llama
from pipeline.contract import Shard
from pipeline.files.open_store import file_on_disk
from stages.read.read import Read
from stages.tokens.encoder import Encoder
from stages.tokens.pack import Pack
from stages.tokens.pack_shard import PackWriter
from stages.tokens.packed_rows import BIN_SUFFIX, ROWS_SUFFIX, PackedRows
from stages.tokens.taken_rows import has_label
from stages.tokens.tokenizer import Tokenizer
from tests.stages.local_context import LocalContext

DOCS = Read(paths=("corpus.jsonl",))
LENGTH = 12
WORDS = "the brook ran down to a mill and it ground 1815 sacks of corn, naïve 漢字".split()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    texts = [" ".join(WORDS), " ".join(WORDS[::-1])] * 5
    table = pa.table({"id": [f"{'0' * 12}:{i}" for i in range(len(texts))], "text": texts})
    LocalContext(Tokenizer(docs=DOCS, vocab_size=320), folder, {"docs": table}).run_all()
    return folder / "train" / "all.json"


@pytest.fixture(scope="module")
def model(tokenizer):
    shape = {"hidden": 32, "inter": 48, "layers": 2, "heads": 2}
    return build(Llama("1m", **shape), Encoder.load(tokenizer).vocab_size, LENGTH, seed=0).eval()


def packed(folder, tokenizer, texts):
    ctx = LocalContext(Pack(docs=DOCS, tokenizer=Tokenizer(docs=DOCS), length=LENGTH), folder)
    ctx.shard, ctx.phase, ctx.key = Shard("base12345678", "s0", len(texts), 0), "pack", "s0"
    writer = PackWriter(ctx, tokenizer, LENGTH + 1, 100)
    writer.add(pa.table({"_row": range(len(texts)), "text": texts}))
    counts = writer.finish().counts
    names = tuple(file_on_disk(folder / "pack" / f"s0{suffix}") for suffix in (BIN_SUFFIX, ROWS_SUFFIX))
    assert counts["tokens"] == counts["text_tokens"] + 2 * counts["packed"]
    return PackedRows(((*names, counts["rows"]),), LENGTH, "uint16", 0, 320)


@torch.no_grad()
def losses(model, ids, labels, segments=None):
    ids, labels, documents = (None if x is None else torch.from_numpy(np.array(x)) for x in (ids, labels, segments))
    batch = Batch(ids_bt=ids, labels_bt=labels, documents_bt=documents, cut=documents is not None)
    return model(batch, CROSS_ENTROPY).score_bt.numpy()


def piece_losses(model, rows):
    """(tokens of a piece, losses of a piece) for every piece of every row, in the packed rows."""
    taken = rows.take(np.arange(rows.rows))
    labels = np.where(has_label(taken.segments), taken.ids[:, 1:], IGNORE)
    found = losses(model, taken.ids[:, :-1], labels, taken.segments[:, :-1])
    for row, segments in enumerate(taken.segments):
        for piece in range(1, segments.max() + 1):
            [at] = np.where(segments == piece)
            yield taken.ids[row, at], found[row, at[at < LENGTH]]


documents = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join), min_size=1, max_size=5)


@given(texts=documents)
@settings(max_examples=40)
def test_every_piece_of_a_row_has_the_losses_that_it_has_alone(tokenizer, model, tmp_path_factory, texts):
    rows = packed(tmp_path_factory.mktemp("rows"), tokenizer, texts)
    for ids, found in piece_losses(model, rows):
        alone = np.zeros(0)
        if len(ids) > 1:
            alone = losses(model, ids[None, :-1], ids[None, 1:])[0]
        assert found[: len(alone)] == pytest.approx(alone, abs=1e-5)
        assert not found[len(alone) :].any()  # the last token of a piece predicts nothing


def test_a_document_ends_in_the_token_that_teaches_to_stop(tokenizer, model, tmp_path):
    rows = packed(tmp_path, tokenizer, ["a mill", "the brook"])
    ends = [ids[-1] for ids, found in piece_losses(model, rows) if found.any()]
    assert ends == [0, 0]


def test_another_document_in_the_row_moves_no_loss_of_a_tail(tokenizer, model, tmp_path):
    """The document of 12 words is cut; its tail shares a row with the other document."""
    long = " ".join(WORDS[:12])
    [one, other] = (
        list(piece_losses(model, packed(tmp_path / text, tokenizer, [long, text]))) for text in ("a mill", "the corn")
    )
    tails = [(ids, found) for ids, found in one if ids[0] != 0]
    assert tails
    assert len(tails) < len(one) - 1
    for ids, found in tails:
        [same] = [theirs for theirs_ids, theirs in other if np.array_equal(theirs_ids, ids)]
        assert found.any()
        assert found == pytest.approx(same, abs=1e-6)
