"""The nodes of rewards on real files: groups that no batch parts, empty answers, what cannot be used."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from run_here import Here

from pipeline.contract import Node
from pipeline.errors import DataError, RecipeError
from stages.read.read import Read
from stages.rewards.calibrate import Calibrate
from stages.rewards.equal_kl import EqualKl
from stages.rewards.tilting import calibrated, divergence, wins
from stages.rewards.transform_reward import TransformReward
from stages.rewards.win_rate import WinRate

KEEP = ("prompt", "reward:float64", "empty:int64", "own:float64", "other:float64")
PROMPTS, ANSWERS = 300, 7  # 2,100 answers: batches end within prompts


def answers(seed: int, better: float = 0.0, scale: float = 100.0) -> list[dict]:
    """Answers to each prompt behind one another; rewards have another scale for each prompt."""
    draw = np.random.default_rng(seed)
    rows = []
    for prompt in range(PROMPTS):
        rewards = np.round(draw.normal(better, 1, ANSWERS), 1) * scale ** (prompt / PROMPTS)
        rows += [
            {"id": f"{prompt}:{n}", "text": f"answer {n} to {prompt}", "prompt": f"p{prompt:03d}",
             "reward": float(reward), "empty": prompt % 3, "own": 3.0, "other": 3.5}
            for n, reward in enumerate(rewards)
        ]  # fmt: skip
    return rows


def read(folder, rows, keep=KEEP) -> Read:
    folder.mkdir(exist_ok=True)
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Read(paths=(f"{folder}/answers.jsonl",), keep=keep)


def written(node: Node, root) -> dict:
    here = Here(node, root)
    (path,) = root.glob(f"{here.state.folder(node)}/data/*/all.json")
    return json.loads(path.read_text())


def test_each_prompt_is_calibrated_by_itself(tmp_path):
    rows = answers(1)
    rows[3]["reward"] = None
    found = Here(Calibrate(docs=read(tmp_path / "in", rows), reward="reward"), tmp_path / "store").columns()
    u = found["u"].to_pylist()
    for prompt in range(PROMPTS):
        of = range(prompt * ANSWERS, (prompt + 1) * ANSWERS)
        rewards = np.array([rows[n]["reward"] for n in of if rows[n]["reward"] is not None])
        expected = iter(calibrated(rewards, worse=prompt % 3).tolist())
        assert [u[n] for n in of] == [None if rows[n]["reward"] is None else next(expected) for n in of]


def test_a_transform_writes_what_a_policy_learns_from(tmp_path):
    ranked = Calibrate(docs=read(tmp_path / "in", answers(1)), reward="reward")
    here = Here(TransformReward(docs=ranked, t=10.0, kl=0.5), tmp_path / "store")
    found, u = here.columns(), Here(ranked, tmp_path / "store").columns()["u"].to_numpy()
    phi, beta, log_z = (found[name].to_numpy() for name in ("phi", "beta", "log_z"))
    assert set(beta.tolist()) == {beta[0]}
    assert divergence(10.0, beta[0]) == pytest.approx(0.5, abs=1e-9)
    np.testing.assert_allclose(phi, np.exp(10 * u), rtol=1e-15)
    weights = np.exp(phi / beta - log_z).reshape(PROMPTS, ANSWERS)
    np.testing.assert_allclose(weights.mean(1), 1.0, rtol=1e-12)  # of each prompt a tilted distribution


def test_wins_are_those_of_each_prompt_and_the_divergence_stands_beside_them(tmp_path):
    own, other = answers(2, better=0.5), answers(1)
    policy, reference = read(tmp_path / "policy", own), read(tmp_path / "reference", other[: -2 * ANSWERS])
    node = WinRate(policy=policy, reference=reference, reward="reward", sampling="best", n=4, nats=("own", "other"))
    found = written(node, tmp_path / "store")
    by_hand = [
        wins(*(np.array([row["reward"] for row in rows[at : at + ANSWERS]]) for rows in (own, other)), 4, "best")
        for at in range(0, (PROMPTS - 2) * ANSWERS, ANSWERS)
    ]
    assert found["win_rate"]["mean"] == pytest.approx(np.mean(by_hand), abs=1e-12)
    assert found["win_rate"]["from"] < found["win_rate"]["mean"] < found["win_rate"]["to"]
    assert found["kl"]["mean"] == 0.5
    (path,) = (tmp_path / "store").glob("nodes/win_rate-*/data/score/all.parquet")
    assert pq.read_table(path)["id"].to_pylist() == [f"p{n:03d}" for n in range(PROMPTS - 2)]


@pytest.mark.long
def test_ways_of_training_are_compared_where_they_have_gone_equally_far(tmp_path):
    def run(name, better, own) -> WinRate:
        rows = [row | {"own": own} for row in answers(2, better=better)]
        policy, reference = read(tmp_path / name, rows), read(tmp_path / "reference", answers(1))
        return WinRate(policy=policy, reference=reference, reward="reward", nats=("own", "other"))

    # one way has gone .25 and 1 nats far, the other one .36 and .49
    runs = (run("a", 0.2, 3.25), run("b", 1.0, 2.5), run("c", 0.1, 3.14), run("d", 0.3, 3.01))
    rates = []
    for number, node in enumerate(runs):
        here = Here(node, tmp_path / f"store-{number}")
        [path] = (tmp_path / f"store-{number}").glob(f"{here.state.folder(node)}/data/score/all.parquet")
        rates.append(pq.read_table(path)["value"].to_numpy())
    table = EqualKl(runs=runs, labels=("one", "one", "two", "two"), kl=0.36)
    one, two = written(table, tmp_path / "store")["rows"]
    straight = 0.8 * rates[0] + 0.2 * rates[1]  # the square root of .36 is a fifth of the way from .5 to 1
    assert one["win_rate"]["mean"] == pytest.approx(straight.mean(), abs=1e-7)
    assert two["win_rate"]["mean"] == pytest.approx(rates[2].mean(), abs=1e-7)
    assert two["against_first"]["mean"] == pytest.approx((rates[2] - straight).mean(), abs=1e-7)
    assert [round(kl, 6) for kl, _ in one["measured"]] == [0.25, 1.0]
    far = EqualKl(runs=runs, labels=("one", "one", "two", "two"), kl=0.6)
    found = {row["label"]: row["win_rate"] for row in written(far, tmp_path / "store")["rows"]}
    assert found["one"] is not None
    assert found["two"] is None  # it has not gone so far
    with pytest.raises(RecipeError, match="1 for 4 runs"):
        EqualKl(runs=runs, labels=("one",)).check()
    bare = WinRate(policy=runs[0].policy, reference=runs[0].reference, reward="reward")
    with pytest.raises(RecipeError, match="without nats"):
        EqualKl(runs=(bare,), labels=("one",)).check()


def test_what_cannot_be_used_is_named(tmp_path):
    rows = answers(1)
    docs = read(tmp_path / "in", rows)
    for node, words in (
        (Calibrate(docs=docs, reward="rewards"), "no column 'rewards'"),
        (TransformReward(docs=docs, u="reward"), "None and None"),
        (WinRate(policy=docs, reference=docs, reward="reward", n=2), "sampling: best or worst"),
    ):
        with pytest.raises(RecipeError, match=words):
            node.check()
    for value, words in ((1.0, "is 1.0 everywhere"), (None, "is null everywhere"), (math.nan, "is NaN")):
        same = read(tmp_path / f"{value}", [row | {"reward": value} for row in rows])
        with pytest.raises(DataError, match=words):
            Here(Calibrate(docs=same, reward="reward"), tmp_path / "store")
    with pytest.raises(DataError, match="no prompt with 8 answers"):
        Here(WinRate(policy=docs, reference=docs, reward="reward", sampling="best", n=8), tmp_path / "store")
