"""What each function of DCLM's that looks for phrases, lines and addresses becomes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from siftloom.begin.dclm_translation import Translation, Unlike

# the three steps of RefinedWeb about phrases, in their order: where in a line, and the phrase; of lines of ten words
PHRASES = (("any", "items in cart"), ("suffix", "read more..."), ("prefix", "sign-in"))
PHRASE_WORDS = 10
POLICY = {"terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"}
TLDS = "baselines/mappers/iana_tlds.txt"
PLACES = {"any": "any", "prefix": "start", "suffix": "end"}
IGNORED = {"domains": {"www"}, "strict": {"-", "."}, "words": set()}  # list of a url node -> what is left out
Step = Mapping[str, Any]


def _banned(step: Step) -> list[str]:
    """Return the phrases of a step, in lower case unless case matters: theirs are regular expressions."""
    banned = step["banlist"]
    banned = [str(each) for each in (banned if isinstance(banned, list) else [banned])]
    return banned if step.get("case_sensitive") else [each.lower() for each in banned]


def _place(step: Step) -> str:
    if (place := step.get("location", "any")) not in PLACES:
        raise Unlike(f"location: {place}")
    return PLACES[place]


def urls(found: Translation, step: Step) -> None:
    """`url_substring_filter`"""
    path = step.get("banlist_from_fname")
    if path is not None and str(path).endswith((".pkl", ".pickle")):
        raise Unlike(f"a list that is no text file ({path})")
    if step.get("case_sensitive"):
        raise Unlike("case_sensitive: case does not matter in an address here")
    whole, parts = bool(step.get("exact_domain_match")), bool(step.get("match_substrings", True))
    kind, most = ("domains" if whole else "strict" if parts else "words"), int(step.get("num_banned_substrs", 1))
    ignored = set(step.get("ignore_chars") or [])
    if ignored != IGNORED[kind]:
        raise Unlike(f"ignore_chars: {sorted(ignored)} of {kind}, for which it is {sorted(IGNORED[kind])}")
    if kind == "strict" and most > 1:
        raise Unlike("num_banned_substrs above 1 with match_substrings")
    name = kind if kind != "words" else "hard" if most == 1 else "soft"
    listed = [found.file(str(path))] if path is not None else [found.list_file(name, _banned(step))]
    last = found.nodes.get(found.last_name(), {})
    if last.get("use") != "url":
        found.add("url", **{name: listed})
    elif name != "soft":
        last[name] = [*last.get(name, []), *listed]  # one entry of either list is enough
    else:
        found.add("url", soft=listed)
    if name == "soft":
        found.nodes[found.last_name()]["min_soft_words"] = most


def removed_urls(found: Translation, step: Step) -> None:
    """`url_removal_modifier`"""
    tlds = found.file(str(step.get("tlds_filepath", TLDS)))
    known = os.path.exists(tlds)
    if not known:
        found.notes[-1] = (
            f"url_removal_modifier: {tlds} not found here: only http://, https:// and www. begin an address"
        )
    found.add("tidy", urls=True, **({"tlds": tlds} if known else {}))


def lines(found: Translation, step: Step) -> None:
    """`substring_line_modifier`"""
    banned, place, most = _banned(step), _place(step), step.get("max_length")
    only, exact = bool(step.get("remove_substring_only")), bool(step.get("case_sensitive"))
    plain = not (only or exact) and (place, most) == ("any", None)
    for field, phrases in (("javascript", {"javascript"}), ("policy", POLICY)):
        if plain and set(banned) == phrases and found.takes("c4", field):
            found.add("c4", **{field: True})
            return
    fields = {"where": place, "max_words": most, "only_match": only, "ignore_case": not exact}
    usual = {"where": "any", "max_words": None, "only_match": False, "ignore_case": True}
    found.add("line_patterns", patterns=banned, **{name: each for name, each in fields.items() if each != usual[name]})
    _together(found)


def _together(found: Translation) -> None:
    """Put the three phrases of RefinedWeb into the node that has them."""
    names = list(found.nodes)[-len(PHRASES) :]
    wanted = [
        {"patterns": [phrase], "max_words": PHRASE_WORDS, "only_match": True}
        | ({"where": PLACES[place]} if place != "any" else {})
        for place, phrase in PHRASES
    ]
    held = [
        {key: value for key, value in found.nodes[name].items() if key not in ("use", "docs", "as")} for name in names
    ]
    if held != wanted or any(found.nodes[name]["use"] != "line_patterns" for name in names):
        return
    for name in names:
        del found.nodes[name]
    found.add("refinedweb_lines", phrases=True)


def documents(found: Translation, step: Step) -> None:
    """`substring_filter`"""
    whole, exact, place = bool(step.get("exact_word")), bool(step.get("case_sensitive")), _place(step)
    options: dict[str, Any] = {"whole_words": True} if whole else {}
    options |= ({"where": place} if place != "any" else {}) | ({"lower": False} if exact else {})
    if "banlist_from_fname" in step:
        found.add("patterns", lists=[found.file(str(step["banlist_from_fname"]))], **options)
        return
    banned = _banned(step)
    for field, phrase in (("max_lorem_ipsum", "lorem ipsum"), ("max_curly_brackets", "{")):
        if banned == [phrase] and not options and found.takes("c4", field):
            found.add("c4", **{field: 0})
            return
    # a brace alone is a brace in an expression, too
    found.add("patterns", patterns=banned, **options)


def line_words(found: Translation, step: Step) -> None:
    """`line_length_modifier`"""
    if step.get("max_length") is not None:
        raise Unlike(f"max_length: {step['max_length']} words of a line")
    kind = "c4" if found.takes("c4", "min_line_words") else "refinedweb_lines"
    found.add(kind, min_line_words=int(step.get("min_length", 0)))


def ends(found: Translation, step: Step) -> None:
    """`punctuation_line_modifier`"""
    found.add("c4", end_mark=True, **({} if step.get("remove_ellipses") else {"keep_ellipsis": True}))


def within_page(found: Translation, step: Step) -> None:
    """`within_page_dedup`"""
    unit, usual = step.get("granularity", "line"), {"normalize": True}
    if unit not in ("line", "paragraph"):
        raise Unlike(f"granularity: {unit}")
    normal = bool(step.get("normalize", usual["normalize"]))
    found.add("within_page_dedup", unit=unit, **({} if normal else {"ignore_case": False}))


def removed_words(found: Translation, step: Step) -> None:
    """`word_removal_ratio_filter`"""
    last = found.nodes.get(found.last_name(), {})
    if last.get("use") != "refinedweb_lines" or found.counted is None or (found.counted or "docs") != last["docs"]:
        raise Unlike("words that were counted elsewhere than right before the rules about lines")
    found.add("refinedweb_lines", max_removed_words=step.get("max_removed_ratio", 0.05))
