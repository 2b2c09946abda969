"""Claims about tokens as people paste them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seamline.core.vocabulary.errors import UsageError
from seamline.identity.tokens import Token, from_text, to_text


def token(**changes: object) -> Token:
    parts = {
        "id": bytes(8), "secret": bytes(range(16)), "fingerprint": bytes(32), "expires_s": int(time.time()) + 60,
        "cluster": "home", "name": None, "addresses": ("192.168.1.7:7446",),
    }  # fmt: skip
    return Token(**{**parts, **changes})


def test_a_token_is_one_word_that_comes_back_whole():
    given_token = token(name="fog", addresses=("10.0.0.1:7446", "fog.local:7446"))
    text = to_text(given_token)
    assert text.split() == [text]
    assert from_text(f"  {text}\n") == given_token


@given(st.integers(4, 130), st.characters(categories=["Lu", "Ll", "Nd"], max_codepoint=127))
def test_a_mistyped_letter_is_noticed(place, letter):
    text = to_text(token())
    place %= len(text)
    wrong = text[:place] + letter + text[place + 1 :]
    if wrong != text:
        with pytest.raises(UsageError, match="no token"):
            from_text(wrong)


@pytest.mark.parametrize("text", ["", "sl1-", "hello", "sl1-!!!!", "sl1-" + "A" * 2000])
def test_what_is_no_token_is_said_so(text):
    with pytest.raises(UsageError, match="no token"):
        from_text(text)


@given(st.text(max_size=200))
def test_no_text_does_anything_but_be_refused(text):
    with pytest.raises(UsageError):
        from_text("sl1-" + text)


def test_an_expired_token_is_refused_before_anybody_is_asked():
    with pytest.raises(UsageError, match="expired"):
        from_text(to_text(token(expires_s=int(time.time()) - 1)))
