"""Which documents the demo corpus has: how many of each kind, from where, and the truth about each."""

from collections import Counter, defaultdict
from pathlib import Path

from recipes.rebuild import faults, sources
from recipes.rebuild import passages as cut
from recipes.rebuild.faults import Draw

FILES = 4
CLEAN = {
    "austen": 750,
    "sqlite": 400,
    "rust": 385,
    "postgresql": 345,
    "jargon": 240,
    "apache": 140,
    "devil": 60,
}
GOOD = {"austen": 50, "sqlite": 30, "rust": 30, "postgresql": 25, "jargon": 15, "apache": 10}
NEAR_BINS, NEAR_PER_BIN = (0.6, 0.7, 0.8, 0.9), 48
EXACT, EXACT_TWICE, EXACT_NORMALISED = 60, 12, 24
BOILERPLATE, GIBBERISH, REPETITION, LISTING = 108, 90, 90, 90
LANGUAGES = {"de": 11, "es": 11, "fr": 11, "ja": 11, "ko": 11, "pt-br": 11, "ru": 11, "tr": 11, "zh-cn": 5}
EVAL_ITEMS, LEAKED, LEAK_EACH = 24, 8, 3
MAX_CHANCE_SIMILARITY = 0.3

Row = dict[str, object]


class Pool:
    """Passages by source, each handed out once, none of them similar to one handed out before."""

    def __init__(self, passages: dict[str, list[str]]) -> None:
        self.left = {source: iter(texts) for source, texts in passages.items()}
        self.taken: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self.sizes: list[int] = []

    def take(self, source: str, low: int = 0, high: int = 10**9) -> str:
        """The next passage of `low` to `high` words; those passed over are gone."""
        for text in self.left[source]:
            if low <= len(text.split()) <= high:
                grams = faults.shingles(text)
                shared = Counter(other for gram in grams for other in self.taken.get(gram, ()))
                if all(
                    n / (len(grams) + self.sizes[other] - n) <= MAX_CHANCE_SIMILARITY for other, n in shared.items()
                ):
                    for gram in grams:
                        self.taken[gram].append(len(self.sizes))
                    self.sizes.append(len(grams))
                    return text
        raise SystemExit(f"{source}: no passage of {low} to {high} words is left")


def clean_rows(pool: Pool) -> list[Row]:
    return [
        {"source": source, "text": pool.take(source), "kind": "clean"}
        for source, count in CLEAN.items()
        for _ in range(count)
    ]


def copies(clean: list[Row]) -> list[Row]:
    """Near, exact and exact_normalised copies, each of another original; `of` holds the original's row."""
    free = sorted(clean, key=lambda row: Draw("original", row["text"]).key)
    words: dict[str, set[str]] = defaultdict(set)
    for row in clean:
        words[str(row["source"])].update(
            w for w in str(row["text"]).lower().split() if w.isalpha() and 3 <= len(w) <= 9
        )
    vocabulary = {source: sorted(found) for source, found in words.items()}
    found: list[Row] = []
    # Targets lie evenly in each bin; a copy is at most 0.01 below its target, and never in the bin below.
    targets = [(low, low + 0.1 * (i + 1) / NEAR_PER_BIN) for low in NEAR_BINS for i in range(NEAR_PER_BIN)]
    for low, target in targets:
        for row in free:
            text = str(row["text"])
            if 90 <= len(text.split()) <= 250:
                draw, replacements = Draw("near", target, text), vocabulary[str(row["source"])]
                copy = faults.near_copy(text, max(low, target - 0.01), target, replacements, draw)
                if copy:
                    found.append(
                        {
                            "source": row["source"],
                            "text": copy,
                            "kind": "near",
                            "of": row,
                            "jaccard": faults.jaccard(text, copy),
                        }
                    )
                    free.remove(row)
                    break
    short = [row for row in free if len(str(row["text"]).split()) <= 150]
    for number, row in enumerate(short[: EXACT + EXACT_NORMALISED]):
        text, kind = str(row["text"]), "exact" if number < EXACT else "exact_normalised"
        copy = text if kind == "exact" else faults.same_words(text, Draw("same", text))
        found += [
            {"source": row["source"], "text": copy, "kind": kind, "of": row, "jaccard": 1.0}
            for _ in range(2 if number < EXACT_TWICE else 1)
        ]
    return found


def boilerplate_rows(pool: Pool) -> list[Row]:
    rows: list[Row] = []
    for number in range(BOILERPLATE):
        source = ("sqlite", "postgresql", "rust", "austen")[number % 4]
        head, foot = faults.BOILERPLATE[number % len(faults.BOILERPLATE)]
        lines = [head, *pool.take(source, 110, 240).split("\n"), foot]
        rows.append({"source": source, "text": "\n".join(lines), "kind": "boilerplate", "lines": [0, len(lines) - 1]})
    return rows


