"""What each function of DCLM's YAML becomes: the table of aliases, and the nodes that grow from it step by step.

Rules of ours that stand in one node are gathered into it while they follow each other; what a step does not say is
switched off, so that the recipe removes for the file's reasons and no others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from siftloom.begin.dclm_translation import Translation, Unlike

PHRASES = {"items in cart": "any", "read more...": "suffix", "sign-in": "prefix"}  # -> where in a line
SPECIAL = frozenset(r"\.^$*+?{}[]|()")
PHRASE_WORDS = 10  # of a line that is looked at
POLICY = {"terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"}
TLDS = "baselines/mappers/iana_tlds.txt"
WHOLE_PAGE = 1_000_000_000  # characters
Step = Mapping[str, Any]


def _url(found: Translation, step: Step) -> None:
    if "banlist_from_fname" not in step or str(step["banlist_from_fname"]).endswith((".pkl", ".pickle")):
        raise Unlike("a list that is no text file (banlist_from_fname)")
    if step.get("case_sensitive"):
        raise Unlike("case_sensitive: case does not matter in an address here")
    ignored = list(step.get("ignore_chars", []))
    mode = (
        "exact_domain_match"
        if step.get("exact_domain_match")
        else ("substrings" if step.get("match_substrings", True) else "words")
    )
    if ignored != {"exact_domain_match": ["www"], "substrings": ["-", "."], "words": []}[mode]:
        found.notes.append(f"url_substring_filter: ignore_chars {ignored} of {mode} is not taken over")
    files, count = [found.file(str(step["banlist_from_fname"]))], int(step.get("num_banned_substrs", 1))
    if step.get("exact_domain_match"):
        fields: dict[str, Any] = {"domains": files}
        found.notes.append("url_substring_filter: hosts below a listed domain go too, theirs go by the exact host")
    elif step.get("match_substrings", True):
        if count > 1:
            raise Unlike("num_banned_substrs above 1 with match_substrings")
        fields = {"strict": files}
    else:
        fields = {"hard": files} if count == 1 else {"soft": files, "min_soft_words": count}
    last = next(reversed(found.nodes), None)
    if last is not None and found.nodes[last]["use"] == "url" and not set(fields) & set(found.nodes[last]):
        found.nodes[last] |= fields
    else:
        found.add("url", **fields)


def _language(found: Translation, step: Step) -> None:
    whole = {"max_chars": WHOLE_PAGE, "first_chars": WHOLE_PAGE, "skip_code": False}
    keep = {str(code): float(step.get("threshold", 0.0)) for code in step["keep_languages"]}
    found.add("language", keep=keep, **whole)
    if "langdetect" in str(step.get("key", "langdetect")):
        found.notes.append("language_filter: lid.176 in the place of langdetect, whose probabilities are others")


def _page_length(found: Translation, step: Step) -> None:
    kind, low, high = step["length_type"], step.get("min_length"), step.get("max_length")
    if kind == "word":
        limits = {"min_words": low, "max_words": high}
        found.add("gopher_quality", **{name: int(value) for name, value in limits.items() if value is not None})
        if not step.get("ignore_punctuation"):
            found.notes.append("page_length_filter: runs that begin with punctuation do not count here, theirs do")
    elif kind == "sentence" and high is None:
        found.add("c4", min_sentences=int(low or 1))
    else:
        raise Unlike(f"length_type: {kind}" + (" with max_length" if kind == "sentence" else ""))


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


def _substring_lines(found: Translation, step: Step) -> None:
    banned = step["banlist"]
    banned = {str(each).lower() for each in (banned if isinstance(banned, list) else [banned])}
    where, most = step.get("location", "any"), step.get("max_length")
    if banned <= PHRASES.keys() and step.get("remove_substring_only"):
        if {PHRASES[each] for each in banned} != {where} or most != PHRASE_WORDS:
            raise Unlike(f"location: {where} and max_length: {most} for {sorted(banned)}")
        last = found.nodes.get(next(reversed(found.nodes), ""), {})
        if not (last.get("use") == "refinedweb_lines" and last["phrases"]):
            found.add("refinedweb_lines", phrases=True)
    elif (where, most) != ("any", None) or step.get("remove_substring_only"):
        raise Unlike(f"location: {where} and max_length: {most} for {sorted(banned)}")
    elif banned == {"javascript"}:
        found.add("c4", javascript=True)
    elif banned == POLICY:
        found.add("c4", policy=True)
    else:
        raise Unlike(f"banlist: {sorted(banned)}")


def _substring(found: Translation, step: Step) -> None:
    if "banlist_from_fname" in step:
        files = [found.file(str(step["banlist_from_fname"]))]
        found.add("keyword", lists=files, whole_words=bool(step.get("exact_word")), max_hits=0)
        return
    banned = step["banlist"]
    banned = [str(each).lower() for each in (banned if isinstance(banned, list) else [banned])]
    if banned in (["lorem ipsum"], ["{"]):
        found.add("c4", **{"max_lorem_ipsum" if banned[0] != "{" else "max_curly_brackets": 0})
    else:
        if odd := [each for each in banned if SPECIAL & set(each)]:
            raise Unlike(f"banlist: {odd[0]!r}, a regular expression")
        found.add("keyword", terms=banned, whole_words=bool(step.get("exact_word")), max_hits=0)


def _line_length(found: Translation, step: Step) -> None:
    kind = "c4" if found.last() == "c4" else "refinedweb_lines"
    found.add(kind, min_line_words=int(step.get("min_length", 1)))


def _exact_dedup(found: Translation, step: Step) -> None:
    by_url = step.get("content_key", "text") == "url"
    usual = "normalize_url" if by_url else "normalize_whitespace_and_lowercase" if found.split else None
    if step.get("normalize", usual) != usual:
        raise Unlike(f"normalize: {step['normalize']}")
    if "selection_key" in step:
        found.notes.append("exact_dedup: the first copy in the order of the files stays, theirs by selection_key")
    if step.get("content_key", "text") == "url":
        found.add("url_dedup")
    elif found.split:
        found.add("line_dedup")
    else:
        found.add("exact_dedup")


def _split(on: bool) -> Callable[[Translation, Step], None]:
    def change(found: Translation, step: Step) -> None:
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


def _end_mark(found: Translation, step: Step) -> None:
    if not step.get("remove_ellipses"):
        found.notes.append("punctuation_line_modifier: lines that end in an ellipsis go here, theirs stay")
    found.add("c4", end_mark=True)


def _within_page(found: Translation, step: Step) -> None:
    if not found.nodes or not any(fields["use"] == "line_dedup" for fields in found.nodes.values()):
        raise Unlike("within_page_dedup without the lines made distinct in the corpus before")
    # a line that is distinct in the corpus is distinct in its page


def _url_removal(found: Translation, step: Step) -> None:
    tlds = found.file(str(step.get("tlds_filepath", TLDS)))
    known = os.path.exists(tlds)
    if not known:
        found.notes[-1] = (
            f"url_removal_modifier: {tlds} not found here: only http://, https:// and www. begin an address"
        )
    found.add("tidy", urls=True, **({"tlds": tlds} if known else {}))


def _nothing(found: Translation, step: Step) -> None:
    pass


def _one(kind: str, argument: str, name: str, default: Any = None) -> Callable[[Translation, Step], None]:
    """A function with one argument that is one field."""
    return lambda found, step: found.add(kind, **{name: step.get(argument, default)})


def _word_length(found: Translation, step: Step) -> None:
    found.add("gopher_quality", min_mean_word=float(step["min_length"]), max_mean_word=float(step["max_length"]))


def _alphabetic(found: Translation, step: Step) -> None:
    found.add("gopher_quality", min_alpha_words=round(1.0 - float(step.get("max_ratio", 0.2)), 9))


# function of theirs -> (arguments that it may have, what is made of it)
ALIASES: dict[str, tuple[str, Callable[[Translation, Step], None]]] = {
    "random_sampling_filter": ("keep_probability", _sampling),
    "move_url_modifier": ("", _nothing),
    "key_name_modifier": ("old_key new_key allow_overwrite", _nothing),
    "word_counter_enricher": ("key", _nothing),
    "detect_lang_whole_page_enricher": ("model key_prefix seed", _nothing),
    "url_substring_filter": (
        "banlist banlist_from_fname exact_domain_match ignore_chars match_substrings num_banned_substrs case_sensitive",
        _url,
    ),
    "url_removal_modifier": ("tlds_filepath", _url_removal),
    "newline_removal_modifier": ("max_consecutive", _one("tidy", "max_consecutive", "max_newlines", 2)),
    "language_filter": ("keep_languages key threshold", _language),
    "page_length_filter": (
        "length_type min_length max_length ignore_punctuation tokenizer tokenizer_lang", _page_length,
    ),
    "word_length_filter": ("min_length max_length ignore_punctuation", _word_length),
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
    "numeric_ratio_line_modifier": ("max_ratio", _one("refinedweb_lines", "max_ratio", "max_digits", 0.999999)),
    "counter_line_modifier": ("", lambda found, step: found.add("refinedweb_lines", counters=True)),
    "line_length_modifier": ("min_length", _line_length),
    "substring_line_modifier": ("banlist max_length location remove_substring_only", _substring_lines),
    "word_removal_ratio_filter": (
        "prev_word_count_key max_removed_ratio",
        _one("refinedweb_lines", "max_removed_ratio", "max_removed_words", 0.05),
    ),
    "word_length_modifier": ("max_length model", _one("c4", "max_length", "max_word_chars", 1000)),
    "citation_removal_modifier": ("", lambda found, step: found.add("c4", citations=True)),
    "punctuation_line_modifier": ("remove_ellipses", _end_mark),
    "substring_filter": ("banlist banlist_from_fname exact_word", _substring),
    "exact_dedup": ("content_key normalize selection_key selection_normalize", _exact_dedup),
    "within_page_dedup": ("granularity normalize", _within_page),
    "split_lines_modifier": ("delimiter", _split(True)),
    "join_lines_modifier": ("delimiter", _split(False)),
    "classify_fasttext_hq_prob_enricher": ("model_filename key", _model),
    "quality_filter": ("key threshold lower_better key_must_exist", _quality),
}  # fmt: skip
