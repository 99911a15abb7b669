"""The language of the local socket, without a socket."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip import errors
from gossip.client import framing
from gossip.client.framing import LineReader, encode_request, error_from, result_of, show_endpoint

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.text(), json_values)), st.lists(st.integers(min_value=1, max_value=40)))
def test_however_the_bytes_are_cut_the_messages_are_the_same(
    messages: list[framing.Message], cuts: list[int]
) -> None:
    data = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
    reader = LineReader()
    found = []
    for cut in cuts:
        found += reader.feed(data[:cut])
        data = data[cut:]
    found += reader.feed(data)
    assert found == messages


def test_empty_lines_between_messages_are_nothing() -> None:
    assert LineReader().feed(b'\n\r\n{"a":1}\n \n') == [{"a": 1}]


@given(st.binary())
def test_random_bytes_are_messages_or_one_clear_error(data: bytes) -> None:
    try:
        messages = LineReader().feed(data + b"\n")
    except errors.LocalProtocolError as problem:
        assert "another program" in str(problem)  # noqa: PT017 - either outcome is right
    else:
        assert all(isinstance(message, dict) for message in messages)


def test_deep_nesting_is_refused_without_a_traceback_of_the_parser() -> None:
    with pytest.raises(errors.LocalProtocolError, match="not JSON"):
        LineReader().feed(b"[" * 100_000 + b"\n")


def test_a_line_without_end_is_refused_before_it_fills_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_ANSWER", 100)
    reader = LineReader()
    reader.feed(b"x" * 100)
    with pytest.raises(errors.LocalProtocolError, match="over 100 bytes"):
        reader.feed(b"x")


def test_a_request_is_one_line() -> None:
    line = encode_request(3, "rtt", {"b": "two\nlines, and é"})
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "rtt",
        "params": {"b": "two\nlines, and é"},
    }


def test_a_request_that_no_agent_would_read_is_not_sent() -> None:
    with pytest.raises(errors.LimitError, match="1048576"):
        encode_request(1, "events.send", {"payload": "x" * framing.MAX_REQUEST})


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_of_the_agent_is_the_same_class_here(name: str) -> None:
    kind = getattr(errors, name).kind
    raised = error_from({"code": -32000, "message": "do this instead", "data": {"kind": kind}})
    assert type(raised) is getattr(errors, name)
    assert str(raised) == "do this instead"


@pytest.mark.parametrize(
    "error",
    [
        {"code": -32000, "message": "bad", "data": {"kind": "of a later release"}},
        {"code": -32000, "message": "bad", "data": "text"},
        {"code": -32601, "message": "bad"},
    ],
)
def test_an_error_of_unknown_kind_is_the_root_with_its_message(error: framing.Message) -> None:
    raised = error_from(error)
    assert type(raised) is errors.GossipError
    assert str(raised) == "bad"


@pytest.mark.parametrize("data", [None, "text", {"kind": "bad_params"}])
def test_wrong_parameters_are_the_programs_own_fault(data: object) -> None:
    raised = error_from({"code": framing.BAD_PARAMS, "message": "port: over 65535", "data": data})
    assert type(raised) is errors.LocalProtocolError
    assert str(raised) == "port: over 65535"


def test_an_error_that_is_no_object_is_still_an_error() -> None:
    assert type(error_from("no")) is errors.GossipError
    assert str(error_from({}))


@pytest.mark.parametrize("message", [{"id": 1}, {"id": 1, "result": None}, {"id": 1, "result": [1]}])
def test_an_answer_without_result_is_refused(message: framing.Message) -> None:
    with pytest.raises(errors.LocalProtocolError, match="no result"):
        result_of(message)


def test_endpoints_have_brackets_where_they_need_them() -> None:
    assert show_endpoint("10.0.0.1", 80) == "10.0.0.1:80"
    assert show_endpoint("fd00::1", 80) == "[fd00::1]:80"
    assert show_endpoint("host.example", 80) == "host.example:80"
