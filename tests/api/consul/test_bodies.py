"""Bodies as Go reads them, durations as Go has them, and what is carried in meta data."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.api.consul import bodies, carried, definitions, words
from gossip.api.consul.words import Refusal
from gossip.core.records import ServiceRecord
from gossip.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("100ms", 0.1),
        ("0", 0.0),
        ("1us", 1e-6),
        ("-2s", -2.0),
        (".5s", 0.5),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert words.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("soon", 'time: invalid duration "soon"'),
        ("", 'time: invalid duration ""'),
        ("10", 'time: missing unit in duration "10"'),
        ("1x", 'time: unknown unit "x" in duration "1x"'),
        ("1s ", 'time: invalid duration "1s "'),
        ("9" * 60 + "h", 'time: invalid duration "' + "9" * 60),
    ],
)
def test_what_is_no_duration_is_told_in_its_words(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        words.parse_duration(text)
    assert str(caught.value).startswith(reason)


@given(st.floats(0.001, 1e6))
def test_a_duration_that_is_shown_is_one_that_is_read(seconds: float) -> None:
    assert words.parse_duration(words.show_duration(seconds)) == pytest.approx(seconds, rel=1e-4)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("null", {}),
        ('{"name": "web", "ID": "w", "PORT": 80}', {"Name": "web", "ID": "w", "Port": 80}),
        ('{"enable_tag_override": true, "tagged_addresses": {"lan": {"address": "a", "port": 1}}}',
         {"EnableTagOverride": True, "TaggedAddresses": {"lan": {"Address": "a", "Port": 1}}}),
        ('{"Check": {"id": "c", "deregister_critical_service_after": "1m", "interval": 10}}',
         {"Check": {"CheckID": "c", "DeregisterCriticalServiceAfter": 60.0, "Interval": 1e-8}}),
        ('{"Tags": null, "Checks": [null, {"TTL": "1s"}], "Meta": {"k": null}}',
         {"Checks": [{"TTL": 1.0}], "Meta": {"k": ""}}),
        ('{"Check": {"Header": {"X": ["y"]}, "Args": ["a"], "script_args": ["b"]}}',
         {"Check": {"Header": {"X": ["y"]}, "Args": ["a"], "ScriptArgs": ["b"]}}),
    ],
)  # fmt: skip
def test_keys_come_in_any_spelling(body: str, expected: dict[str, Any]) -> None:
    assert bodies.decode(body.encode(), bodies.SERVICE) == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "EOF"),
        ("{", "unexpected EOF"),
        ('{"Name": "x', "unexpected EOF"),
        ("[]", "json: cannot unmarshal array into Go value of type struct"),
        ('{"Bogus": 1}', 'json: unknown field "Bogus"'),
        ('{"Port": "80"}', "json: cannot unmarshal string into Go struct field .Port of type int"),
        ('{"Port": 80.5}', "json: cannot unmarshal number 80.5 into Go struct field .Port of type int"),
        ('{"Port": true}', "json: cannot unmarshal bool into Go struct field .Port of type int"),
        ('{"Meta": {"k": 5}}', "json: cannot unmarshal number into Go struct field .Meta of type string"),
        ('{"Tags": "x"}', "json: cannot unmarshal string into Go struct field .Tags of type []string"),
        ('{"TaggedAddresses": {"lan": "1.2.3.4"}}',
         "json: cannot unmarshal string into Go struct field .TaggedAddresses of type structs.Service"),
        ('{"Check": {"TTL": "10"}}', 'time: missing unit in duration "10"'),
        ('{"Check": {"Script": "true"}}', 'json: unknown field "Script"'),
        ('{"Name": "\\ud800"}', "Name is no Unicode text"),
        ("[" * 100_000, "invalid JSON"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_in_gos_words(body: str, reason: str) -> None:
    with pytest.raises(Refusal) as caught:
        bodies.decode(body.encode(), bodies.SERVICE)
    assert caught.value.status == 400
    assert caught.value.text.startswith(f"Request decode failed: {reason}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Name", "id", "Check", "TTL", "Tags", "Meta", "Weights", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(json_values | st.binary(max_size=40))
def test_any_body_is_a_registration_or_refused(value: Any) -> None:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    for fields in (bodies.SERVICE, bodies.CHECK, bodies.CATALOG_REGISTRATION, bodies.UPDATE):
        with contextlib.suppress(Refusal, ConfigError):
            given_fields = bodies.decode(body, fields)
            if fields is bodies.SERVICE:
                definitions.service_registration(given_fields, "off")


def record(meta: dict[str, str], key: str = "w") -> ServiceRecord:
    return ServiceRecord(b"o" * 16, 1, key, "web", "10.0.0.1", 80, (), meta, 1)


def test_what_is_carried_comes_back() -> None:
    node = carried.Foreign("ext", "10.9.9.9", "an-id", {"m": "1"}, {"lan": "10.9.9.9"})
    meta = {
        "k": "v",
        **carried.put(warning=3, tagged={"lan": ("10.0.0.2", 81)}, override=True, native=True, node=node),
    }
    expected = carried.Carried({"k": "v"}, 3, {"lan": ("10.0.0.2", 81)}, True, True, node)
    assert carried.read(record(meta)) == expected
    assert carried.put() == {}


@given(st.dictionaries(
    st.sampled_from([carried.WARNING, carried.TAGGED, carried.OVERRIDE, carried.NODE, "consul-x", "k"]),
    st.text(max_size=12) | json_values.map(json.dumps),
))  # fmt: skip
def test_whatever_others_carry_is_read_or_counts_as_absent(meta: dict[str, str]) -> None:
    found = carried.read(record(meta))
    assert set(found.meta) <= {"k"}
    assert 0 <= found.warning < 100_000
