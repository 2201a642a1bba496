"""What each function of DCLM's YAML becomes: the table of aliases, and the nodes that grow from it step by step.

Rules of ours that stand in one node are gathered into it while they follow each other; what a step does not say is
switched off, so that the recipe removes for the file's reasons and no others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from siftloom.begin import dclm_texts as texts
from siftloom.begin.dclm_texts import Step
from siftloom.begin.dclm_translation import Translation, Unlike

ADDRESS = "metadata.WARC-Target-URI"
WHOLE_PAGE = 1_000_000_000  # characters
UNITS = {"char": "chars", "line": "lines", "paragraph": "paragraphs", "sentence": "sentences", "word": "words"}
LOWER, ADDRESSES = "normalize_whitespace_and_lowercase", "normalize_url"


def _language(found: Translation, step: Step) -> None:
    whole = {"max_chars": WHOLE_PAGE, "first_chars": WHOLE_PAGE, "skip_code": False}
    if not isinstance(step["keep_languages"], list):
        raise TypeError("keep_languages is no list")
    keep = {str(code): float(step.get("threshold", 0.0)) for code in step["keep_languages"]}
    theirs = "langdetect" in str(step.get("key", "langdetect"))
    other = {"detector": "langdetect"} if theirs else {"line_end": ""}
    found.add("language", keep=keep, **whole, **other)


def _page_length(found: Translation, step: Step) -> None:
    kind, low, high = step["length_type"], step.get("min_length", 1), step.get("max_length")
    unit, model = UNITS.get(kind), step.get("model", "fasttext")
    if unit is None:
        raise Unlike(f"length_type: {kind}")
    limits = {f"{side}_{unit}": int(value) for side, value in (("min", low), ("max", high)) if value is not None}
    if kind == "word" and step.get("ignore_punctuation"):
        if model != "fasttext":
            raise Unlike(f"model: {model} without punctuation")
        found.add("gopher_quality", **limits)
    elif kind == "word" and model not in ("fasttext", "split"):
        raise Unlike(f"model: {model}")
    else:
        found.add("length", **limits, **({"words": "dclm"} if kind == "word" and model == "fasttext" else {}))
    if kind == "sentence":
        found.notes.append("page_length_filter: a sentence ends at its mark or with its line, theirs is a tokenizer's")


def _symbols(found: Translation, step: Step) -> None:
    most = float(step.get("max_symbol_to_word_ratio", 0.1))
    found.add("gopher_quality", max_hashes=most)  # with `words: dclm` it limits both together


def _stop_words(found: Translation, step: Step) -> None:
    found.add(
        "gopher_quality",
        min_stop_words=int(step.get("min_stop_word", 2)),
        **({"distinct_stop_words": True} if step.get("count_unique") else {}),
    )


def _repetition(found: Translation, step: Step) -> None:
    off = dict.fromkeys(("max_dup_paragraphs", "max_dup_paragraph_chars")) if step.get("skip_paragraph") else {}
    found.add("gopher_repetition", **off)


def _exact_dedup(found: Translation, step: Step) -> None:
    key, form = step.get("content_key", "text"), step.get("normalize")
    if key not in ("text", "url"):
        raise Unlike(f"content_key: {key}")
    kinds = {
        "url_dedup": {None: {"form": "text"}, "hash_text": {"form": "text"}, ADDRESSES: {"form": "c4"}},
        "line_dedup": {None: {"match": "bytes"}, "hash_text": {"match": "bytes"}, LOWER: {"match": "lower"}},
        "exact_dedup": {None: {}, "hash_text": {}},
    }
    kind = "url_dedup" if key == "url" else "line_dedup" if found.split else "exact_dedup"
    if form not in kinds[kind]:
        raise Unlike(f"normalize: {form}")
    selection = step.get("selection_key"), step.get("selection_normalize"), bool(step.get("selection_reverse"))
    by_url = kind == "line_dedup" and selection == ("url", "hash_text", False)
    found.add(kind, **kinds[kind][form], **({"first_by": "url"} if by_url else {}))
    if "selection_key" in step and not by_url:
        found.notes.append(f"exact_dedup by {key}: the first copy in the order of the files stays, theirs the one with "
                           f"the least {step['selection_key']}")  # fmt: skip
    if kind == "line_dedup":
        found.add(
            "tidy", max_newlines=1, trim=True
        )  # empty lines are lines to them, of which one stays in the whole corpus


def _split(on: bool) -> Callable[[Translation, Step], None]:
    def change(found: Translation, step: Step) -> None:
        if (end := step.get("delimiter", "\n")) != "\n":
            raise Unlike(f"delimiter: {end!r}")
        found.split = on

    return change


def _model(found: Translation, step: Step) -> None:
    model = {"use": "fasttext_model", "path": found.file(str(step["model_filename"]))}
    found.add("quality", model=model, **{"as": str(step.get("key", "fasttext_hq_prob"))})


def _quality(found: Translation, step: Step) -> None:
    side = "max" if step.get("lower_better") else "min"
    found.add("select", by=str(step.get("key", "fasttext_hq_prob")), **{side: float(step.get("threshold", 0.0))})


def _sampling(found: Translation, step: Step) -> None:
    found.add("select", sampling="hash", keep_fraction=float(step.get("keep_probability", 0.1)))
    found.notes.append("random_sampling_filter: the id of a document decides, so the same ones stay every time")


def _address(found: Translation, step: Step) -> None:
    found.url = ADDRESS


def _renamed(found: Translation, step: Step) -> None:
    old, new = str(step.get("old_key", "content")), str(step.get("new_key", "text"))
    if new == "text":
        found.text = old, bool(step.get("allow_overwrite"))
    elif new == "url":
        found.url = old
    else:
        found.notes.append(f"key_name_modifier: {old} keeps its name, which no step asks for as {new}")


def _counter(found: Translation, step: Step) -> None:
    if not step.get("ignore_punctuation", True) or step.get("model", "fasttext") != "fasttext":
        raise Unlike("words that are counted with punctuation, or by another model than fasttext")
    found.counted = found.last_name()


def _nothing(found: Translation, step: Step) -> None:
    pass  # what it adds is a column of a node that follows


def _one(kind: str, argument: str, name: str, default: Any = None) -> Callable[[Translation, Step], None]:
    """A function with one argument that is one field."""
    return lambda found, step: found.add(kind, **{name: step.get(argument, default)})


def _word_length(found: Translation, step: Step) -> None:
    limits = {"min_mean_word": step.get("min_length", 0), "max_mean_word": step.get("max_length")}
    found.add("gopher_quality", **{name: float(value) for name, value in limits.items() if value is not None})


def _alphabetic(found: Translation, step: Step) -> None:
    found.add("gopher_quality", min_alpha_words=round(1.0 - float(step.get("max_ratio", 0.2)), 9))


# function of theirs -> (arguments that it may have, what is made of it)
ALIASES: dict[str, tuple[str, Callable[[Translation, Step], None]]] = {
    "random_sampling_filter": ("keep_probability", _sampling),
    "move_url_modifier": ("", _address),
    "key_name_modifier": ("old_key new_key allow_overwrite", _renamed),
    "word_counter_enricher": ("key overwrite ignore_punctuation model", _counter),
    "detect_lang_whole_page_enricher": ("model key_prefix seed overwrite", _nothing),
    "url_substring_filter": (
        "banlist banlist_from_fname exact_domain_match ignore_chars match_substrings num_banned_substrs case_sensitive",
        texts.urls,
    ),
    "url_removal_modifier": ("tlds_filepath", texts.removed_urls),
    "newline_removal_modifier": ("max_consecutive", _one("tidy", "max_consecutive", "max_newlines", 2)),
    "language_filter": ("keep_languages key threshold", _language),
    "page_length_filter": (
        "length_type min_length max_length ignore_punctuation model tokenizer tokenizer_lang", _page_length,
    ),
    "word_length_filter": ("min_length max_length", _word_length),
    "symbol_ratio_filter": ("max_symbol_to_word_ratio", _symbols),
    "bullet_count_filter": (
        "max_bullet_start_ratio", _one("gopher_quality", "max_bullet_start_ratio", "max_bullet_lines", 0.9),
    ),
    "ellipsis_count_filter": (
        "max_ellipsis_end_ratio", _one("gopher_quality", "max_ellipsis_end_ratio", "max_ellipsis_lines", 0.3),
    ),
    "alphabetic_word_ratio_filter": ("max_ratio", _alphabetic),
    "stop_word_filter": ("count_unique min_stop_word", _stop_words),
    "massive_web_repetition_filters": ("skip_paragraph", _repetition),
    "uppercase_ratio_line_modifier": ("max_ratio", _one("refinedweb_lines", "max_ratio", "max_upper_case", 0.5)),
    "numeric_ratio_line_modifier": ("max_ratio", _one("refinedweb_lines", "max_ratio", "max_digits", 1.0)),
    "counter_line_modifier": ("", lambda found, step: found.add("refinedweb_lines", counters=True)),
    "line_length_modifier": ("min_length max_length", texts.line_words),
    "substring_line_modifier": ("banlist max_length location remove_substring_only case_sensitive", texts.lines),
    "word_removal_ratio_filter": ("prev_word_count_key max_removed_ratio", texts.removed_words),
    "word_length_modifier": ("max_length model", _one("c4", "max_length", "max_word_chars", 1000)),
    "citation_removal_modifier": ("", lambda found, step: found.add("c4", citations=True)),
    "punctuation_line_modifier": ("remove_ellipses", texts.ends),
    "substring_filter": ("banlist banlist_from_fname location exact_word case_sensitive", texts.documents),
    "exact_dedup": ("content_key normalize selection_key selection_normalize selection_reverse", _exact_dedup),
    "within_page_dedup": ("granularity normalize", texts.within_page),
    "split_lines_modifier": ("delimiter", _split(True)),
    "join_lines_modifier": ("delimiter", _split(False)),
    "classify_fasttext_hq_prob_enricher": ("model_filename key overwrite", _model),
    "quality_filter": ("key threshold lower_better key_must_exist", _quality),
}  # fmt: skip
