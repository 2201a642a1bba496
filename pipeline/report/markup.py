"""HTML elements from Python values: everything is escaped unless it is markup already."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape

from pipeline.files.secrets import masked_json


def element(tag: str, *content: str, **attributes: Any) -> Markup:
    """One element; `class_` and `aria_label` become `class` and `aria-label`; an attribute of None is left out."""
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{named}>{''.join(map(escape, content))}</{tag}>")


def json_data(value: Any) -> Markup:
    """JSON for a `script` of data: no text in it can end the element or begin another."""
    text = masked_json(value, uris=False, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