def leak_rows(pool: Pool, items: list[Row]) -> list[Row]:
    """Items of the evaluation set as a paragraph of otherwise clean text; one in three not verbatim."""
    rows: list[Row] = []
    for item in items[:LEAKED]:
        for number in range(LEAK_EACH):
            paragraphs = pool.take("sqlite" if number else "austen", 120, 260).split("\n\n")
            passage = str(item["text"])
            paragraphs.insert(len(paragraphs) // 2, passage.lower().replace(",", " ") if number == 2 else passage)
            rows.append(
                {
                    "source": "sqlite" if number else "austen",
                    "text": "\n\n".join(paragraphs),
                    "kind": "leak",
                    "of": item["id"],
                    "verbatim": number != 2,
                }
            )
    return rows


def noise_rows(pool: Pool, foreign: list[str]) -> list[Row]:
    rows: list[Row] = []
    for number in range(GIBBERISH):
        prose = foreign[number % len(foreign)] if number % 10 == 9 else pool.take("austen", 0, 90)
        rows.append({"source": "noise", "text": faults.gibberish(number, prose), "kind": "gibberish"})
    for number in range(REPETITION):
        source = ("sqlite", "austen", "postgresql")[number % 3]
        rows.append({"source": source, "text": faults.repetition(number, pool.take(source)), "kind": "repetition"})
    listings: list[Row] = [
        {"source": "listing", "text": pool.take("listing"), "kind": "listing"} for _ in range(LISTING)
    ]
    return rows + listings


def assemble(tree: Path) -> dict[str, list[Row]]:
    """All rows by file, from the unpacked packages."""
    novels = sources.novel_pages(tree)
    austen = {
        f"{title}/{name}": page
        for title, pages in novels.items()
        if title != "northanger"
        for name, page in pages.items()
    }
    english = {
        "austen": austen,
        "jargon": sources.jargon_pages(tree),
        "devil": sources.devil_pages(tree),
        **sources.manual_pages(tree),
    }
    pool = Pool(
        {
            "eval": cut.passages(novels["northanger"], "eval", 40, 70),
            "listing": cut.listings(sources.listing_pages(tree)),
            **{source: cut.passages(pages, source) for source, pages in english.items()},
            **{
                language: cut.foreign_passages(sources.translated_pages(tree, language), language)
                for language in LANGUAGES
            },
        }
    )
    items: list[Row] = [
        {"id": f"eval-{n:02}", "text": pool.take("eval").replace("\n\n", " ")} for n in range(EVAL_ITEMS)
    ]
    good: list[Row] = [
        {"id": f"good-{n:03}", "text": pool.take(source), "source": source}
        for n, source in enumerate(s for s, count in GOOD.items() for _ in range(count))
    ]
    clean = clean_rows(pool)
    abroad: list[Row] = [
        {"source": "apache", "text": pool.take(language), "kind": "language", "language": language}
        for language, count in LANGUAGES.items()
        for _ in range(count)
    ]
    # Latin-1 leaves German or French readable; of these scripts it leaves nothing.
    foreign = [str(row["text"]) for row in abroad if row["language"] in ("ja", "ko", "ru")]
    rows = [
        *clean,
        *copies(clean),
        *boilerplate_rows(pool),
        *leak_rows(pool, items),
        *noise_rows(pool, foreign),
        *abroad,
    ]

    # The place of a row in the corpus: keyed by its text and how many rows with this text came before it.
    before: Counter[str] = Counter()
    for row in rows:
        text = str(row["text"])
        row["place"] = Draw("place", text, before[text]).key
        before[text] += 1
    rows.sort(key=lambda row: row["place"])  # type: ignore[arg-type, return-value]
    for number, row in enumerate(rows):
        row["id"] = f"demo-{number:04}"
    truth = [
        {
            "id": row["id"],
            "kind": row["kind"],
            **({"of": row["of"]["id"] if isinstance(row["of"], dict) else row["of"]} if "of" in row else {}),
            **({"jaccard": round(float(str(row["jaccard"])), 6)} if "jaccard" in row else {}),
            **{key: row[key] for key in ("lines", "verbatim", "language") if key in row},
        }
        for row in rows
    ]
    corpus = [{key: row[key] for key in ("id", "text", "source")} for row in rows]
    size = -(-len(corpus) // FILES)
    return {
        **{f"corpus-{n:02}": corpus[n * size : (n + 1) * size] for n in range(FILES)},
        "good-00": good,
        "eval-00": items,
        "truth": truth,
    }
