"""OTLP protobuf: one message, messages behind their lengths (4 bytes big-endian, or a varint), whichever signal.

A message of any signal is a list of resource groups in field 1. It is taken apart on the wire, so that a large or a
cut-off file is read group by group. All signals look alike there: which one it is shows in the first record.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from opslib.telemetry.importers.gather import Form, Gatherer
from opslib.telemetry.importers.json_texts import NotTelemetryError, add_group

CUT = "message or group at the end of a file that is cut off"
BAD_GROUP = "group of a protobuf message that cannot be decoded"
MAX_FRAME = 1 << 30

Frame = tuple[int, int]  # where a message or a group begins and ends


class CutError(ValueError):
    """The bytes end in the middle of something."""


def frames(data: Any) -> list[Frame]:
    """Return where the messages of a file lie; the last one may end beyond the file, which is then cut off."""
    whole = [(0, len(data))]
    if data[0] != 0 and _is_single(data):
        return whole
    for length in (_fixed_length, _varint_length):
        found = _walk(data, length)
        if found is not None:
            return found
    return whole


def _is_single(data: Any) -> bool:
    """One message has nothing but resource groups from its first byte to its last."""
    try:
        first = next(groups(data, 0, len(data)), (0, 0))
        return (
            sum(1 for _ in groups(data, 0, len(data))) > 0
            and decode_group(bytes(data[slice(*first)])) is not None
        )
    except ValueError:
        return False


def _walk(data: Any, length: Callable[[Any, int], Frame | None]) -> list[Frame] | None:
    """Follow lengths from the start; None where they cannot be lengths. Of several messages the last may be cut off."""
    found: list[Frame] = []
    at = 0
    while at < len(data):
        frame = length(data, at)
        if frame is None or not _begins_message(data, frame):
            return None
        found.append(frame)
        at = frame[1]
    return found if at == len(data) or len(found) > 1 or data[0] == 0 else None


def _begins_message(data: Any, frame: Frame) -> bool:
    """A message begins with field 1, as JSON, or compressed; an empty one is allowed."""
    begin, end = frame
    return begin == end or begin >= len(data) or data[begin] in (0x0A, 0x7B, 0x28)


def _fixed_length(data: Any, at: int) -> Frame | None:
    size = int.from_bytes(data[at : at + 4], "big")
    return (at + 4, at + 4 + size) if size <= MAX_FRAME else None


def _varint_length(data: Any, at: int) -> Frame | None:
    try:
        size, begin = varint(data, at)
    except ValueError:
        return None
    return (begin, begin + size) if size <= MAX_FRAME else None


def varint(data: Any, at: int) -> tuple[int, int]:
    """Return a base-128 number and where it ends. Raises CutError, and ValueError beyond 64 bits."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise CutError("the file ends in a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 64 bits")


def groups(data: Any, begin: int, end: int) -> Iterator[Frame]:
    """Yield where the resource groups of one message lie. Raises ValueError for another wire format, CutError."""
    at = begin
    while at < end:
        key, at = varint(data, at)
        field, kind = key >> 3, key & 7
        if kind != 2 or not 1 <= field <= 15:
            raise ValueError("it is no list of resource groups")
        size, at = varint(data, at)
        if at + size > end:
            raise CutError("the file ends in a group")
        if field == 1:
            yield at, at + size
        at += size


def add_message(data: Any, frame: Frame, gather: Gatherer) -> None:
    """Add one message. Raises NotTelemetryError where its bytes are none, ImportError without protobuf."""
    begin, end = frame
    understood = 0
    try:
        for first, last in groups(data, begin, min(end, len(data))):
            understood += _add_group(bytes(data[first:last]), gather)
    except CutError:
        gather.refused[CUT] += 1
        if not understood:
            raise NotTelemetryError("it is cut off before its first record") from None
        return
    except ValueError as error:
        if not understood:
            raise NotTelemetryError(f"it is neither JSON nor OTLP protobuf: {error}") from error
        gather.refused[BAD_GROUP] += 1
    if not understood and end > begin:
        raise NotTelemetryError("it is neither JSON nor OTLP protobuf")


def _add_group(payload: bytes, gather: Gatherer) -> int:
    found = decode_group(payload)
    if found is None:
        gather.refused[BAD_GROUP] += 1
        return 0
    add_group(*found, gather)
    gather.took(len(payload))
    return 1


def decode_group(payload: bytes) -> tuple[Form, Any] | None:
    """Return a resource group and whose records it holds, None where it is none of the three."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - an extra

    for form, (kind, holds) in _kinds().items():
        group = kind()
        try:
            group.ParseFromString(payload)
        except DecodeError:
            continue
        if holds(group):
            return form, group
    return None


@functools.cache
def _kinds() -> dict[Form, tuple[Callable[[], Any], Callable[[Any], bool]]]:
    from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs  # noqa: PLC0415 - an extra
    from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics  # noqa: PLC0415
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans  # noqa: PLC0415

    return {
        "spans": (ResourceSpans, _spans),
        "logs": (ResourceLogs, _logs),
        "metrics": (ResourceMetrics, _metrics),
    }


def _some(group: Any, scopes: str, members: str) -> list[Any]:
    every = (record for scope in getattr(group, scopes) for record in getattr(scope, members))
    return list(islice(every, 16))


def _spans(group: Any) -> bool:
    return any(len(s.trace_id) == 16 and s.start_time_unix_nano for s in _some(group, "scope_spans", "spans"))


def _logs(group: Any) -> bool:
    records = _some(group, "scope_logs", "log_records")
    return any(r.time_unix_nano or r.observed_time_unix_nano for r in records)


def _metrics(group: Any) -> bool:
    return any(m.name and m.WhichOneof("data") for m in _some(group, "scope_metrics", "metrics"))
