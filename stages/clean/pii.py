"""What identifies a person or opens a door: e-mail and public IP addresses, phones, accounts, cards, secret keys.

Found by form and, where there is one, by checksum or range; names and streets have no form and are not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.bounds import Count
from pipeline.contract import Columns, Node, contiguous, threshold
from pipeline.errors import RecipeError
from stages.clean.rules import Rule, RuleNode

Kind = Literal["email", "ip", "phone", "iban", "card", "key"]
# in the order of masking: a key may hold digits
KINDS: tuple[Kind, ...] = ("key", "email", "iban", "card", "ip", "phone")


@dataclass(frozen=True, kw_only=True, eq=False)
class Pii(RuleNode):
    """Mask or count personal data; reason `pii.max_hits`.

    kinds     which ones:
              `email`  by form
              `ip`     IPv4 and IPv6 addresses of the public ranges; private and documentation ones stay, and
                       numbers of versions and sections
              `phone`  with a country's code and +, in the North American form 3-3-4, with an area's code in brackets or
                       before a slash, or behind `tel`, `phone`, `fax`, `mobile`; 8 to 15 digits
              `card`   of 13 to 19 digits, whose check digit is right
              `iban`   whose check digits are right
              `key`    of AWS, Google, GitHub, Slack, OpenAI; JSON web tokens; private keys in PEM form
    action    `mask`: the text has `<email>`, `<ip>`, ... in their place; `flag`: columns only
    max_hits  a document with more hits is removed (dolma: 5 for phone numbers); null = no limit

    Other fields of the source's records (`source_fields`, the named ones) stay as they are.

    Adds `pii_email`, `pii_ip`, `pii_phone`, `pii_iban`, `pii_card`, `pii_key` and `pii_hits` (their sum), int32.
    """

    docs: Node
    kinds: tuple[Kind, ...] = ("email", "ip", "phone", "iban", "card", "key")
    action: Literal["mask", "flag"] = "mask"
    max_hits: Count | None = threshold(None)

    version = 3
    rules = (Rule("max_hits", "pii_hits", "int32"),)
    bins = {"pii_hits": (0, 50, 50)}  # noqa: RUF012

    @property
    def changes_text(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.action == "mask"

    def check(self) -> None:
        if not self.kinds:
            raise RecipeError("pii.kinds", "an empty list", f"some of {', '.join(KINDS)}")

    def adds(self):
        return {**{f"pii_{kind}": "int32" for kind in KINDS}, **super().adds()}

    def rows(self, table) -> Columns:
        import numpy as np
        import pyarrow as pa

        from stages.clean.pii_forms import masked

        texts = contiguous(table["text"])
        counts, new = masked(texts, [kind for kind in KINDS if kind in self.kinds])
        found = {f"pii_{kind}": counts.get(kind, np.zeros(len(texts), np.int32)) for kind in KINDS}
        added = {**found, "pii_hits": np.sum(list(found.values()), axis=0, dtype=np.int32)}
        return Columns(added=added, text=pa.array(new, pa.string()) if self.action == "mask" else None)
