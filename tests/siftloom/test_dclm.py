"""A configuration in DCLM's form becomes a recipe: each function a rule, nothing beside it, what is unlike an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from command_line import PROSE, siftloom

from pipeline.errors import RecipeError
from pipeline.recipe import load
from siftloom.begin.dclm import translate
from siftloom.vocabulary import vocabulary

# the functions, in their order, and the numbers of the authors' dclm_baseline_refinedweb.yaml
BASELINE = [
    {"func": "move_url_modifier"},
    {"func": "url_substring_filter", "banlist_from_fname": "lists/domains.txt", "exact_domain_match": True,
     "ignore_chars": ["www"]},
    {"func": "url_substring_filter", "banlist_from_fname": "lists/strict.txt", "ignore_chars": ["-", "."]},
    {"func": "url_substring_filter", "banlist_from_fname": "lists/hard.txt", "match_substrings": False},
    {"func": "url_substring_filter", "banlist_from_fname": "lists/soft.txt", "match_substrings": False,
     "num_banned_substrs": 2},
    {"func": "url_removal_modifier"},
    {"func": "newline_removal_modifier", "max_consecutive": 2},
    {"func": "detect_lang_whole_page_enricher", "model": "fasttext", "key_prefix": "language_id_whole_page"},
    {"func": "language_filter", "key": "language_id_whole_page_fasttext", "keep_languages": ["en"], "threshold": 0.65},
    {"func": "page_length_filter", "length_type": "word", "min_length": 50, "max_length": 100000,
     "ignore_punctuation": True},
    {"func": "word_length_filter", "min_length": 3, "max_length": 10},
    {"func": "symbol_ratio_filter", "max_symbol_to_word_ratio": 0.1},
    {"func": "bullet_count_filter", "max_bullet_start_ratio": 0.9},
    {"func": "ellipsis_count_filter", "max_ellipsis_end_ratio": 0.3},
    {"func": "alphabetic_word_ratio_filter", "max_ratio": 0.2},
    {"func": "stop_word_filter", "count_unique": False, "min_stop_word": 2},
    {"func": "massive_web_repetition_filters"},
    {"func": "word_counter_enricher", "key": "previous_word_count"},
    {"func": "uppercase_ratio_line_modifier", "max_ratio": 0.5},
    {"func": "numeric_ratio_line_modifier", "max_ratio": 0.999999},
    {"func": "counter_line_modifier"},
    {"func": "line_length_modifier", "min_length": 2},
    {"func": "substring_line_modifier", "max_length": 10, "banlist": "items in cart", "remove_substring_only": True},
    {"func": "substring_line_modifier", "max_length": 10, "banlist": "Read more...", "location": "suffix",
     "remove_substring_only": True},
    {"func": "substring_line_modifier", "max_length": 10, "banlist": "Sign-in", "location": "prefix",
     "remove_substring_only": True},
    {"func": "word_removal_ratio_filter", "prev_word_count_key": "previous_word_count", "max_removed_ratio": 0.05},
]  # fmt: skip


def written(folder: Path, steps: list[dict]) -> str:
    path = folder / "theirs.yaml"
    path.write_text(yaml.safe_dump([{"source": "cc", "steps": steps}]))
    return str(path)


def test_the_baseline_is_the_rules_with_their_defaults(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    for name in ("domains", "strict", "hard", "soft"):
        (tmp_path / "lists" / f"{name}.txt").write_text("bad\n")
    (tmp_path / "data").mkdir()
    rows = [{"url": f"http://{'bad' if n == 3 else 'x'}.org/{n}", "text": PROSE.format(n=n)} for n in range(12)]
    (tmp_path / "data" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = siftloom("init", "data", "--from-dclm", written(tmp_path, BASELINE), cwd=tmp_path).stdout
    assert "url_removal_modifier: baselines/mappers/iana_tlds.txt not found here" in said
    nodes = load(tmp_path / "recipe.yaml", vocabulary()).nodes
    assert [node.kind() for node in nodes.values()] == [
        "read", "url", "tidy", "language", "gopher_quality", "gopher_repetition", "refinedweb_lines", "write",
    ]  # fmt: skip
    url = nodes["addresses"]
    places = [Path(path).name for path in (*url.domains, *url.strict, *url.hard, *url.soft)]
    assert places == ["domains.txt", "strict.txt", "hard.txt", "soft.txt"]
    assert all(Path(path).exists() for path in (*url.domains, *url.soft))
    plain, defaults = nodes["plain"], type(nodes["plain"])(docs=nodes["docs"])
    assert (plain.words, nodes["varied"].words, nodes["lines"].words) == ("dclm", "dclm", "dclm")
    assert plain.max_ellipses is None  # `max_hashes` limits both there
    fields = [name for name in plain.__dataclass_fields__ if name.startswith(("min_", "max_"))]
    fields.remove("max_ellipses")
    assert {name: getattr(plain, name) for name in fields} == {name: getattr(defaults, name) for name in fields}
    lines, usual = nodes["lines"], type(nodes["lines"])(docs=nodes["docs"])
    fields = [name for name in lines.__dataclass_fields__ if name not in ("docs", "allow_empty", "words")]
    assert {name: getattr(lines, name) for name in fields} == {name: getattr(usual, name) for name in fields}
    assert nodes["kept"].keep == {"en": 0.65}


def test_what_a_file_does_not_name_removes_nothing(tmp_path: Path) -> None:
    steps = [
        {"func": "bullet_count_filter", "max_bullet_start_ratio": 0.8},
        {"func": "massive_web_repetition_filters", "skip_paragraph": True},
        {"func": "punctuation_line_modifier"},
        {"func": "line_length_modifier", "min_length": 5},
        {"func": "substring_filter", "banlist": ["{"]},
        {"func": "split_lines_modifier"},
        {"func": "exact_dedup", "content_key": "text"},
        {"func": "join_lines_modifier"},
        {"func": "classify_fasttext_hq_prob_enricher", "model_filename": "hq.bin", "key": "hq"},
        {"func": "quality_filter", "key": "hq", "threshold": 0.018112},
        {"func": "random_sampling_filter", "keep_probability": 0.5},
    ]
    found = translate(written(tmp_path, steps)).nodes
    assert list(found) == ["plain", "varied", "c4", "distinct_lines", "tidied", "scored", "best", "best_2"]
    on = {name: value for name, value in found["plain"].items() if value is not None}
    assert on == {"use": "gopher_quality", "docs": "docs", "max_bullet_lines": 0.8, "words": "dclm"}
    assert found["varied"]["max_dup_paragraphs"] is None
    assert (found["c4"]["min_line_words"], found["c4"]["max_curly_brackets"], found["c4"]["policy"]) == (5, 0, False)
    assert found["scored"]["model"] == {"use": "fasttext_model", "path": "hq.bin"}
    assert (found["best_2"]["sampling"], found["best_2"]["keep_fraction"]) == ("hash", 0.5)
    assert (found["best"]["by"], found["best"]["min"]) == ("hq", 0.018112)


def test_what_no_rule_set_has_becomes_nodes_of_its_own(tmp_path: Path) -> None:
    steps = [
        {"func": "key_name_modifier", "old_key": "body"},
        {"func": "url_substring_filter", "banlist": ["a.org", "B.org"], "exact_domain_match": True,
         "ignore_chars": ["www"]},
        {"func": "page_length_filter", "length_type": "char", "max_length": 190_000},
        {"func": "page_length_filter", "length_type": "word", "min_length": 5},
        {"func": "substring_line_modifier", "banlist": "Read more...", "location": "suffix", "max_length": 4,
         "remove_substring_only": True},
        {"func": "substring_line_modifier", "banlist": ["Cook.es", "ads"], "case_sensitive": True},
        {"func": "substring_filter", "banlist": ["a.b"], "exact_word": True, "location": "prefix"},
        {"func": "punctuation_line_modifier"},
        {"func": "substring_filter", "banlist": "{"},
        {"func": "line_length_modifier", "min_length": 5},
        {"func": "exact_dedup", "content_key": "url", "normalize": "normalize_url", "selection_key": "date"},
        {"func": "within_page_dedup", "granularity": "paragraph", "normalize": False},
        {"func": "language_filter", "keep_languages": ["en"], "threshold": 0.99},
    ]  # fmt: skip
    made = translate(written(tmp_path, steps))
    found = {name: {**fields, "docs": None} for name, fields in made.nodes.items()}
    assert (made.text, made.lists) == (("body", False), {"dclm_domains.txt": ["a.org", "b.org"]})
    assert found["addresses"]["domains"] == ["dclm_domains.txt"]
    assert [(found[name].get("max_chars"), found[name].get("words")) for name in ("long_enough", "long_enough_2")] == [
        (190_000, None), (None, "dclm"),
    ]  # fmt: skip
    one, other = found["without_phrases"], found["without_phrases_2"]
    assert (one["patterns"], one["where"], one["max_words"], one["only_match"]) == (["read more..."], "end", 4, True)
    assert (other["patterns"], other["ignore_case"]) == (["Cook.es", "ads"], False)
    assert found["unlisted"] == {
        "use": "patterns", "docs": None, "as": "unlisted", "patterns": ["a.b"], "whole_words": True, "where": "start",
    }  # fmt: skip
    assert (found["c4"]["end_mark"], found["c4"]["keep_ellipsis"], found["c4"]["max_curly_brackets"]) == (True, True, 0)
    assert found["lines"]["min_line_words"] == 5  # behind the braces of a page, so no rule of that c4
    assert found["pages"]["form"] == "c4"
    assert (found["varied_lines"]["unit"], found["varied_lines"]["ignore_case"]) == ("paragraph", False)
    assert found["kept"]["detector"] == "langdetect"
    assert [note.partition(":")[0] for note in made.notes] == ["exact_dedup by url"]


@pytest.mark.parametrize(
    ("step", "what"),
    [
        ({"func": "stop_words_filter"}, "step 1, stop_words_filter.*stop_word_filter"),
        ({"func": "stop_word_filter", "min_words": 2}, "the argument 'min_words'.*min_stop_word"),
        ({"func": "page_length_filter", "length_type": "token", "max_length": 9}, "length_type: token"),
        ({"func": "split_lines_modifier", "delimiter": "."}, "delimiter: '.'"),
        ({"func": "line_length_modifier", "max_length": 9}, "max_length: 9 words of a line"),
        ({"func": "word_removal_ratio_filter", "prev_word_count_key": "n"}, "words that were counted elsewhere"),
        ({"func": "url_substring_filter", "banlist": ["x"], "case_sensitive": True}, "case does not matter"),
        ({"func": "url_substring_filter", "banlist": ["x"], "ignore_chars": [","]}, r"ignore_chars: \[','\]"),
        ({"func": "exact_dedup", "content_key": "url", "normalize": "ccnet_dedup_normalizer"}, "normalize: ccnet"),
        ({"func": "exact_dedup", "content_key": "id"}, "content_key: id"),
        ({"func": "url_substring_filter", "banlist_from_fname": "x.pkl"}, "no text file"),
        ({"func": "language_filter"}, "step 1, language_filter: no argument 'keep_languages'"),
        ({"func": "page_length_filter", "min_length": 5}, "no argument 'length_type'"),
        ({"func": "stop_word_filter", "min_stop_word": "few"}, "step 1, stop_word_filter: .*'few'"),
        ({"func": "language_filter", "keep_languages": 3}, "step 1, language_filter: "),
    ],
)
def test_what_is_unlike_is_named_with_its_step(tmp_path: Path, step: dict, what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        translate(written(tmp_path, [step]))
    twice = [
        {"func": "bullet_count_filter"},
        {"func": "massive_web_repetition_filters"},
        {"func": "symbol_ratio_filter"},
    ]
    with pytest.raises(RecipeError, match="step 3, symbol_ratio_filter: rules of gopher_quality a second time"):
        translate(written(tmp_path, twice))
    (tmp_path / "other.yaml").write_text("nodes: {}\n")
    with pytest.raises(RecipeError, match="a list of one source"):
        translate(str(tmp_path / "other.yaml"))


BOMB = "- source: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"  k{i}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)
)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (BOMB + "  steps: *m\n", "values once its aliases are written out"),
        ("{a: " * 10_000, "in one another"),
        ("- source: c\n  steps: " + "[" * 200 + "]" * 200, "in one another"),
        ("- source: c\n  steps: 2020-13-45\n", "month must be"),
        ("- !!python/object/apply:os.system ['true']", "the tag"),
        (" " * (9 << 20), "more than 8,388,608 bytes"),
    ],
)
def test_a_hostile_file_is_refused_before_it_is_read(text, match, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(RecipeError, match=match):
        translate(str(tmp_path / "c.yaml"))


def test_a_file_without_an_end_is_refused():
    with pytest.raises(RecipeError, match="more than"):
        translate("/dev/zero")
