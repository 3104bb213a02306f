"""Tags of Jaeger's spans: one decoding for equal texts, and the same answer as if each were decoded by itself."""

import json
from collections import Counter

import msgspec
import pytest

from opslib.core.columns import COLUMNS
from opslib.telemetry.importers import tags as module
from opslib.telemetry.importers.gather import Gatherer
from opslib.telemetry.importers.jaeger import NOT_DECODED
from opslib.telemetry.importers.json_texts import add_text
from opslib.telemetry.importers.tags import Tags, Told
from opslib.telemetry.importers.values import LONG_JSON, MAX_JSON


def raw(*pairs):
    return msgspec.Raw(
        json.dumps([{"key": key, "type": "x", "value": value} for key, value in pairs]).encode()
    )


SERVER = raw(("span.kind", "server"), ("error", True))


def test_equal_texts_say_the_same_whatever_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_KNOWN", 3)
    tags = Tags()
    many = [raw(("n", number)) for number in range(5)]
    for batch in ([SERVER, *many], [*many, SERVER], [SERVER], [msgspec.Raw(), SERVER, msgspec.Raw(b"null")]):
        found = dict(zip(map(bytes, batch), tags.of(batch, Counter()), strict=True))
        assert found[bytes(SERVER)] == Told('{"span.kind":"server","error":true}', "SERVER", "ERROR", False)
        assert all(
            found[bytes(text)].attributes == f'{{"n":{number}}}'
            for number, text in enumerate(many)
            if bytes(text) in found
        )
        assert found.get(b"", Told(None, "UNSPECIFIED", "UNSET", False)) == Told(
            None, "UNSPECIFIED", "UNSET", False
        )


def test_each_span_whose_attributes_are_too_long_is_counted() -> None:
    refused: Counter[str] = Counter()
    long = raw(("text", "x" * MAX_JSON))
    told = Tags().of([long, SERVER, long], refused)
    assert [said.attributes is None for said in told] == [True, False, True]
    assert refused == {LONG_JSON: 2}


def test_a_span_whose_tags_are_none_costs_only_itself() -> None:
    tables = []
    gather = Gatherer(1_000, lambda table: tables.append(table.take()))
    spans = [
        {"traceID": "a" * 32, "spanID": f"{number:016x}", "startTime": number, "duration": 1, "tags": tags}
        for number, tags in enumerate([[{"key": "a", "value": 1}], [{"key": 7}], "tags", None, [3]], start=1)
    ]
    add_text(json.dumps({"data": [{"spans": spans, "processes": {}}]}).encode(), gather)
    gather.finish()
    (columns,) = tables
    assert set(columns) == {column.name for column in COLUMNS["spans"]}
    assert columns["span_id"] == [f"{1:016x}", f"{4:016x}"]
    assert columns["attributes"] == ['{"a":1}', None]
    assert gather.refused == {NOT_DECODED: 3}
