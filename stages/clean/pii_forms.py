"""The forms of personal data: patterns searched in a whole batch, and checks that tell a find from a lookalike.

`seek` is run over all texts by Arrow and may find too much; only documents in which it finds something are looked at
one by one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


BEHIND = 16  # characters before a match that are looked at


@dataclass(frozen=True)
class PiiPattern:
    """`holds`: how many characters of a match are the find, from its beginning; 0: none are. `not_behind`: what makes
    a match something else when it stands right before it.
    """

    seek: str  # of RE2: no look-around
    form: re.Pattern[str]
    holds: Callable[[str], int] = len
    not_behind: re.Pattern[str] | None = None

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the finds of a text begin and end."""
        at = 0
        while match := self.form.search(text, at):
            before = text[max(0, match.start() - BEHIND) : match.start()]
            other = self.not_behind is not None and self.not_behind.search(before)
            size = 0 if other else self.holds(match.group())
            at = match.start() + size if size else match.end()
            if size:
                yield match.start(), at


def _public(found: str) -> int:
    try:
        return len(found) * ipaddress.ip_address(found).is_global
    except ValueError:
        return 0


def _checked(found: str) -> int:
    """The longest beginning, in whole groups, whose check digits are those of an IBAN (ISO 13616): 15 to 34 characters,
    and 1 modulo 97. Words in capitals behind a number look like more groups of it."""
    while len(plain := found.replace(" ", "")) >= 15:
        if len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1:
            return len(found)
        found = found.rpartition(" ")[0]
    return 0


def _dialled(found: str) -> int:
    return len(found) if 8 <= sum(map(str.isdigit, found)) <= 15 else 0


def _luhn(found: str) -> int:
    """A number with the check digit of ISO/IEC 7812 that is not one digit again and again."""
    digits = [int(c) for c in found if c.isdigit()]
    if len(set(digits)) == 1:
        return 0
    doubled = [d if at % 2 else 2 * d - 9 * (d > 4) for at, d in enumerate(digits, len(digits) % 2)]
    return len(found) * (sum(doubled) % 10 == 0)


_CALLED = "|".join(
    rf"(?<=\b{word}{end} )" for word in ("tel", "phone", "fax", "mobile") for end in ("", ":", r"\.", r"\.:")
)
_NUMBERED = "v|ver|versions?|release|rev|revision|build|section|chapter|clause"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
# Public IPv6 addresses are those of 2000::/3 so far.
_OCTETS = r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
_KEYS = (
    r"AKIA[0-9A-Z]{16}",
    r"AIza[0-9A-Za-z_-]{35}",
    r"gh[pousr]_[0-9A-Za-z]{36,}",
    r"xox[abprs]-[0-9A-Za-z-]{10,}",
    r"sk-[0-9A-Za-z_-]{32,}",
    r"eyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}",
    # no five dashes inside: a text of many beginnings would be gone through from each of them to its end
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?!-----)[0-9A-Za-z+/=,:\s-])*-----END [A-Z ]*PRIVATE KEY-----",
)
FORMS = {
    "email": PiiPattern(
        "@[A-Za-z0-9]",
        re.compile(rf"(?<![\w.+-])[\w.%+-]{{1,64}}@(?:{_NAME}\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]"),
    ),
    "ip": PiiPattern(
        rf"{_OCTETS}|[23][0-9A-Fa-f]{{3}}:",
        re.compile(rf"(?<![\w.:]){_OCTETS}(?![\w]|\.[0-9])|(?<![\w.:])[23][0-9A-Fa-f]{{3}}:[0-9A-Fa-f:]*:[0-9A-Fa-f]{{1,4}}(?![\w:])"),
        _public,
        re.compile(rf"(?:\b(?:{_NUMBERED})[.:]?\s?|§\s?|\w/)$", re.IGNORECASE),  # and not Chrome/1.2.3.4
    ),
    # 16 to 19 digits behind 4, 5, 6 or 35, in fours or in one; 13 behind 4; 15 behind 34 or 37, in 4, 6 and 5
    "card": PiiPattern(
        r"[3-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]|3[47][0-9]{2}[ -]?[0-9]{6}",
        re.compile(
            r"(?<![\w.-])(?:(?:[4-6][0-9]{3}|35[0-9]{2})([ -]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{1,3})?|4[0-9]{12}"
            r"|3[47][0-9]{2}([ -]?)[0-9]{6}\2[0-9]{5})(?![\w-]|\.[0-9])"
        ),
        _luhn,
    ),
    "phone": PiiPattern(
        r"\+[0-9(]|[0-9]{3}\)?[ .-]?[0-9]{3}[ .-][0-9]{4}|0[0-9]{1,5} ?[)/] ?[0-9]{2}"
        r"|(?i:tel|phone|fax|mobile)[.:]{0,2} \(?[0-9]{2}",
        re.compile(
            r"(?<![\w+])\+[0-9]{1,3}(?:[ ./-]?\(?[0-9]{1,4}\)?){2,6}(?!\w)"
            r"|(?<![\w.-])(?:\+?1[ .-])?(?:\([0-9]{3}\)[ .-]?|[0-9]{3}[ .-])[0-9]{3}[ .-][0-9]{4}(?![\w-])"
            # a national number with its area's code in brackets or before a slash: (030) 901820, 030/90 18 20
            r"|(?<![\w.-])(?:\(0[0-9]{1,5}\) ?|0[0-9]{2,5} ?/ ?)[0-9]{2,}(?:[ -][0-9]{2,}){0,4}(?![\w./-])"
            # any digits behind a word for it: Tel.: 01 42 68 53 00, phone 020 7946 0018
            rf"|(?i:{_CALLED})"
            r"\(?[0-9]{2,5}\)?(?:[ ./-]?[0-9]{2,4}){2,5}(?![\w-])"
        ),
        _dialled,
    ),
    "iban": PiiPattern(
        r"[A-Z]{2}[0-9]{2} ?[0-9A-Z]{4}",
        re.compile(r"(?<!\w)[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?(?!\w)"),
        _checked,
    ),
    "key": PiiPattern("|".join((*_KEYS[:-1], "-----BEGIN [A-Z ]*PRIVATE KEY-----")), re.compile("|".join(_KEYS))),
}  # fmt: skip


def masked(texts: pa.Array, kinds: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str | None]]:
    """(kind -> finds in each text, int32; the texts with `<kind>` in their place, None where nothing was found)."""
    import numpy as np
    import pyarrow.compute as pc

    counts: dict[str, np.ndarray] = {}
    new: list[str | None] = [None] * len(texts)
    for kind in kinds:
        form, found = FORMS[kind], np.zeros(len(texts), np.int32)
        having = pc.match_substring_regex(texts, form.seek).to_numpy(zero_copy_only=False)
        for i in np.flatnonzero(having).tolist():
            text = new[i] or texts[i].as_py()
            places = list(form.places(text))
            if places:
                found[i], new[i] = len(places), _without(text, places, f"<{kind}>")
        counts[kind] = found
    return counts, new


def _without(text: str, places: Sequence[tuple[int, int]], mask: str) -> str:
    ends = [0, *(stop for _, stop in places)]
    starts = [*(start for start, _ in places), len(text)]
    return mask.join(text[a:b] for a, b in zip(ends, starts, strict=True))
