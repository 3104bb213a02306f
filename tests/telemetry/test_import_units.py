"""Ids and times from anywhere: one normaliser each, against the table of units that the formats use."""

from __future__ import annotations

import base64
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from opslib.core.ids import SPAN_BYTES, TRACE_BYTES, hex_id, hex_ids, shared_hex_ids
from opslib.core.units import MAX_NS, MIN_NS, NS_PER, to_ns, to_ns_column

T0 = 1_700_000_000_123_456_789
sizes = st.sampled_from([SPAN_BYTES, TRACE_BYTES])
raw_ids = sizes.flatmap(lambda size: st.binary(min_size=size, max_size=size).filter(any))


@given(raw_ids)
def test_an_id_is_the_same_in_every_spelling(raw: bytes) -> None:
    size, text = len(raw), raw.hex()
    encoded = base64.b64encode(raw).decode()

    assert hex_id(raw, size) == text
    assert hex_id(text, size) == text
    assert hex_id(text.upper(), size) == text
    assert hex_id(text.lstrip("0"), size, short_hex=True) == text
    assert hex_id(encoded, size) == text
    assert hex_id(encoded.translate(str.maketrans("+/", "-_")), size) == text
    if not set(encoded.rstrip("=").lower()) <= set("0123456789abcdef"):
        assert hex_id(encoded.rstrip("="), size, short_hex=True) == text
    assert hex_id(encoded.rstrip("="), size) == text


def test_64_bit_ids_get_their_leading_zeros() -> None:
    assert hex_id("D6E9329D67B6146A", TRACE_BYTES) == "0000000000000000d6e9329d67b6146a"
    assert hex_id("1", SPAN_BYTES) == "0000000000000001"
    assert hex_id("00000000000000000000000000000001", SPAN_BYTES) == "0000000000000001"


def test_the_length_decides_what_could_be_both() -> None:
    both = "abcdefabcde"  # eleven characters: 8 bytes in base64, or 44 bits in hex

    assert hex_id(both, SPAN_BYTES, short_hex=True) == "00000abcdefabcde"
    assert hex_id(both, SPAN_BYTES) == base64.b64decode(both + "=").hex()


def test_a_uuid_is_an_id() -> None:
    assert hex_id("01234567-89ab-CDEF-0123-456789abcdef", TRACE_BYTES) == "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "0" * 32,
        "g" * 32,
        "12-34",
        "é" * 16,
        "1" * 33,
        "x" * 10**6,
        None,
        5,
        b"",
        bytes(16),
        "=" * 24,
        "Z" * 23,
    ],
)
def test_what_is_no_id_is_none(value: object) -> None:
    assert hex_id(value, TRACE_BYTES) is None


def test_a_span_id_is_never_cut_from_a_longer_one() -> None:
    assert hex_id("1" + "0" * 16, SPAN_BYTES) is None


@given(
    st.lists(st.one_of(st.text(max_size=40), st.binary(max_size=20), st.none(), st.integers()), min_size=1),
    sizes,
)
def test_a_column_of_ids_is_each_of_them(values: list[object], size: int) -> None:
    each = [hex_id(value, size) for value in values]

    assert hex_ids(values, size) == each
    assert shared_hex_ids(values, size) == each


def test_right_ids_are_taken_as_they_are() -> None:
    right = ["00000000000000ab", "1111111111111111"]

    assert hex_ids(right, SPAN_BYTES) == right
    assert hex_ids([*right, "0" * 16], SPAN_BYTES) == [*right, None]


@pytest.mark.parametrize(
    ("value", "unit", "ns"),
    [
        (T0 // 1000, "us", T0 // 1000 * 1000),  # Jaeger
        (str(T0), "ns", T0),  # OTLP, Jaeger v3, Loki
        (
            1_700_000_000_123,
            "ms",
            1_700_000_000_123_000_000,
        ),  # Jaeger's dependencies and metrics, Tempo's durations
        (1_700_000_000, "s", 1_700_000_000_000_000_000),  # Tempo's requests
        (1700000000.5, "s", 1_700_000_000_500_000_000),  # Prometheus
        ("1700000000.123456789", "s", T0),
        ("1.5e3", "us", 1_500_000),
        (-5, "us", -5_000),
        (" 7 ", "ns", 7),
        (0, "us", 0),
        (
            1700000000123456.0,
            "us",
            1_700_000_000_123_456_000,
        ),  # exact, though the product needs more than 53 bits
        (MAX_NS, "ns", MAX_NS),
    ],
)
def test_every_source_s_unit(value: object, unit: str, ns: int) -> None:
    assert to_ns(value, unit) == ns


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        "soon",
        "1_000",
        "0x10",
        "٣",
        "nan",
        "-inf",
        "1e400",
        "9" * 5000,
        1e300,
        10**30,
        float("nan"),
        float("inf"),
        [],
        {},
        MAX_NS + 1,
    ],
)
def test_what_is_no_time_is_none(value: object) -> None:
    assert to_ns(value) is None


def test_the_year_2262_ends_the_world() -> None:
    assert to_ns(9_223_372_036_854_775, "us") == 9_223_372_036_854_775_000
    assert to_ns(9_223_372_036_854_776, "us") is None


numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.text(max_size=5),
    st.none(),
    st.booleans(),
)


@given(st.lists(numbers, min_size=1), st.sampled_from(sorted(NS_PER)))
@example([1, 2, 3], "us")
@example(["1", "2"], "ns")
@example(["1", ""], "ns")
@example(["\u0661"], "ns")
@example([2**62], "us")
@example([MIN_NS, MAX_NS], "ns")
def test_a_column_of_times_is_each_of_them(values: list[object], unit: str) -> None:
    assert to_ns_column(values, unit) == [to_ns(value, unit) for value in values]


@given(st.integers(-(2**53), 2**53), st.sampled_from(sorted(NS_PER)))
def test_integers_and_their_texts_and_floats_agree(value: int, unit: str) -> None:
    exact = value * NS_PER[unit]
    expected = exact if MIN_NS <= exact <= MAX_NS else None

    assert to_ns(value, unit) == to_ns(str(value), unit) == to_ns(float(value), unit) == expected
    assert to_ns(f"{Decimal(value)}.0", unit) == expected
