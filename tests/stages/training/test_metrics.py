"""The log of steps over kills, and its readers: TensorBoard's files, W&B and MLflow offline, a service that is down."""

import json
import struct
import time
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from pipeline.errors import MissingExtra, UserError
from stages.training import trackers
from stages.training.checkpoint import RESULT, Saver
from stages.training.metrics import Follower, following
from stages.training.row_source import RowSource
from stages.training.scratch import Scratch
from stages.training.step_log import LOG, StepLog
from stages.training.worker import train
from tests.stages.training.rows import changed, made_rows
from tests.stages.training.test_worker import finish, job, result, start

__all__ = ["job"]  # the fixture

SECRET = "5ec4e7" * 7  # W&B's keys have 40 characters or more
ABOUT = {"label": "Llama 1m", "steps": 12, "model": {"llama": "1m"}}


def logged(folder):
    return [json.loads(line) for line in (Path(folder) / LOG).read_bytes().splitlines()]


def nothing(*_, **__):
    raise AssertionError("no event was to be told")


def no_rows(rows):
    raise AssertionError("no row was to be named")


@pytest.fixture
def done(job):
    """Scratch of a finished run of two sources."""
    other = made_rows(Path(job.scratch).parent / "other", rows=10, seed=1)
    job = changed(job, sources=(RowSource("a", job.sources[0].rows, 0.75), RowSource("b", other, 0.25)), steps=8)
    train(job, Saver(job.scratch), 0, 1)
    return job.scratch


def test_a_line_of_the_log_says_what_the_record_says(done):
    record, lines = result(Path(done))["record"], logged(done)
    assert [line["step"] for line in lines] == list(range(8))
    for name in ("loss", "learning_rate", "gradient_norm", "tokens", "effective"):
        assert [line[name] for line in lines] == record[name]
    for line in lines:
        assert line["tokens_per_second"] > 0
        assert sum(line["weight_mass"]) == pytest.approx(1.0)
    # half of the run is warm-up, where the mass of a source is its share of the tokens; then hard rows weigh more
    assert {round(line["weight_mass"][1], 2) for line in lines} != {0.25}


@pytest.mark.long
@pytest.mark.parametrize("processes", [1, 2])
def test_after_a_kill_the_log_holds_every_step_once(job, tmp_path, processes):
    job = changed(job, steps=400, checkpoint_every=20)
    folder, saver = tmp_path / "broken", Saver(str(tmp_path / "broken"))
    started = start(job, folder, processes)
    deadline = time.monotonic() + 100
    while not (saver.whole() and len(saver.scratch.read(LOG).splitlines()) % 20 > 3) and time.monotonic() < deadline:
        time.sleep(0.001)
    for process in started:
        process.kill()
        process.wait()
    assert not saver.scratch.exists(RESULT)
    assert len(logged(folder)) > int(saver.whole()[-1][-10:]), "nothing was there that a dead run wrote too much"
    with open(folder / LOG, "ab") as file:
        file.write(b'{"step": 399, "lo')
    finish(start(job, folder, processes))
    lines = logged(folder)
    assert [line["step"] for line in lines] == list(range(400))
    assert [line["loss"] for line in lines] == result(folder)["record"]["loss"]


def test_a_line_that_never_reached_the_disk_is_made_again(tmp_path):
    scratch = Scratch(str(tmp_path))
    with StepLog(scratch, 0, nothing) as log:
        for step in range(4):
            log.add({"step": step, "loss": float(step), "tokens_per_second": 5.0})
    with StepLog(scratch, 6, lambda step: {"step": step, "loss": float(step)}) as log:
        log.add({"step": 6, "loss": float("nan")})
    lines = logged(tmp_path)
    assert [line["loss"] for line in lines] == [0, 1, 2, 3, 4, 5, None]
    assert ["tokens_per_second" in line for line in lines] == [True] * 4 + [False] * 3


class Seen:
    name, first = "seen", 0

    def __init__(self, fails_at=None):
        self.steps, self.fails_at, self.closed = [], fails_at, False

    def add(self, step, values):
        if step == self.fails_at:
            raise ConnectionError("the service is down")
        self.steps.append(step)

    def flush(self):
        pass

    def close(self):
        self.closed = True


def test_a_follower_gives_each_step_once_though_a_run_goes_back_to_a_checkpoint(tmp_path):
    scratch, sink = Scratch(str(tmp_path)), Seen()
    with Follower(scratch, [sink], nothing, no_rows) as follower:
        with StepLog(scratch, 0, nothing) as log:
            for step in range(5):
                log.add({"step": step, "loss": 1.0})
                follower.poll()
        with StepLog(scratch, 2, nothing) as log:
            for step in range(2, 9):
                log.add({"step": step, "loss": 1.0})
                follower.poll()
    assert [line["step"] for line in logged(tmp_path)] == list(range(9))
    assert sink.steps == list(range(9))
    assert sink.closed


