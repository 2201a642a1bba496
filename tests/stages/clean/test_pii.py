"""Personal data by form: what is found, what only looks like it, and what is left of the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows import DOCS, applied

from pipeline.errors import RecipeError
from stages.clean.pii import Pii

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/=\nabc\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ("ann.lee+x@mail.example.org", "email"),
        ("A_B@example.co.uk", "email"),
        ("8.8.8.8", "ip"),
        ("2001:4860:4860::8888", "ip"),
        ("+49 30 901820", "phone"),
        ("+1 (212) 555-0123", "phone"),
        ("(212) 555-0123", "phone"),
        ("212.555.0123", "phone"),
        ("1-800-555-0199", "phone"),
        ("(030) 901820", "phone"),
        ("030/90 18 20", "phone"),
        ("4111 1111 1111 1111", "card"),
        ("5500-0000-0000-0004", "card"),
        ("378282246310005", "card"),
        ("DE89 3704 0044 0532 0130 00", "iban"),
        ("GB29NWBK60161331926819", "iban"),
        ("AKIAIOSFODNN7EXAMPLE", "key"),
        ("ghp_" + "a1B2" * 9, "key"),
        (KEY, "key"),
    ],
)
def test_it_is_masked_and_counted(found, kind):
    scores, reasons, after = applied(Pii(docs=DOCS), [f"Write to {found}, please.", "Nothing here."])
    assert after == [f"Write to <{kind}>, please.", "Nothing here."]
    assert scores[f"pii_{kind}"] == [1, 0]
    assert scores["pii_hits"] == [1, 0]
    assert reasons == [None, None]
    flagged = applied(Pii(docs=DOCS, action="flag"), [f"Write to {found}, please."])
    assert flagged[0]["pii_hits"] == [1]
    assert "<" not in flagged[2][0]


@pytest.mark.parametrize(
    "text",
    [
        "user@host without a domain", "@mention and a@b", "192.168.1.1 10.0.0.1 127.0.0.1 999.1.1.1",
        "version 1.2.3.4.5", "at 12:30:45", "fe80::1", "1+234", "2024-01-15 and 100-200-300",
        "DE89 3704 0044 0532 0130 01", "AKIA too short",
        "version 1.2.3.4", "Chrome/8.8.8.8 on it", "see section 8.8.8.8", "§ 8.8.4.4", "4111 1111 1111 1112",
        "hotel 12 34 56 78 90", "on 01/02/2024 1234567", "0000 0000 0000 0000", "tel 12 34",
        "C++ std::vector<a::b>", "1234567890123456", "x = 555.123.45678",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_stays(text):
    scores, _, after = applied(Pii(docs=DOCS), [text])
    assert (scores["pii_hits"], after) == ([0], [text])


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("ES91 2100 0418 4502 0005 1332 BIC CAIXESBB", "<iban> BIC CAIXESBB"),  # words behind it look like more of it
        ("DE89 3704 0044 0532 0130 00 BANK ABC", "<iban> BANK ABC"),
        ("PAY TO FR14 2004 1010 0505 0001 3M02 606 NOW", "PAY TO <iban> NOW"),
        ("Tel.: 01 42 68 53 00, fax 020 7946 0018.", "Tel.: <phone>, fax <phone>."),
        ("http://8.8.8.8/ and ssh 8.8.4.4", "http://<ip>/ and ssh <ip>"),
        (f"-----BEGIN PRIVATE KEY-----\ncut off\n{KEY}", "-----BEGIN PRIVATE KEY-----\ncut off\n<key>"),
    ],
)
def test_a_find_ends_where_it_ends(text, after):
    assert applied(Pii(docs=DOCS), [text])[2] == [after]


def test_kinds_and_the_limit_are_fields():
    texts = ["a@b.example c@d.example 8.8.8.8", "a@b.example"]
    scores, reasons, after = applied(Pii(docs=DOCS, kinds=("email",), max_hits=1), texts)
    assert after == ["<email> <email> 8.8.8.8", "<email>"]
    assert scores["pii_ip"] == [0, 0]
    assert reasons == ["pii.max_hits", None]
    assert not Pii(docs=DOCS, action="flag").changes_text
    with pytest.raises(RecipeError, match="an empty list"):
        Pii(docs=DOCS, kinds=()).check()
    with pytest.raises(RecipeError, match="'mail'"):
        Pii(docs=DOCS, kinds=("mail",)).check()  # pyright: ignore[reportArgumentType]


@given(st.lists(st.text(st.sampled_from("a.@8+(-) 127:DE\n"), max_size=40), min_size=1, max_size=4))
def test_a_masked_text_has_nothing_left_to_mask(texts):
    once = applied(Pii(docs=DOCS), texts)[2]
    scores, _, again = applied(Pii(docs=DOCS), once)
    assert again == once
    assert sum(scores["pii_hits"]) == 0
