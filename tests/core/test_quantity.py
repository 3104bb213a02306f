"""Kubernetes quantities: read, compared and written exactly as Kubernetes does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib.core.errors import QuantityError
from opslib.core.quantity import NANO, Quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "canonical", "nano"),
    [
        ("0", "0", 0),
        ("1", "1", NANO),
        ("100m", "100m", NANO // 10),
        ("0.1", "100m", NANO // 10),
        (".5", "500m", NANO // 2),
        ("5.", "5.", 5 * NANO),
        ("1000m", "1", NANO),
        ("1500m", "1500m", 3 * NANO // 2),
        ("-1500m", "-1500m", -3 * NANO // 2),
        ("12345000", "12345k", 12_345_000 * NANO),
        ("1k", "1k", 1000 * NANO),
        ("1E", "1E", 10**18 * NANO),
        ("12E6", "12E6", 12_000_000 * NANO),
        ("12000E3", "12e6", 12_000_000 * NANO),
        ("1e5", "100e3", 100_000 * NANO),
        ("1e-4", "100e-6", 100_000),
        ("1Ki", "1Ki", 1024 * NANO),
        ("1024Mi", "1Gi", 1024**3 * NANO),
        ("1.5Gi", "1536Mi", 1536 * 1024**2 * NANO),
        ("1536Mi", "1536Mi", 1536 * 1024**2 * NANO),
        ("0.5Ki", "512", 512 * NANO),
        ("0.1Ki", "102400m", 102_400_000_000),
        ("1.0001Ki", "1024102400u", 1_024_102_400_000),
        ("1.234", "1.234", 1_234_000_000),
        ("0.234", "234m", 234_000_000),
        ("+5", "+5", 5 * NANO),
        ("-", "0", 0),
        ("1n", "1n", 1),
        ("0.1n", "1n", 1),
        ("-0.1n", "-1n", -1),
        ("16Ei", str(2**63 - 1), (2**63 - 1) * NANO),
    ],
)
def test_text_is_read_and_written(text: str, canonical: str, nano: int) -> None:
    quantity = parse_quantity(text)

    assert (str(quantity), quantity.nano) == (canonical, nano)


def test_numbers_of_json_are_quantities() -> None:
    assert str(parse_quantity(2)) == "2"
    assert str(parse_quantity(0.5)) == "500m"


def test_units_round_up_as_the_scheduler_does() -> None:
    assert parse_quantity("100u").milli == 1
    assert parse_quantity("1500m").milli == 1500
    assert parse_quantity("1500m").whole == 2
    assert parse_quantity("1Gi").whole == 1024**3


def test_order_is_by_amount_in_every_notation() -> None:
    assert parse_quantity("1k") < parse_quantity("1Ki") < parse_quantity("2e3")
    assert parse_quantity("900m") < parse_quantity("1")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "quantities must match"),
        ("abc", "quantities must match"),
        ("1 Gi", "quantities must match"),
        ("1.2.3", "quantities must match"),
        ("٣", "quantities must match"),
        ("1" * 65, "quantities must match"),
        ("1e9999", "unable to parse quantity's suffix"),
        ("1e", "unable to parse quantity's suffix"),
        ("1KiMi", "unable to parse quantity's suffix"),
        ("nan", "quantities must match"),
    ],
)
def test_what_is_no_quantity_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(QuantityError, match=complaint):
        parse_quantity(text)


@given(st.integers(-(10**30), 10**30), st.sampled_from(["decimal", "binary", "exponent"]))
def test_written_and_read_again_it_is_the_same_amount(nano: int, notation: str) -> None:
    again = parse_quantity(str(Quantity(nano, notation)))

    largest = (2**63 - 1) * NANO
    assert again.nano == nano or (notation == "binary" and abs(nano) > largest and abs(again.nano) == largest)
    assert again == parse_quantity(str(again))


@given(st.text(alphabet="0123456789.+-eEinumkKMGTP ", max_size=12))
def test_canonical_text_is_a_fixed_point(text: str) -> None:
    try:
        canonical = str(parse_quantity(text))
    except QuantityError:
        return
    assert str(parse_quantity(canonical)) == canonical
