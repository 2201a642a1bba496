"""How right a call is: quarters by hand, and what is no call."""

import pytest

from stages.tools.call import canonical_call, grade, parse_call

GOLD = 'weather(city="Lyon", days=3, metric=True)'


@pytest.mark.parametrize(("text", "reward", "error"), [
    (GOLD, 1.0, None),
    ("weather(metric = True,days=3,  city='Lyon')", 1.0, None),  # order, blanks and quotes say nothing
    ('weather(city="Lyon", days=4, metric=True)', 0.75, "values"),
    ('weather(city="Lyon", days="3", metric=True)', 0.75, "values"),  # a number is no text
    ('weather(city="Lyon", days=3, metric=1)', 0.75, "values"),
    ('weather(city="Lyon", nights=3, metric=True)', 0.5, "keys"),
    ('weather(city="Lyon", days=3)', 0.25, "arity"),
    ('hotel(city="Lyon", days=3, metric=True)', 0.75, "name"),
    ("hotel(city=1, days=3, seats=True)", 0.25, "name"),
    ("hotel()", 0.0, "name"),
    ('weather(city="Lyon", days=3, metric=True', 0.0, "no_call"),
    ("Lyon days 3 metric True weather city", 0.0, "no_call"),  # all the words
    (f"{GOLD} {GOLD}", 0.0, "no_call"),
    ("", 0.0, "no_call"),
])  # fmt: skip
def test_a_quarter_for_name_number_names_and_values(text, reward, error):
    assert grade(text, GOLD) == (reward, error)


@pytest.mark.parametrize(
    ("text", "reward"), [("no tool", 1.0), ("thanks", 1.0), (GOLD, 0.0), ("weather(", 0.0), (" ", 0)]
)
def test_where_no_call_is_expected_none_is_right(text, reward):
    assert grade(text, "no tool").reward == reward


@pytest.mark.parametrize("text", [
    "f(1)", "f(**{'a': 1})", "f(a=g())", "f(a=1)(b=2)", "f(a=b)", "f(a=1, a=2)", "1 + 1",
    "f(a=" + "(" * 5000, "f(a='\0')", "import os", "(lambda: f)(a=1)",
])  # fmt: skip
def test_what_is_no_call_of_named_constants_is_none(text):
    assert parse_call(text) is None


def test_the_canonical_order_of_arguments_also_of_a_call_that_is_not_finished():
    assert canonical_call("f(b=2, a='x')") == canonical_call('f(a="x",b=2)') == "f(a='x', b=2)"
    assert canonical_call("f(b=2, a='x', ") == canonical_call('f(a="x", b=2,') == "f(a='x', b=2)..."
    assert canonical_call("f(") == "f()..."
    assert canonical_call("f(b=2, a=") == "f(b=2, a="
    assert canonical_call("f(b=2)") != canonical_call("f(b=2, ")
