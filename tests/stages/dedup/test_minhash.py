"""`minhash_dedup` from texts to removals: against the curve, against itself done otherwise, and on bad input."""

import errno
import hashlib
import itertools
import random
from importlib import metadata

import numpy as np
import pyarrow as pa
import pytest

from pipeline import fingerprint
from pipeline.errors import DataError, RecipeError
from pipeline.report.figures import check
from stages.dedup import components, key_files, merge
from stages.dedup.figures import figures, probability
from stages.dedup.guard import TooMuchRemoved
from stages.dedup.minhash import MinHashDedup
from stages.hashing.scheme import Scheme
from stages.hashing.sketch import sketch
from stages.read.read import Read
from tests.stages.dedup.local import LocalContext, Run, corpus
from tests.stages.dedup.planted import document, edited, pairs


def chained(seed: int, count: int = 120) -> list[str]:
    """Documents, chains of copies of copies, equal ones, short ones and empty ones, shuffled."""
    chance = random.Random(seed)
    found = ["", "... !!", "only two", "Only TWO", "a b c"]
    for i in range(count):
        words = document(chance, 80)
        found.append(" ".join(words))
        for _ in range(i % 4):
            words = edited(words, chance, 3)
            found.append(" ".join(words))
        if i % 5 == 0:
            found.append(found[-1].upper() + " .")
    chance.shuffle(found)
    return found


@pytest.fixture(scope="module")
def texts():
    return chained(1)


@pytest.fixture(scope="module")
def whole(texts, tmp_path_factory):
    """The run that others are held against."""
    return Run(MinHashDedup(docs=corpus(texts)), tmp_path_factory.mktemp("whole")).all()


def answers(run: Run) -> tuple:
    """What a run says, with documents named by their place in the corpus."""
    place = {name: i for i, name in enumerate(name for table in run.docs().tables for name in table["id"].to_pylist())}
    return (
        run.reasons(),
        [place.get(name) for name in run.column("duplicate_of")],
        [place.get(name) for name in run.column("cluster_id")],
        run.column("cluster_size"),
        run.column("est_jaccard"),
    )


