"""Keys and invitations as people copy them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.armour import AUTHORITY, AUTHORITY_SECRET, INVITE, unwrap, wrap
from gossip.errors import CryptoError

PREFIXES = (AUTHORITY, AUTHORITY_SECRET, INVITE)


@given(st.sampled_from(PREFIXES), st.binary(min_size=1, max_size=200))
def test_what_is_wrapped_is_one_word_and_comes_back(prefix: str, data: bytes) -> None:
    text = wrap(prefix, data)
    assert text.replace("-", "").replace("_", "").isalnum()
    assert unwrap(prefix, f"  {text}\n") == data


@given(st.binary(min_size=1, max_size=80), st.data())
def test_one_wrong_or_missing_character_is_noticed(data: bytes, draw: st.DataObject) -> None:
    text = wrap(INVITE, data)
    at = draw.draw(st.integers(len(INVITE), len(text) - 1))
    other = draw.draw(st.sampled_from("A9_-= \n\u00e9").filter(lambda char: char != text[at]))
    for wrong in (text[:at] + other + text[at + 1 :], text[:at] + text[at + 1 :], text[:at]):
        if wrong.strip() != text:
            with pytest.raises(CryptoError) as caught:
                unwrap(INVITE, wrong)
            assert text[len(INVITE) :] not in str(caught.value)


@given(st.text(max_size=60))
def test_any_other_text_is_refused(text: str) -> None:
    for prefix in PREFIXES:
        for wrong in (text, prefix + text):
            with pytest.raises(CryptoError):
                unwrap(prefix, wrong)


def test_one_kind_is_not_taken_for_another() -> None:
    key = wrap(AUTHORITY, bytes(32))
    with pytest.raises(CryptoError, match="this is not an invitation: one begins with gossip-invite-1-"):
        unwrap(INVITE, key)
    with pytest.raises(CryptoError, match="or a part of it is missing"):
        unwrap(AUTHORITY_SECRET, AUTHORITY_SECRET + key.removeprefix(AUTHORITY))
