"""No bytes can hang or crash an importer: what is found wrong is counted or named, what is found right is in order.

Inputs that once broke something are kept under corpus/ and replayed here.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from opslib.core.columns import COLUMNS
from opslib.telemetry.importers import files
from opslib.telemetry.importers.files import zstd
from opslib.telemetry.importers.gather import Gatherer
from opslib.telemetry.importers.json_texts import NotTelemetryError, add_text
from opslib.telemetry.importers.tables import Table
from tests.telemetry.importing import LOGS, METRICS, fixed_frames, jaeger, otlp, otlp_proto, varint_frames

CORPUS = Path(__file__).parent / "corpus"
bounded = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(table: Table) -> None:
    signal, count = table.signal, table.rows
    columns = table.take()
    assert set(columns) == {column.name for column in COLUMNS[signal]}
    assert {len(values) for values in columns.values() if values is not None} == {count}
    if signal == "spans":
        for name, width in (("trace_id", 32), ("span_id", 16)):
            assert all(len(value) == width and int(value, 16) for value in columns[name])
        times = zip(columns["start_time_unix_nano"], columns["end_time_unix_nano"], strict=True)
        assert all(0 <= start <= end for start, end in times)
    for name in ("attributes", "links", "labels"):
        if columns.get(name) is not None:
            assert all(value is None or json.loads(value) is not None for value in columns[name])


def survive(add: Callable[[Gatherer], None]) -> Gatherer:
    gather = Gatherer(1_000, check)
    with contextlib.suppress(NotTelemetryError):  # saying so is what it is for
        add(gather)
    gather.finish()
    return gather


def feed(data: bytes) -> Gatherer:
    return survive(lambda gather: files._add_bytes(data, gather))


SEEDS = [
    json.dumps(jaeger()).encode(),
    json.dumps({"result": otlp()}).encode(),
    b"\n".join(json.dumps(part).encode() for part in (otlp(base64_ids=True, enum_names=True), LOGS, METRICS)),
    otlp_proto(),
    fixed_frames(otlp_proto(), zstd.compress(otlp_proto())),
    varint_frames(otlp_proto(), otlp_proto()),
]


@given(st.binary(max_size=300))
@bounded
def test_any_bytes(data: bytes) -> None:
    feed(data)


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8),
    st.integers(0, 10**6),
)
@example(SEEDS[0], [(SEEDS[0].index(b"checkout"), 0xFF)], 1)
@bounded
def test_damaged_files(seed: bytes, damage: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(seed)
    for at, byte in damage:
        data[at % len(data)] = byte
    feed(bytes(data[: len(data) - cut % (len(data) // 2)]) if cut % 3 == 0 else bytes(data))


@given(
    st.sampled_from(SEEDS),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4),
)
@bounded
def test_damaged_compression(seed: bytes, packed: bool, damage: list[tuple[int, int]]) -> None:
    data = bytearray(zstd.compress(seed) if packed else gzip.compress(seed, mtime=0))
    for at, byte in damage:
        data[4 + at % (len(data) - 4)] = byte
    survive(lambda gather: files._add_compressed(io.BytesIO(data), len(data), gather))


KEYS = st.sampled_from(
    [
        "data",
        "spans",
        "processes",
        "traceID",
        "spanID",
        "operationName",
        "references",
        "refType",
        "startTime",
        "duration",
        "tags",
        "key",
        "value",
        "processID",
        "process",
        "serviceName",
        "result",
        "resourceSpans",
        "resource",
        "attributes",
        "scopeSpans",
        "traceId",
        "spanId",
        "parentSpanId",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "status",
        "code",
        "links",
        "stringValue",
        "intValue",
        "arrayValue",
        "values",
        "resourceLogs",
        "scopeLogs",
        "logRecords",
        "timeUnixNano",
        "body",
        "resourceMetrics",
        "scopeMetrics",
        "metrics",
        "gauge",
        "sum",
        "histogram",
        "dataPoints",
        "asInt",
        "bucketCounts",
        "explicitBounds",
        "count",
        "isMonotonic",
        "aggregationTemporality",
        "severityNumber",
        "flags",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["1700000000000000000", "ab" * 16, "cd" * 8, 2, "SPAN_KIND_SERVER"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(VALUES)
@bounded
def test_json_of_known_words_in_any_shape(value: object) -> None:
    survive(lambda gather: add_text(json.dumps(value).encode(), gather))


def paths(value: object, at: tuple = ()) -> list[tuple]:
    """Return where every value of nested JSON stands."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, item in inner for path in paths(item, (*at, key)))]


TREES = [jaeger(), otlp(), LOGS, METRICS]


@given(st.data())
@bounded
def test_one_value_replaced_by_any_other(data: st.DataObject) -> None:
    tree = json.loads(json.dumps(data.draw(st.sampled_from(TREES))))
    path = data.draw(st.sampled_from(paths(tree)[1:]))
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = data.draw(VALUES)
    gather = survive(lambda gather: add_text(json.dumps(tree).encode(), gather))
    assert gather.records or gather.refused or path[0] in tree


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*")), ids=lambda path: path.name)
def test_the_corpus(path: Path) -> None:
    feed(path.read_bytes())


def test_the_corpus_is_there() -> None:
    assert len(list(CORPUS.glob("*"))) >= 10
