"""What files hold, told by their content: compressed or not, JSON texts or protobuf, whole or a line at a time.

Nothing is decompressed without a bound: a stream may hold RATIO times its file and a little more, and what is held at
once is at most HELD bytes.
"""

from __future__ import annotations

import gzip
import mmap
import os
import sys
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from opslib.core.words import printable
from opslib.telemetry.importers.binary import add_message, frames
from opslib.telemetry.importers.gather import Gatherer
from opslib.telemetry.importers.json_texts import ALL, NotTelemetryError, Share, add_text
from opslib.telemetry.importers.tasks import LARGE

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HELD = 64_000_000  # bytes of decompressed text
RATIO = 1_000
CUT_STREAM = "compressed file that is cut off or damaged: kept what comes before"
BAD_LINE = "line that is no JSON of a known shape"
LONG_LINE = f"line of more than {HELD // 1_000_000} MB: left out"
_ZSTD, _GZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b"
_SPACE = b" \t\r\n"
_CHUNK = 1 << 22
_DAMAGED = (zstd.ZstdError, zlib.error, EOFError, OSError)


def add_file(path: Path, gather: Gatherer, share: Share = ALL) -> None:
    """Add a whole file, or one share of its members. Raises NotTelemetryError, OSError, ImportError without protobuf."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        # Pieces of a mapped text keep the map alive for as long as they live; closing it under them would be an error.
        data: Any = file.read() if size <= LARGE else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if data[:4] == _ZSTD or data[:2] == _GZIP:
            file.seek(0)
            _add_compressed(file, size, gather)
        else:
            _add_bytes(data, gather, share)


def _add_bytes(data: Any, gather: Gatherer, share: Share = ALL) -> None:
    if data[: len(BOM_UTF8)] == BOM_UTF8:
        data = data[len(BOM_UTF8) :]
    first = _first_byte(data)
    if first is None:
        raise NotTelemetryError("it is empty")
    if first not in b"{[":
        _add_binary(data, gather)
    elif is_lines(data):
        add_lines(iter(bytes(data).split(b"\n")), gather)
    else:
        _add_json(data, gather, share)


def _first_byte(data: Any) -> int | None:
    head = bytes(data[:4096])
    begin = len(head) - len(head.lstrip(_SPACE))
    if begin == len(head):
        return None if len(data) == begin else head[0]
    # A protobuf message begins with the byte of a line feed; the text after it decides.
    return head[begin]


def _add_json(data: Any, gather: Gatherer, share: Share) -> None:
    try:
        add_text(data, gather, share)
    except NotTelemetryError:
        if data[0] != 0x0A:
            raise
        _add_binary(data, gather)


def _add_binary(data: Any, gather: Gatherer) -> None:
    failed: NotTelemetryError | None = None
    good = 0
    for frame in frames(data):
        try:
            _add_frame(data, frame, gather)
            good += 1
        except NotTelemetryError as error:
            failed = error
    if not good:
        raise failed or NotTelemetryError("it is empty")


def _add_frame(data: Any, frame: tuple[int, int], gather: Gatherer) -> None:
    begin, end = frame
    head = bytes(data[begin : begin + 4])
    if head == _ZSTD:
        plain = _unpacked(bytes(data[begin:end]))
        _add_bytes(plain, gather)
    elif head[:1] == b"{":
        add_text(bytes(data[begin:end]), gather)
    else:
        add_message(data, frame, gather)


def _unpacked(packed: bytes) -> bytes:
    decoder = zstd.ZstdDecompressor()
    try:
        plain: bytes = decoder.decompress(packed, HELD)
    except zstd.ZstdError as error:
        raise NotTelemetryError(f"it is no whole zstd: {error}") from error
    if not decoder.eof:
        raise NotTelemetryError(f"it is cut off, or holds more than {HELD // 1_000_000} MB in one message")
    return plain


def is_lines(data: Any) -> bool:
    """Tell whether a JSON text is one per line: its first line is whole, and another one follows."""
    end = data.find(b"\n")
    while end >= 0 and not bytes(data[:end]).strip():
        end = data.find(b"\n", end + 1)
    if end < 0 or _blank(data, end):
        return False
    if end > HELD:  # no text that is written over several lines has one so long
        return True
    return bytes(data[max(0, end - 64) : end]).rstrip().endswith((b"}", b"]")) and _whole(bytes(data[:end]))


def _blank(data: Any, begin: int) -> bool:
    return len(data) - begin < 4096 and not bytes(data[begin:]).strip()


def _whole(line: bytes) -> bool:
    import msgspec  # noqa: PLC0415

    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    return True


def add_lines(lines: Iterator[bytes], gather: Gatherer) -> None:
    """Add one JSON text a line. Raises NotTelemetryError where none of them is understood."""
    good, failed = 0, None
    for line in lines:
        if not line.strip():
            continue
        try:
            add_text(line, gather)
            good += 1
        except NotTelemetryError as error:
            failed = error
            gather.refused[BAD_LINE] += 1
    if failed is not None and not good:
        raise failed


def add_line_range(path: Path, begin: int, end: int, gather: Gatherer) -> None:
    """Add the lines that begin in [begin, end). Raises NotTelemetryError and OSError."""
    with path.open("rb") as file:
        add_lines(_lines_between(file, begin, end, gather), gather)


def _lines_between(file: BinaryIO, begin: int, end: int, gather: Gatherer) -> Iterator[bytes]:
    file.seek(max(begin - 1, 0))
    if begin:
        _pass_line(file)
    while file.tell() < end:
        line = file.readline(HELD)
        if len(line) == HELD and line[-1:] != b"\n":
            gather.refused[LONG_LINE] += 1
            _pass_line(file)
            continue
        if not line:
            return
        yield line


def _pass_line(file: BinaryIO) -> None:
    """Go to the end of a line of any length, holding little of it."""
    while (piece := file.readline(_CHUNK)) and piece[-1:] != b"\n":
        pass


def _add_compressed(file: BinaryIO, size: int, gather: Gatherer) -> None:
    packed = file.read(len(_ZSTD)) == _ZSTD
    file.seek(0)
    with zstd.ZstdFile(file) if packed else gzip.GzipFile(fileobj=file) as stream:
        try:
            head = _read(stream, HELD, gather)
            if len(head) < HELD:
                _add_bytes(head, gather)
            else:
                add_lines(_stream_lines(head, stream, size * RATIO + HELD, gather), gather)
        except _DAMAGED as error:
            raise NotTelemetryError(f"it cannot be decompressed: {printable(str(error))}") from error


def _read(stream: Any, size: int, gather: Gatherer) -> bytes:
    """Read up to `size` bytes; of a stream that is cut off or damaged what comes before that, if anything."""
    chunks: list[bytes] = []
    left = size
    try:
        while left and (chunk := stream.read1(min(left, _CHUNK))):
            chunks.append(chunk)
            left -= len(chunk)
    except _DAMAGED:
        if not chunks:
            raise
        gather.refused[CUT_STREAM] += 1
    return b"".join(chunks)


def _stream_lines(head: bytes, stream: Any, limit: int, gather: Gatherer) -> Iterator[bytes]:
    """Yield the lines of a stream of which `head` was read. Raises NotTelemetryError beyond `limit` bytes in all."""
    rest, total, passing = head, len(head), False
    while True:
        first, *lines = rest.split(b"\n")
        if lines:
            yield from () if passing else (first,)
            yield from lines[:-1]
            rest, passing = lines[-1], False
        if len(rest) > HELD or passing:
            gather.refused[LONG_LINE] += not passing
            rest, passing = b"", True
        chunk = stream.read1(_CHUNK)
        total += len(chunk)
        if total > limit:
            raise NotTelemetryError("it is a compression bomb")
        if not chunk:
            yield rest
            return
        rest += chunk
