"""Templates: columns in braces, braces, limits, nulls, and what is wrong with one."""

import pyarrow as pa
import pytest

from pipeline.contract import Resources
from pipeline.errors import RecipeError
from siftloom import stages as s
from stages.generate.prompt import Template
from stages.read.read import Read

DOCS = Read(paths=("docs",), keep=("title:str", "year:int"))


def test_a_row_fills_the_names_in_braces():
    table = pa.table({"id": ["a", "b"], "text": ["abcdef", "x"], "title": ["T", None], "year": [1999, None]})
    template = Template("{title}|{text}|{{no}}|{year:}", 3)
    template.check("judge.prompt", DOCS)
    assert template.needs() == ("id", "title", "text", "year")
    assert list(template.fill(table)) == ["T|abc|{no}|1999", "|x|{no}|"]


def test_braces_in_a_text_are_text():
    assert list(Template("{text}", 99).fill(pa.table({"id": ["a"], "text": ["{year} {"]}))) == ["{year} {"]


@pytest.mark.parametrize(
    ("template", "words"), [("{text", "braces"), ("no column", "a column in braces"), ("{titel}", "no column 'titel'")]
)
def test_a_wrong_template_is_named(template, words):
    with pytest.raises(RecipeError, match=words):
        Template(template, 10).check("judge.prompt", DOCS)


def test_a_model_that_is_loaded_has_an_actor_on_every_gpu_and_two_on_the_cpu():
    docs, model = s.Read(paths=("unread",)), s.ModelFolder(paths=("unread",))
    for make in (s.Judge, s.Generate):
        for device, wanted in (("cuda", Resources(gpus=1.0)), ("cpu", Resources(actors=(1, 2)))):
            assert make(docs=docs, model=model, prompt="Rate: {text}", device=device).resources() == wanted
