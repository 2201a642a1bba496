"""DCLM's own YAML (Li et al. 2024, arXiv 2406.11794, `baselines/baselines_configs`) as nodes of a recipe.

A function without a node, or an argument that changes what a node does, is an error that names it.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import yaml

from pipeline.errors import RecipeError
from pipeline.recipe.document import read_text
from pipeline.recipe.tree import compose
from siftloom.begin.dclm_steps import ALIASES
from siftloom.begin.dclm_translation import Translation, Unlike


def translate(path: str) -> Translation:
    """Read a file of theirs. Raises RecipeError, with the number of the step, for what has no node."""
    text = read_text(path)
    compose(text, path)  # its bounds: levels, and values once aliases are written out
    try:
        sources = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise RecipeError(path, f"{error}", "a YAML file of DCLM") from None
    if not (isinstance(sources, list) and len(sources) == 1 and isinstance(sources[0], dict)):
        raise RecipeError(path, "something else", "a list of one source: `- source: cc` with `steps:`")
    steps = sources[0].get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) and "func" in step for step in steps):
        raise RecipeError(f"{path}: steps", f"{str(steps)[:80]!r}", "a list of `- func: NAME` with arguments")
    found = Translation(Path(path).absolute().parent)
    for number, step in enumerate(steps, 1):
        name, place = str(step["func"]), f"{path}: step {number}, {step['func']}"
        if name not in ALIASES:
            near = difflib.get_close_matches(name, ALIASES, n=3)
            raise RecipeError(place, "no node for this function", " or ".join(near) or ", ".join(sorted(ALIASES)))
        known, function = ALIASES[name]
        arguments = {key: value for key, value in step.items() if key not in ("func", "_aggregate", "_profile")}
        if odd := [key for key in arguments if key not in known.split()]:
            raise RecipeError(place, f"the argument {odd[0]!r}", f"one of {known or 'none'}")
        try:
            function(found, arguments)
        except Unlike as error:
            raise RecipeError(place, f"{error}", "what a node of siftloom does; a step of your own is `map`") from None
        except KeyError as error:
            raise RecipeError(place, f"no argument {error}", "it: the step has no default for it") from None
        except (TypeError, ValueError) as error:
            raise RecipeError(place, f"an argument of another type: {error}", "what DCLM takes there") from None
    return found
