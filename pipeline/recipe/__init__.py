"""A recipe: a graph as YAML, and back. A node's keys are its fields; there is nothing else to learn.

    name: first
    store: runs/
    nodes:
      docs:  {use: read, paths: ["corpus/*.jsonl.gz"]}
      clean: {use: gopher_quality, docs: docs, min_words: 30}

The names of nodes and values are given as a `Vocabulary`, so that this package knows no stage and no model. Left out
on purpose: includes, variables, YAML inheritance (`<<`) and tags. A recipe that needs a loop is a Python file.
"""

from pipeline.recipe.document import Recipe, load, parse
from pipeline.recipe.vocabulary import Vocabulary
from pipeline.recipe.write import dump

__all__ = ["Recipe", "Vocabulary", "dump", "load", "parse"]