@pytest.mark.parametrize("ranges", [1, 2, 7, 16])
@pytest.mark.parametrize("shards", [1, 3, 10])
def test_ranges_shards_batches_and_order_change_nothing(texts, whole, tmp_path, monkeypatch, ranges, shards):
    monkeypatch.setattr(key_files, "RANGE_BYTES", -(-len(texts) * 15 * 16 // ranges))
    run = Run(MinHashDedup(docs=corpus(texts, shards)), tmp_path, batch=1 + 13 * ranges).all(seed=ranges)
    assert len(run.results["edges"]) == ranges
    assert answers(run) == answers(whole)


def test_merged_key_files_and_small_groups_change_nothing(texts, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(merge, "MAX_REQUESTS", 0)
    monkeypatch.setattr(merge, "MERGED", 3)
    monkeypatch.setattr(components, "GROUP_MEMBERS", 7)
    run = Run(MinHashDedup(docs=corpus(texts, 8)), tmp_path).all(seed=5)
    assert len(run.results["merge"]) == 3
    assert len(run.results["keep"]) > 10
    assert answers(run) == answers(whole)


def test_every_file_is_a_function_of_the_input(texts, tmp_path):
    node = MinHashDedup(docs=corpus(texts, 4))
    digests = []
    for name, seed, batch in (("a", 0, 50), ("b", 9, 17)):
        run = Run(node, tmp_path / name, batch=batch).all(seed)
        files = sorted(p for p in run.folder.rglob("*") if p.is_file())
        digests.append({str(p.relative_to(run.folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files})
    assert digests[0] == digests[1]
    assert len(digests[0]) == 18


def test_removed_rows_resemble_the_kept_one(texts, whole):
    made = sketch(pa.array(texts), signatures=True)
    reasons, kept, clusters, sizes, estimates = answers(whole)
    gone = [i for i, reason in enumerate(reasons) if reason]
    assert len(gone) > 100
    for i in gone:
        assert reasons[kept[i]] is None
        agree = np.mean(made.signatures[i] == made.signatures[kept[i]])
        assert estimates[i] == np.float32(agree)
        assert agree >= 0.6
        assert (reasons[i] == "minhash_dedup.exact") == (
            texts[i].lower().split()[:79] == texts[kept[i]].lower().split()[:79]
        )
        assert clusters[i] == clusters[kept[i]] <= kept[i]
    for i, size in enumerate(sizes):
        assert size is None or size == sum(c == clusters[i] for c in clusters)


def test_plain_components_remove_more_than_the_check_allows(texts, whole, tmp_path):
    run = Run(MinHashDedup(docs=corpus(texts), min_jaccard=None), tmp_path).all()
    sizes = [size for size in run.column("cluster_size") if size]
    assert len(run.kept()) == len(texts) - len(sizes) + len(set(run.column("cluster_id")) - {None})
    assert set(run.kept()) < set(whole.kept())


def test_documents_without_words_stay_and_short_ones_go_as_copies(texts, whole):
    reasons = dict(zip(texts, whole.reasons(), strict=True))
    assert reasons[""] is None
    assert reasons["... !!"] is None
    assert reasons["a b c"] is None
    assert sorted(str(reasons[t]) for t in ("only two", "Only TWO")) == ["None", "minhash_dedup.exact"]


def test_exact_off_finds_the_same_by_its_bands(texts, whole, tmp_path):
    run = Run(MinHashDedup(docs=corpus(texts), exact=False), tmp_path).all()
    assert answers(run)[1:] == answers(whole)[1:]


def test_pairs_are_found_as_the_curve_says():
    """Any shared band, over eight draws of the permutations; each bin within three standard errors."""
    planted = pairs(4, 600)
    similarity = np.array([s for _, _, s in planted])
    found = np.zeros((8, len(planted)))
    for seed in range(8):
        scheme = Scheme(seed=seed + 1)
        one, other = (sketch(pa.array([p[i] for p in planted]), scheme) for i in (0, 1))
        found[seed] = (one.keys == other.keys).any(axis=1)
    expected = probability(similarity, 14, 8)
    for low in np.arange(0.3, 1, 0.1):
        inside = (similarity >= low) & (similarity < low + 0.1)
        if inside.sum() < 20:
            continue
        # pairs are drawn once: their seeds are independent, and so is the error over them
        variance = (expected[inside] * (1 - expected[inside])).sum() * 8
        miss = found[:, inside].sum() - 8 * expected[inside].sum()
        assert abs(miss) <= 3 * np.sqrt(variance) + 1e-9, (low, miss, variance)


def test_estimates_err_as_theory_says():
    planted = pairs(5, 1500)
    similarity = np.array([s for _, _, s in planted])
    one, other = (sketch(pa.array([p[i] for p in planted]), signatures=True).signatures for i in (0, 1))
    error = (one == other).mean(axis=1) - similarity
    theory = np.sqrt((similarity * (1 - similarity)).mean() / 112)
    assert np.sqrt((error**2).mean()) <= 1.06 * theory
    assert abs(error.mean()) < 3 * theory / np.sqrt(len(error))


def test_keep_rules(tmp_path):
    chance = random.Random(0)
    words = document(chance, 100)
    texts = [" ".join(edited(words, chance, 1)) + " tail" * i for i in (0, 2, 1)] + [" ".join(document(chance, 60))]
    stars = [1.5, None, 7.0, 3.0]
    for rule, kept in (("first", 0), ("longest", 1), (("stars", "max"), 2), (("stars", "min"), 0)):
        docs = corpus(texts, 2, stars=pa.array(stars))
        run = Run(MinHashDedup(docs=docs, keep=rule), tmp_path / str(kept) / str(rule)).all()
        assert run.kept() == [kept, 3], rule


def test_keep_rule_over_a_column_that_is_missing(texts, tmp_path):
    with pytest.raises(DataError, match="no column 'stars'"):
        Run(MinHashDedup(docs=corpus(texts), keep=("stars", "max")), tmp_path).all()


def test_earlier_documents_win_and_are_never_removed(tmp_path):
    """An incremental run is the full run with the old documents pinned: new ones go for kept old ones first."""
    old, new = chained(7, 80), chained(8, 40)
    chance = random.Random(3)
    new += [" ".join(edited(text.split(), chance, 2)) for text in old[::3] if len(text) > 200]
    chance.shuffle(new)
    before = Run(MinHashDedup(docs=corpus(old, 3, name="a" * 12)), tmp_path / "old").all()
    node = MinHashDedup(docs=corpus(new, 2, name="b" * 12), against=(before.node,))
    run = Run(node, tmp_path / "new", against=[before]).all()
    full = Run(MinHashDedup(docs=corpus(old + new, 4)), tmp_path / "full").all()

    old_ids = {name for table in before.docs().tables for name in table["id"].to_pylist()}
    for kept in run.column("duplicate_of"):
        assert kept is None or kept.startswith("b") or kept in old_ids
    assert any(kept and kept.startswith("a") for kept in run.column("duplicate_of"))
    removed_before = {i for i, reason in enumerate(before.reasons()) if reason}
    names = [name for table in before.docs().tables for name in table["id"].to_pylist()]
    assert not {names[i] for i in removed_before} & set(run.column("duplicate_of"))
    # The old part of the full run decides as before, so both agree on every new document.
    in_full = full.reasons()
    assert in_full[: len(old)] == before.reasons()
    assert [r is None for r in in_full[len(old) :]] == [r is None for r in run.reasons()]


@pytest.mark.parametrize("merged", [False, True])
def test_a_chain_of_earlier_nodes_finds_what_joining_all_keys_finds(tmp_path, monkeypatch, merged):
    """Their keys are not joined again: clusters come from the nodes that found them, each against the ones before."""
    if merged:  # 5 earlier key files and 2 new ones in threes: the second merged file holds both
        monkeypatch.setattr(merge, "MAX_REQUESTS", 0)
        monkeypatch.setattr(merge, "MERGED", 3)
    chance = random.Random(11)
    first, second = chained(21, 60), chained(22, 60)
    second += [" ".join(edited(text.split(), chance, 2)) for text in first[::4] if len(text) > 200]
    third = chained(23, 30)
    third += [" ".join(edited(text.split(), chance, 3)) for text in [*first[1::5], *second[1::5]] if len(text) > 200]
    one = Run(MinHashDedup(docs=corpus(first, 3, name="a" * 12)), tmp_path / "one").all()
    two_node = MinHashDedup(docs=corpus(second, 2, name="b" * 12), against=(one.node,))
    two = Run(two_node, tmp_path / "two", against=[one]).all()
    three_node = MinHashDedup(docs=corpus(third, 2, name="c" * 12), against=(one.node, two_node))
    three = Run(three_node, tmp_path / "three", against=[one, two]).all()
    assert len(three.results["merge"]) == (3 if merged else 0)

    everything = [*first, *second, *third]
    whole = Run(MinHashDedup(docs=corpus(everything, 5)), tmp_path / "whole").all()
    fresh = len(first) + len(second)
    assert _clusters(three, fresh) == _clusters(whole, fresh)
    assert any(len(cluster) > 2 and min(cluster) < len(first) for cluster in _clusters(three, fresh))


def _clusters(run: Run, fresh: int) -> set[tuple[int, ...]]:
    """The clusters that hold a document from `fresh` on, as dense rows."""
    rows, starts = (np.load(run.folder / "components" / f"all-{name}.npy") for name in ("rows", "starts"))
    found = {tuple(rows[a:b].tolist()) for a, b in itertools.pairwise(starts)}
    return {cluster for cluster in found if cluster[-1] >= fresh}


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_an_earlier_node_only_reported_is_still_there(tmp_path, dry_run):
    """A duplicate that a dry run left in its corpus is what its copy goes for; one that went cannot be."""
    words = document(random.Random(1), 80)
    alike = " ".join([*words[:-1], "other"])
    before = Run(MinHashDedup(docs=corpus([" ".join(words), alike], name="a" * 12), dry_run=dry_run), tmp_path / "old")
    node = MinHashDedup(docs=corpus([alike.upper()], name="b" * 12), against=(before.all().node,))
    run = Run(node, tmp_path / "new", against=[before]).all()
    assert run.column("duplicate_of") == ["a" * 12 + (":0:1" if dry_run else ":0:0")]
    assert run.reasons() == ["minhash_dedup.exact" if dry_run else "minhash_dedup.near"]


def test_documents_cannot_be_compared_with_themselves(texts, tmp_path):
    before = Run(MinHashDedup(docs=corpus(texts)), tmp_path / "old").all()
    node = MinHashDedup(docs=corpus(texts), against=(before.node,))
    with pytest.raises(DataError, match="same base"):
        Run(node, tmp_path / "new", against=[before]).all()


def test_dry_run_reports_and_removes_nothing(texts, whole, tmp_path):
    run = Run(MinHashDedup(docs=corpus(texts), dry_run=True), tmp_path).all()
    assert run.column("duplicate_of") == whole.column("duplicate_of")
    assert all(part.removed is None for parts in run.rows.values() for part in parts)
    for phase, other in zip(run.node.phases(), whole.node.phases(), strict=True):
        assert phase.fields is None or "dry_run" not in phase.fields
        assert (phase.fields is None) == (phase.name in ("verdict", "rows"))
        assert ("min_jaccard" in (other.fields or ())) == (phase.name == "keep")


def test_figures_are_ones_that_the_report_draws(whole):
    shown = figures(LocalContext(whole, "verdict", "all"))
    for figure in shown:
        check(figure)
    assert {"bars", "lines", "table", "diff"} <= {figure["kind"] for figure in shown}
    curve = next(figure for figure in shown if figure["kind"] == "lines")
    assert [series["name"] for series in curve["series"]] == ["curve", "observed pairs"]


# bad input ------------------------------------------------------------------------------------------------------------


def test_many_identical_documents_stop_the_node_before_anything_goes(tmp_path):
    same = ["the same eight words in every one document"] * 200_000
    node = MinHashDedup(docs=corpus(same, 2))
    with pytest.raises(TooMuchRemoved, match=r"199999 of 200000 documents \(100\.0%\).*dry_run"):
        Run(node, tmp_path, batch=50_000).all()
    run = Run(MinHashDedup(docs=corpus(same, 2), max_removed_fraction=1.0), tmp_path, batch=50_000).all()
    assert run.kept() == [0]


def test_one_source_that_goes_stops_the_node_and_is_named(texts, tmp_path):
    sources = ["good"] * len(texts) + ["bad"] * 150 + ["tiny"]
    docs = corpus([*texts, *["a page that says nothing at all"] * 151], 3, source=pa.array(sources))
    with pytest.raises(TooMuchRemoved, match=r"source 'bad'.*149 of 150"):
        Run(MinHashDedup(docs=docs), tmp_path / "a").all()
    allowed = MinHashDedup(docs=docs, max_removed_fraction={"*": 0.9, "bad": 1.0})
    run = Run(allowed, tmp_path / "b").all()
    assert run.reasons()[-1] == "minhash_dedup.exact"  # a source of one document is too small to judge
    assert ["bad", 150, 149] in run.results["verdict"]["all"].facts["sources"]


def test_a_corpus_of_one_document_and_of_none(tmp_path):
    one = Run(MinHashDedup(docs=corpus(["just the one"])), tmp_path / "one").all()
    assert one.kept() == [0]
    none = Run(MinHashDedup(docs=corpus([])), tmp_path / "none").all()
    assert none.kept() == []


def test_a_document_of_fifty_megabytes(tmp_path):
    chance = random.Random(1)
    long = " ".join(document(chance, 1000)) + " "
    long = long * (50_000_000 // len(long))
    run = Run(MinHashDedup(docs=corpus([long, "short one", long + "end"])), tmp_path).all()
    assert run.kept() == [0, 1]


def test_a_key_file_cut_short_or_missing_is_named(texts, tmp_path):
    node = MinHashDedup(docs=corpus(texts, 2))
    for harm in ("cut", "gone"):
        run = Run(node, tmp_path / harm)
        phases = {phase.name: phase for phase in node.phases()}
        run.phase(phases["keys"])
        run.phase(phases["merge"])
        file = next((run.folder / "keys").glob("*001.parquet"))
        whole = file.read_bytes()
        file.unlink()
        if harm == "cut":
            file.write_bytes(whole[:-100])
        with pytest.raises(DataError, match=r"001\.parquet"):
            run.phase(phases["edges"])


def test_a_key_file_of_other_documents_does_not_balance(texts, tmp_path):
    """A whole file, but not the one that the receipt counts."""
    node = MinHashDedup(docs=corpus(texts, 2))
    run = Run(node, tmp_path)
    phases = {phase.name: phase for phase in node.phases()}
    for name in ("keys", "merge"):
        run.phase(phases[name])
    one, other = sorted((run.folder / "keys").glob("*.parquet"))
    other.write_bytes(one.read_bytes()) if one.stat().st_size != other.stat().st_size else other.unlink()
    run.phase(phases["edges"])
    with pytest.raises(DataError, match="keys read"):
        run.phase(phases["components"])


def test_a_full_disk_raises_in_the_task_that_met_it(texts, tmp_path):
    node = MinHashDedup(docs=corpus(texts * 20, 1))
    run = Run(node, tmp_path)
    keys_phase = node.phases()[0]
    ctx = LocalContext(run, "keys", "x", node.docs.shards()[0])
    for ext in ("-documents.npy", "-signatures.npy"):
        path = ctx.path("keys", "x", ext)
        path.parent.mkdir(exist_ok=True)
        path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as full:  # noqa: PT012
        writer = keys_phase.open(ctx)
        for table in run.batches(node.docs.tables[0], keys_phase.needs):
            writer.add(table)
        writer.finish()
    assert full.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"permutations": 128}, "112 places do not divide.*224"),
        ({"bands": 14, "preset": "wide"}, "together"),
        ({"preset": "wide", "similarity": 0.7}, "together"),
        ({"unit": "letter"}, "unit"),
        ({"keep": "best"}, "keep"),
        ({"preset": "narrow"}, "preset"),
    ],
)
def test_fields_that_contradict_each_other(fields, message):
    with pytest.raises(RecipeError, match=message):
        MinHashDedup(docs=corpus(["x"]), **fields).check()


def test_earlier_keys_made_otherwise_are_refused():
    earlier = MinHashDedup(docs=corpus(["x"]), ngram=4)
    with pytest.raises(RecipeError, match=r"against\[0\]"):
        MinHashDedup(docs=corpus(["y"]), against=(earlier,)).check()


def test_bands_from_presets_a_threshold_and_numbers():
    def banding(**fields):
        node = MinHashDedup(docs=corpus(["x"]), **fields)
        node.check()
        return node.banding()

    assert banding() == (14, 8)
    assert banding(preset="strict") == (9, 13)
    assert banding(preset="wide") == (20, 5)
    assert banding(bands=10, rows=4, permutations=80) == (10, 4)
    assert banding(similarity=0.8, permutations=128) == (9, 13)
    assert MinHashDedup(docs=corpus(["x"]), permutations=224).places() == 224


def test_the_optimiser_that_chooses_the_bands_is_part_of_the_identity(monkeypatch):
    docs = Read(paths=("x",))

    def identity(**fields):
        node = MinHashDedup(docs=docs, **fields)
        return fingerprint.digest(fingerprint.node_form(node, lambda node: "input", {}))

    before = identity(similarity=0.8), identity(preset="strict")
    monkeypatch.setattr(metadata, "version", lambda name: "9.9")
    after = identity(similarity=0.8), identity(preset="strict")
    assert before[0] != after[0]
    assert before[1] == after[1]
