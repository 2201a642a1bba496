"""A driver of a test: a training on rows that are made while it runs, with a Ray of its own.

python -m tests.stages.training.streamed JSON

Keys: folder, cpus, tries (numbers of workers, one run after another), and fields of `Noted` and `Pretrain`.
"""

import json
import random
import sys
from pathlib import Path

from models.optim_config import AdamW
from models.presets import Llama
from pipeline.driver.execute import Options, run
from pipeline.driver.ledger import Ledger
from pipeline.files.open_store import open_store
from pipeline.graph import build
from pipeline.ray_runtime import session
from stages.read.read import Read
from stages.split import Split
from stages.tokens.tokenizer import Tokenizer
from stages.training.pretrain import Pretrain
from stages.training.stream import RowStream
from tests.stages.training.toys.noted import Noted

TINY = {"hidden": 32, "inter": 48, "layers": 2, "heads": 2}
WORDS = "tide moon harbour salt rope lantern gull anchor mist kelp oar rhythm of and the".split()
LENGTH = 128  # above every document's tokens, so that none is cut


def written(folder, files=6, each=40):
    """Documents that differ, in files of their own: (node, texts by file)."""
    draw, texts = random.Random(0), []
    folder.mkdir(parents=True)
    for number in range(files):
        some = [f"{number} {i} " + " ".join(draw.choices(WORDS, k=draw.randint(3, 30))) for i in range(each)]
        (folder / f"{number}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in some))
        texts.append(some)
    return Split(docs=Read(paths=(str(folder / "*.jsonl"),)), held_out=0.2), texts


def node(folder, docs, *, dies_at=-1, **fields):
    (folder / "seen").mkdir(parents=True, exist_ok=True)
    shared = {"steps": 12, "batch_rows": 4, "micro_batches": 2, "checkpoint_every": 3, "precision": "fp32"}
    return Pretrain(
        rows=docs, feed=RowStream(length=LENGTH, window=25, mix=2), tokenizer=Tokenizer(docs=docs, vocab_size=320),
        model=Llama("1m", **TINY), optimizer=AdamW(lr=3e-3),
        collate=Noted(folder=str(folder / "seen"), dies_at=dies_at), **(shared | fields),
    )  # fmt: skip


def before_training(streamed, store):
    """Do the work that a training on Ray begins with in this process."""
    run(build([streamed.tokenizer]), name="before", store=store, options=Options(here=True))


def trained(folder, streamed):
    """The folder with what a run of this node has published in the store of `folder`."""
    graph, store = build([streamed], {"model": streamed}), str(folder / "store")
    before_training(streamed, store)
    run(graph, name="run", store=store)
    state = Ledger(graph, open_store(store))
    return folder / "store" / state.folder(streamed) / "data/train/all"


def main(asked):
    folder, tries = Path(asked.pop("folder")), asked.pop("tries")
    session.start(cpus=asked.pop("cpus"), address=None)
    docs, _ = written(folder / "input")
    for workers in tries:
        try:
            place = trained(folder, node(folder, docs, workers=workers, **asked))
        except Exception as error:
            (folder / f"failed-{workers}").write_text(str(error))
        else:
            (folder / "place").write_text(str(place))
    session.stop()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
