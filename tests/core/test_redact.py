"""Secrets are masked by key, by shape and by value; references to secrets are not secrets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslib.core.redact import MASK, Redaction, Redactor, is_secret_key


@pytest.mark.parametrize(
    "key",
    ["password", "DB_PASSWORD", "apiKey", "api-key", "authToken", "x_secret", "Authorization", "cookies"],
)
def test_secret_keys(key: str) -> None:
    assert is_secret_key(key)


@pytest.mark.parametrize("key", ["author", "tokenizer", "passenger", "service", "keyboard", "compass"])
def test_ordinary_keys(key: str) -> None:
    assert not is_secret_key(key)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hunter2hunter2", "https://user:hunter2hunter2@host/path", "password=hunter2hunter2",
        '{"api_key": "hunter2hunter2"}', "AKIA" + "A" * 16, "ghp_" + "hunter2" * 4,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.hunter2hunter2",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_known_shapes_are_masked(text: str) -> None:
    masked = Redactor().text(text)

    assert MASK in masked
    assert "hunter2" not in masked
    assert "AAAA" not in masked


def test_nested_data_is_masked_and_the_rest_kept() -> None:
    data = {
        "service": "payment",
        "auth": {"user": "u"},
        "db": {"password": "hunter2", "port": 5432},
        "l": ["token=hunter2x"],
    }

    masked = Redactor().data(data)

    assert masked["service"] == "payment"
    assert masked["db"] == {"password": MASK, "port": 5432}
    assert masked["l"] == [f"token={MASK}"]


def test_references_stay_readable() -> None:
    assert Redactor().data({"auth": "env:ES_AUTH"}) == {"auth": "env:ES_AUTH"}


@given(st.text(min_size=4, max_size=20), st.text(), st.text())
def test_a_known_value_never_gets_through(secret: str, before: str, after: str) -> None:
    assert secret not in Redactor([secret]).text(before + secret + after).replace(MASK, "")


@given(
    st.lists(st.sampled_from(["s3cr3t", "a", "bearer 12345678", "x.token", "http://u:p@h/", "é"]), max_size=4)
)
def test_clean_texts_stay_as_they_are(texts: list[str]) -> None:
    redactor = Redactor(["s3cr3t"])
    assert redactor.clean(texts) == (not set(texts) - {"a", "é"})
    assert not redactor.clean(texts) or [redactor.text(text) for text in texts] == texts


EVERYTHING = Redactor(rules=Redaction(keys=("X-Customer",), patterns=(r"ACME-\d{6}",)))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mail to ann.b+c@mail.example.org failed", f"mail to {MASK} failed"),
        ("card 4111 1111 1111 1111 declined", f"card {MASK} declined"),
        ("card 378282246310005.", f"card {MASK}."),
        ("order ACME-123456 lost", f"order {MASK} lost"),
    ],
)
def test_evidence_is_masked_by_more_rules(text: str, masked: str) -> None:
    assert EVERYTHING.may_mask(text)
    assert EVERYTHING.text(text) == masked
    assert EVERYTHING.text(masked) == masked
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "at 1769828400000000000 ns", "4111 1111 1111 1112 fails the check", "trace 4111111111111111abcdef",
        "user@localhost", "took 1234.5678 ms",
    ],
)  # fmt: skip
def test_what_only_looks_alike_stays(text: str) -> None:
    assert EVERYTHING.text(text) == text


def test_values_in_sql_and_named_keys_are_masked_in_attributes() -> None:
    data = {
        "db.query.text": "SELECT a1 FROM t2 WHERE x = 'it''s' AND y > -1.5 AND z = $1", "db.query.parameter.0": "42",
        "x-customer": "ann", "http.route": "/pay/42",
    }  # fmt: skip
    assert EVERYTHING.data(data) == {
        "db.query.text": "SELECT a1 FROM t2 WHERE x = ? AND y > ? AND z = $1", "db.query.parameter.0": "?",
        "x-customer": MASK, "http.route": "/pay/42",
    }  # fmt: skip


@pytest.mark.parametrize("table", [{"emails": 1}, {"mails": True}, {"keys": "x"}, {"patterns": ["("]}])
def test_rules_that_are_none_are_refused(table: dict) -> None:
    with pytest.raises(ValueError, match=r"no (rule|regular)"):
        Redaction.from_dict(table)