def test_a_sink_that_fails_is_named_and_the_others_go_on(done):
    bad, good, told = Seen(fails_at=3), Seen(), []
    with Follower(Scratch(done), [bad, good], lambda event, **values: told.append((event, values)), no_rows):
        pass
    assert bad.steps == [0, 1, 2]
    assert good.steps == list(range(8))
    [(event, values)] = told
    assert event == "metrics failed"
    assert values == {"sink": "seen", "error": "ConnectionError: the service is down"}


def test_a_log_that_cannot_be_read_ends_no_training(tmp_path):
    log, told, seen = tmp_path / "metrics/steps.jsonl", [], Seen()
    log.parent.mkdir()
    log.symlink_to(log)
    with Follower(
        Scratch(str(tmp_path)), [seen], lambda event, **values: told.append((event, values["sink"])), no_rows
    ):
        pass
    assert told == [("metrics failed", "the log")]
    assert seen.closed


def events(path):
    """The events of a TensorBoard file: records of length, its checksum, bytes, their checksum."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        [size] = struct.unpack("<Q", data[at : at + 8])
        found.append(Event.FromString(data[at + 12 : at + 12 + size]))
        at += 16 + size
    return found


def test_tensorboard_holds_each_step_once_however_often_a_run_is_followed(done):
    for _ in range(2):
        with following(["jsonl", "tensorboard"], done, "train-abc", ABOUT, nothing, no_rows):
            pass
    [path] = Path(done).glob("metrics/tensorboard/events.out.tfevents.*")
    found = events(path)
    points = [(e.step, v.tag, v.simple_value) for e in found for v in e.summary.value]
    losses = [(step, value) for step, tag, value in points if tag == "loss"]
    assert losses == [(line["step"], pytest.approx(line["loss"], rel=1e-6)) for line in logged(done)]
    assert {"weight_mass/0", "weight_mass/1", "tokens_per_second"} <= {tag for _, tag, _ in points}
    assert [e.step for e in found if e.HasField("session_log")] == [0], "an open TensorBoard would keep old points"


def wandb_history(path):
    """(step, name -> value) of an offline run: blocks of 32 KiB with records as LevelDB's log has them."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, part = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        part += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            record, part = Record.FromString(part), b""
            if record.WhichOneof("record_type") == "history":
                values = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
                yield record.history.step.num, values


def test_wandb_offline_holds_every_step_and_no_credential_enters_the_store(done, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    for name, value in {"MODE": "offline", "DIR": str(tmp_path / "wandb"), "API_KEY": SECRET}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    (tmp_path / "wandb").mkdir()
    with following(["wandb"], done, "train-abc", ABOUT, nothing, no_rows):
        pass
    [path] = (tmp_path / "wandb").glob("wandb/offline-run-*-train-abc/*.wandb")
    wandb.teardown()  # its service writes the file at leisure
    history = list(wandb_history(path))
    assert [(step, values["loss"]) for step, values in history] == [
        (line["step"], line["loss"]) for line in logged(done)
    ]
    assert SECRET.encode() not in path.read_bytes()
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_mlflow_offline_goes_on_where_its_run_ends(done, tmp_path, monkeypatch):
    client = pytest.importorskip("mlflow.tracking").MlflowClient
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())
    lines = (Path(done) / LOG).read_bytes().splitlines(keepends=True)
    for known in (5, 8, 8):
        (Path(done) / LOG).write_bytes(b"".join(lines[:known]))
        with following(["mlflow"], done, "train-abc", ABOUT, nothing, no_rows):
            pass
    [experiment] = [one for one in client().search_experiments() if one.name == "siftloom"]
    [run] = client().search_runs([experiment.experiment_id])
    history = client().get_metric_history(run.info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(line["step"], line["loss"]) for line in logged(done)]
    assert run.data.params["label"] == "Llama 1m"
    assert run.info.status == "FINISHED"


def test_a_tracker_that_cannot_start_is_named_before_the_training_does(done, tmp_path, monkeypatch):
    def absent(*_):
        raise ModuleNotFoundError("No module named 'wandb'", name="wandb")

    def refused(*_):
        raise RuntimeError("api_key not configured\nand much more")

    for tracker, error, words in ((absent, MissingExtra, r"siftloom\[wandb\]"), (refused, UserError, "not configured")):
        monkeypatch.setitem(trackers.TRACKERS, "wandb", (tracker, "wandb login"))
        with pytest.raises(error, match=words), following(["wandb"], done, "train-abc", ABOUT, nothing, no_rows):
            raise AssertionError("it began")
