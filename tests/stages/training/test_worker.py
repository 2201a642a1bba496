"""The loop in plain processes: bits for any number of them, resume after SIGKILL, weights over the whole batch."""

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.build import build
from models.losses import IGNORE
from models.optim_config import AdamW
from models.presets import Llama, Lost
from models.reweight import batch_bounds, weights
from models.reweight_config import LinUpper, Uniform
from stages.training.checkpoint import MODEL, RESULT, Saver
from stages.training.feed import Feed
from stages.training.gradients import TreeSum, subtrees
from stages.training.row_source import RowSource
from stages.training.training import Training
from stages.training.worker import Trainer, train
from tests.models.calls import losses as token_losses
from tests.stages.training.processes import LAUNCH, group
from tests.stages.training.rows import changed, declared, fingerprint_of, made_rows

TINY = {"hidden": 32, "inter": 48, "layers": 2, "heads": 2}
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def job(tmp_path):
    node = declared(
        model=Lost("1m", rank=8, density=0.1, **TINY),
        reweight=LinUpper(r=0.5),
        optimizer=AdamW(lr=3e-3),
        steps=12,
        batch_rows=16,
        micro_batches=4,
        seed=3,
        precision="fp32",
        device="cpu",
        checkpoint_every=3,
        log_interval=4,
    )
    return Training(
        node=node,
        fingerprint=fingerprint_of(node),
        sources=(RowSource("rows", made_rows(tmp_path / "rows"), 1.0),),
        scratch=str(tmp_path / "scratch"),
    )


def at(job, folder, **changes):
    return changed(job, scratch=str(folder) if isinstance(folder, Path) else folder, **changes)


def start(job, folder, processes=1, module=LAUNCH, scratch=None):
    """Training processes of one group, as torchrun would start them."""
    return group(at(job, scratch or folder), folder, processes, module)


def finish(started):
    assert [process.wait(120) for process in started] == [0] * len(started)


def result(folder):
    """The JSON values of a finished run and, as `model`, its tensors."""
    return json.loads((folder / RESULT).read_text()) | {"model": load_file(folder / MODEL)}


def assert_same_bits(one, other):
    assert one["record"] == other["record"]
    assert one["model"].keys() == other["model"].keys()
    for name, tensor in one["model"].items():
        assert torch.equal(tensor, other["model"][name]), name


@pytest.mark.parametrize(
    ("processes", "changes"),
    [(2, {}), (3, {"batch_rows": 32}), (4, {"reweight": LinUpper(r=0.5, scope="global_exact"), "attend": "document"})],
)
def test_any_number_of_processes_gives_the_same_bits(job, tmp_path, processes, changes):
    job = changed(job, **changes)
    train(at(job, tmp_path / "one"), Saver(str(tmp_path / "one")), 0, 1)
    finish(start(job, tmp_path / "many", processes))
    assert_same_bits(result(tmp_path / "one"), result(tmp_path / "many"))


def kill_after_first_checkpoint(job, folder, processes, seconds=100):
    """Train until a checkpoint is whole, SIGKILL all processes, and leave that checkpoint alone."""
    started, saver = start(job, folder, processes), Saver(str(folder))
    deadline = time.monotonic() + seconds
    while not saver.whole() and time.monotonic() < deadline:
        if all(process.poll() is not None for process in started):
            break
    for process in started:
        process.kill()
        process.wait()
    checkpoints = saver.whole()
    assert checkpoints
    saver.scratch.remove(RESULT)
    # whatever the dead run reached, go on from its first checkpoint at the latest
    for later in checkpoints[1:]:
        shutil.rmtree(folder / later)


def test_killed_with_two_processes_and_resumed_with_one_gives_the_same_bits(job, tmp_path):
    train(at(job, tmp_path / "whole"), Saver(str(tmp_path / "whole")), 0, 1)
    broken = tmp_path / "broken"
    kill_after_first_checkpoint(job, broken, processes=2)
    finish(start(job, broken))
    assert_same_bits(result(tmp_path / "whole"), result(broken))
    assert result(broken)["resources"]["resumed_at"] > 0


