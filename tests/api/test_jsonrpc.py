"""Lines to requests and back; whatever comes, the outcome is an answer."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from gossip.api import jsonrpc
from gossip.api.jsonrpc import RpcError, read_batch, read_params, read_request
from gossip.errors import NotFoundError

DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("line", "id"),
    [
        (b'{"jsonrpc":"2.0","method":"m","id":1}', 1),
        (b'{"jsonrpc":"2.0","method":"m","id":-7}', -7),
        (b'{"jsonrpc":"2.0","method":"m","id":"a b"}', "a b"),
        (b'{"jsonrpc":"2.0","method":"m","id":1.5}', 1.5),
        (b'{"jsonrpc":"2.0","method":"m","id":null}', None),
        (b'{"jsonrpc":"2.0","method":"m"}', UNSET),
        (b' { "id" : 3 , "method" : "m" , "jsonrpc" : "2.0" } \r', 3),
        (b'{"jsonrpc":"2.0","method":"m","id":1,"id":2,"more":[]}', 2),
    ],
)
def test_requests(line: bytes, id: object) -> None:
    request = read_request(line)
    assert request.method == "m"
    assert request.id == id


@pytest.mark.parametrize(
    ("line", "code", "id"),
    [
        (b"", jsonrpc.PARSE_ERROR, None),
        (b"hello", jsonrpc.PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","method":"m","id":1', jsonrpc.PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","method":"\xff","id":1}', jsonrpc.PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","method":5,"id":1} x', jsonrpc.PARSE_ERROR, None),
        (b"[" * 100_000, jsonrpc.PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","method":"m","params":' + DEEP + b"}", jsonrpc.PARSE_ERROR, None),
        (b"5", jsonrpc.INVALID_REQUEST, None),
        (b"{}", jsonrpc.INVALID_REQUEST, None),
        (b'{"method":"m","id":4}', jsonrpc.INVALID_REQUEST, 4),
        (b'{"jsonrpc":"1.0","method":"m","id":"x"}', jsonrpc.INVALID_REQUEST, "x"),
        (b'{"jsonrpc":"2.0","id":4}', jsonrpc.INVALID_REQUEST, 4),
        (b'{"jsonrpc":"2.0","method":5,"id":4}', jsonrpc.INVALID_REQUEST, 4),
        (b'{"jsonrpc":"2.0","method":"m","id":true}', jsonrpc.INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","method":"m","id":{}}', jsonrpc.INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","method":"m","id":[1]}', jsonrpc.INVALID_REQUEST, None),
    ],
)  # fmt: skip
def test_what_is_no_request_says_how(line: bytes, code: int, id: object) -> None:
    with pytest.raises(RpcError) as caught:
        read_request(line)
    assert (caught.value.code, caught.value.id) == (code, id)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"[]", jsonrpc.INVALID_REQUEST),
        (b"[1,", jsonrpc.PARSE_ERROR),
        (b"[" + b",".join([b"1"] * (jsonrpc.MAX_BATCH + 1)) + b"]", jsonrpc.INVALID_REQUEST),
    ],
)
def test_what_is_no_batch(line: bytes, code: int) -> None:
    with pytest.raises(RpcError) as caught:
        read_batch(line)
    assert caught.value.code == code


class Sample(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of some method."""

    name: str
    count: int = 0


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (b"[1]", "named"),
        (b"null", "named"),
        (b"7", "named"),
        (b"{}", "missing parameter `name`"),
        (b"", "missing parameter `name`"),
        (b'{"name":"x","nmae":1}', "unknown parameter `nmae`"),
        (b'{"name":7}', "$.name"),
        (b'{"name":"x","count":"1"}', "$.count"),
    ],
)
def test_wrong_parameters_are_named(params: bytes, words: str) -> None:
    with pytest.raises(RpcError) as caught:
        read_params(msgspec.json.Decoder(Sample), Raw(params))
    assert caught.value.code == jsonrpc.BAD_PARAMS
    assert words in caught.value.message


@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(alphabet='{}[]",:0123456789.eE-+\\ntrue jsonrpcmethodid', max_size=200),
    )
)
def test_no_bytes_raise_anything_else(garbage: bytes | str) -> None:
    text = garbage.encode() if isinstance(garbage, str) else garbage
    for read in (read_request, read_batch):
        try:
            read(text)
        except RpcError as problem:
            line = jsonrpc.failure(problem.id, problem)
            assert json.loads(line)["error"]["code"] in (jsonrpc.PARSE_ERROR, jsonrpc.INVALID_REQUEST)


@given(
    st.one_of(
        st.integers(-(2**63), 2**64 - 1),
        st.text(),
        st.none(),
        st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_an_answer_carries_its_id_and_its_result(id: str | float | None) -> None:
    line = jsonrpc.answer(id, b'{"x":1}')
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    assert json.loads(line) == {"jsonrpc": "2.0", "id": id, "result": {"x": 1}}


def test_an_error_of_ours_says_its_kind() -> None:
    problem = jsonrpc.error_of(NotFoundError("no member 'x'"))
    assert json.loads(jsonrpc.failure(5, problem)) == {
        "jsonrpc": "2.0",
        "id": 5,
        "error": {"code": -32000, "message": "no member 'x'", "data": {"kind": "not_found"}},
    }


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        jsonrpc.error_of(ZeroDivisionError())


def test_a_notification_has_no_id() -> None:
    assert json.loads(jsonrpc.notification("m", {"a": 1})) == {
        "jsonrpc": "2.0",
        "method": "m",
        "params": {"a": 1},
    }
