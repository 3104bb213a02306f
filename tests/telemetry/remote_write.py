"""Samples with stamps of our choice into a real Prometheus, by its remote write (protobuf 1.0 in snappy's framing)."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.request import Request, urlopen


@dataclass(frozen=True)
class Native:
    """A native histogram: buckets of a schema by index (positive and negative), and the zero bucket."""

    schema: int
    sum: float
    positive: Mapping[int, int] = field(default_factory=dict)
    negative: Mapping[int, int] = field(default_factory=dict)
    zero: int = 0
    zero_threshold: float = 0.0

    @property
    def count(self) -> int:
        return self.zero + sum(self.positive.values()) + sum(self.negative.values())


@dataclass(frozen=True)
class Sent:
    """One series: labels with `__name__`; samples and histograms by time in ms, exemplars as (ms, value, labels)."""

    labels: Mapping[str, str]
    samples: Iterable[tuple[int, float]] = ()
    histograms: Iterable[tuple[int, Native]] = ()
    exemplars: Iterable[tuple[int, float, Mapping[str, str]]] = ()


def remote_write(url: str, series: Iterable[Sent]) -> None:
    body = b"".join(_bytes(1, _series(one)) for one in series)
    headers = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    with urlopen(Request(f"{url}/api/v1/write", _snappy(body), headers), timeout=30) as answer:
        assert answer.status in (200, 204)


def _series(one: Sent) -> bytes:
    return b"".join([
        *(_bytes(1, _label(*pair)) for pair in sorted(one.labels.items())),
        *(_bytes(2, _double(1, value) + _int(2, time)) for time, value in one.samples),
        *(_bytes(3, b"".join(_bytes(1, _label(*pair)) for pair in sorted(labels.items())) + _double(2, value) + _int(3, time))
          for time, value, labels in one.exemplars),
        *(_bytes(4, _histogram(time, native)) for time, native in one.histograms),
    ])  # fmt: skip


def _histogram(time: int, native: Native) -> bytes:
    return b"".join([
        _int(1, native.count), _double(3, native.sum), _int(4, _zigzag(native.schema)),
        _double(5, native.zero_threshold), _int(6, native.zero),
        _buckets(8, native.negative), _buckets(11, native.positive), _int(15, time),
    ])  # fmt: skip


def _buckets(number: int, buckets: Mapping[int, int]) -> bytes:
    """A span per bucket, and each count as its difference to the one before."""
    spans, deltas, after, last = b"", b"", 0, 0
    for index, count in sorted(buckets.items()):
        spans += _bytes(number, _int(1, _zigzag(index - after)) + _int(2, 1))
        deltas += _varint(_zigzag(count - last))
        after, last = index + 1, count
    return spans + (_bytes(number + 1, deltas) if buckets else b"")


def _label(name: str, value: str) -> bytes:
    return _bytes(1, name.encode()) + _bytes(2, value.encode())


def _bytes(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _snappy(content: bytes) -> bytes:
    """Frame without compressing: literals of up to 64 KiB."""
    parts = [content[at : at + 65_536] for at in range(0, len(content), 65_536)]
    literals = (bytes([61 << 2]) + struct.pack("<H", len(part) - 1) + part for part in parts)
    return _varint(len(content)) + b"".join(literals)