def test_stopped_with_one_process_it_goes_on_with_two(job, tmp_path):
    train(at(job, tmp_path / "whole"), Saver(str(tmp_path / "whole")), 0, 1)
    saver = Saver(str(tmp_path / "stopped"))
    stopped = at(job, tmp_path / "stopped")
    saver.scratch.write("stop", b"")
    assert train(stopped, saver, 0, 1) == "stopped"
    assert not saver.scratch.exists(RESULT)
    saver.scratch.remove("stop")
    finish(start(job, tmp_path / "stopped", processes=2))
    assert_same_bits(result(tmp_path / "whole"), result(tmp_path / "stopped"))


@pytest.mark.long
def test_a_checkpoint_that_was_cut_short_is_passed_over_for_the_one_before(job, tmp_path):
    train(at(job, tmp_path / "whole"), Saver(str(tmp_path / "whole")), 0, 1)
    cut = at(job, tmp_path / "cut")
    saver = Saver(cut.scratch)
    train(cut, saver, 0, 1)
    six, nine = "checkpoints/step_0000000006", "checkpoints/step_0000000009"
    assert saver.whole() == [six, nine]
    (tmp_path / "cut" / nine / "checkpoint.json").unlink()
    (tmp_path / "cut" / nine / "part-00007.safetensors").write_bytes(b"of a larger group")
    saver.scratch.remove(RESULT)
    train(cut, Saver(cut.scratch), 0, 1)
    assert result(tmp_path / "cut")["resources"]["resumed_at"] == 6
    assert_same_bits(result(tmp_path / "whole"), result(tmp_path / "cut"))
    assert saver.whole() == [six, nine]
    assert not list(tmp_path.glob("cut/checkpoints/*/part-00007*"))


@pytest.mark.long
@pytest.mark.parametrize("harm", ["a bit", "the end", "the manifest", "nothing left of it"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(job, tmp_path, harm):
    train(at(job, tmp_path / "whole"), Saver(str(tmp_path / "whole")), 0, 1)
    hurt = at(job, tmp_path / "hurt")
    saver = Saver(hurt.scratch)
    train(hurt, saver, 0, 1)
    saver.scratch.remove(RESULT)
    newest = tmp_path / "hurt" / saver.whole()[-1]
    part, manifest = newest / "part-00000.safetensors", newest / "checkpoint.json"
    data = bytearray(part.read_bytes())
    if harm == "a bit":
        data[len(data) // 2] ^= 1
        part.write_bytes(data)
    elif harm == "the end":
        part.write_bytes(data[:-100])
    elif harm == "the manifest":
        manifest.write_bytes(manifest.read_bytes()[:40])
    else:
        manifest.write_bytes(b"")
    train(hurt, Saver(hurt.scratch), 0, 1)
    assert result(tmp_path / "hurt")["resources"]["resumed_at"] == 6
    assert_same_bits(result(tmp_path / "whole"), result(tmp_path / "hurt"))


def test_nothing_that_a_run_keeps_is_read_by_pickle(job, tmp_path):
    train(job, Saver(job.scratch), 0, 1)
    kept = [path for path in Path(job.scratch).rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} == {".json", ".jsonl", ".safetensors"}
    for path in kept:
        head = path.read_bytes()[:400]
        assert head[8:].startswith(b"{") if path.suffix == ".safetensors" else head.startswith(b"{")


def test_nobody_writes_before_what_an_earlier_save_left_is_gone(job, tmp_path):
    """Else a process would make the folder while another removes it."""
    finish(start(job, tmp_path / "two", 2, "tests.stages.training.slow_removal"))
    assert [(tmp_path / "two" / f"there-{rank}").read_text() for rank in range(2)] == ["False", "False"]


def test_a_save_that_fails_leaves_the_older_checkpoints(job):
    saver = Saver(job.scratch)
    trainer = Trainer(job, 0, 1, torch.device("cpu"))
    for step in (1, 2):
        trainer.train_step()
        saver.save(step, trainer.written(), trainer.rest())

    def full_disk(folder):
        trainer.written()(folder)
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        saver.save(3, full_disk, {})
    one, two, three = (f"checkpoints/step_{number:010d}" for number in (1, 2, 3))
    assert saver.whole() == [one, two]
    saver.save(3, trainer.written(), trainer.rest())
    assert saver.whole() == [two, three]
    assert sorted(saver.scratch.names("checkpoints")) == [Path(name).name for name in (two, three)]


@pytest.mark.parametrize("reweight", [Uniform(), LinUpper(r=0.4, warmup=0.0, ramp=0.0, scope="global_exact")])
def test_the_gradient_is_that_of_the_weighted_loss_of_the_whole_batch(job, reweight):
    """Against one backward over all rows at once: the weights' sum runs over every micro-batch."""
    job = changed(job, reweight=reweight, model=Llama("1m", **TINY), optimizer=AdamW(clip=0.0))
    trainer = Trainer(job, 0, 1, torch.device("cpu"))
    reference = build(job.node.model, job.vocab_size, job.length, job.node.seed)
    micros = Feed(job, 0, 1, torch.device("cpu")).batch(0)
    ids, labels = (torch.cat([getattr(micro, name) for micro in micros]) for name in ("ids_bt", "labels_bt"))
    losses = token_losses(reference, ids, labels)
    tokens = (labels != IGNORE).sum(1)
    scores = losses.sum(1) / tokens
    w = weights(
        reweight,
        scores.detach(),
        tokens,
        step=0,
        steps=job.node.steps,
        bounds=batch_bounds(reweight, scores, tokens),
    )
    (w.float() * scores).sum().backward()
    trainer.train_step()
    for (name, mine), theirs in zip(trainer.model.named_parameters(), reference.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, rtol=2e-4, atol=2e-7), name
    assert trainer.record["loss"][0] == pytest.approx(float(losses.detach().sum() / tokens.sum()), rel=1e-6)
    assert trainer.record["objective"][0] == pytest.approx(float((w * scores.detach()).sum()), rel=1e-6)


def test_training_learns_and_filling_and_borders_are_no_labels(job, tmp_path):
    job = changed(job, steps=60, optimizer=AdamW(lr=1e-2), reweight=Uniform())
    train(job, Saver(job.scratch), 0, 1)
    losses = result(Path(job.scratch))["record"]["loss"]
    assert losses[-1] < losses[0] - 1.0
    micro = Feed(job, 0, 1, torch.device("cpu")).batch(0)[0]
    taken = job.sources[0].rows.take(job.sampler.batch(0)[1][0][:4])
    labels = taken.used - taken.segments.max(1)
    assert torch.equal((micro.labels_bt != IGNORE).sum(1), torch.from_numpy(labels))


def test_a_mixture_feeds_each_source_its_rows(job, tmp_path):
    other = made_rows(tmp_path / "other", rows=10, seed=1)
    sources = (RowSource("a", job.sources[0].rows, 0.75), RowSource("b", other, 0.25))
    job = changed(job, sources=sources)
    chosen, rows = (part[0] for part in job.sampler.batch(7))
    micros = Feed(job, 0, 1, torch.device("cpu")).batch(7)
    ids = torch.cat([micro.ids_bt for micro in micros])
    assert set(chosen) == {0, 1}
    for i, source in enumerate(chosen):
        assert torch.equal(ids[i], torch.from_numpy(sources[source].rows.take(rows[i : i + 1])[0][0, :-1]))


def test_every_process_owns_a_subtree_and_the_rows_of_the_batch_in_their_order(job):
    assert subtrees(8, 3) == [range(0, 2), range(2, 4), range(4, 8)]
    for processes in range(1, job.node.micro_batches + 1):
        feeds = [Feed(job, process_rank, processes, torch.device("cpu")) for process_rank in range(processes)]
        micros = [feed.batch(5) for feed in feeds]
        assert [sum(len(micro.ids_bt) for micro in own) for own in micros] == feeds[0].rows_of
        ids = torch.cat([micro.ids_bt for own in micros for micro in own])
        rows = job.sampler.batch(5)[1][0]
        assert torch.equal(ids, torch.from_numpy(job.sources[0].rows.take(rows)[0][:, :-1]))


def test_tree_sum_is_the_binary_tree():
    vectors = [torch.tensor([10.0**i, 0.1 * i], dtype=torch.float32) for i in range(8)]
    parameter = torch.nn.Parameter(torch.zeros(2))
    tree = TreeSum([parameter])
    for _ in range(2):  # the second round works in the buffers of the first
        parameter.grad = None
        for number, vector in enumerate(vectors):
            (parameter * vector).sum().backward()
            tree.add(last=number == 7)
        a, b, c, d, e, f, g, h = vectors
        assert torch.equal(parameter.grad, ((a + b) + (c + d)) + ((e + f) + (g + h)))
