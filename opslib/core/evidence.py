"""What a diagnosis is given: spans as columns in blocks of whole traces, the other signals as frames, and their gaps.

A block never splits a trace, so blocks can be mapped one by one and merged in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from opslib.core.windows import Windows

if TYPE_CHECKING:  # named here, used by those who fill it: a SourceNote must not cost an import of pandas
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from opslib.core.model import Signal

ROOT = -1  # SpanBlock.parent: the span names no parent
ORPHAN = -2  # SpanBlock.parent: the parent named is not in the evidence

PeerType = Literal["none", "service", "database", "address", "system"]
PEER_TYPES: tuple[PeerType, ...] = ("none", "service", "database", "address", "system")


@dataclass(frozen=True, slots=True)
class Strings:
    """A dictionary-encoded column: `values[codes[i]]`, code -1 is null; all blocks of one source share `values`."""

    codes: NDArray[np.int32]
    values: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def code(self, value: str) -> int:
        """Return the code of a value, or -2 (equal to no code) where the column never holds it."""
        try:
            return self.values.index(value)
        except ValueError:
            return -2


@dataclass(frozen=True, slots=True)
class SpanBlock:
    """Whole traces as columns of one length n, rows sorted by (trace_id, span_id), duplicates already dropped.

    Shapes: every column (n,); `trace_ids` (number of traces,), sorted. Times are unix nanoseconds, int64.
    """

    trace: NDArray[np.int64]  # row of `trace_ids`; the rows of one trace are contiguous
    trace_ids: tuple[str, ...]
    parent: NDArray[np.int64]  # row of the parent span in this block, ROOT or ORPHAN
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    name: Strings
    kind: Strings  # SERVER, CLIENT, ...; UNSPECIFIED where absent
    status: Strings  # UNSET, OK, ERROR
    service: Strings
    version: Strings
    pod: Strings
    peer: Strings  # whom a client span calls, by the first attribute that names it
    peer_type: NDArray[np.int8]  # index into PEER_TYPES: which attribute named it
    attributes: Strings | None = None  # JSON text; only where the caller asked for it
    duplicates: int = 0  # rows dropped because (trace_id, span_id) was there already
    untimed: int = 0  # spans that end before they start, or last longer than any does: read with no duration

    def __len__(self) -> int:
        return len(self.trace)


@dataclass(frozen=True, slots=True)
class SourceNote:
    """How one signal was obtained; it lands in `capture.json` and in the findings."""

    signal: str
    kind: str
    url: str
    query: str
    rows: int
    truncated: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that one diagnosis may look at; a signal that is absent is an empty frame with its columns."""

    windows: Windows
    spans: Iterable[SpanBlock]  # iterated once per pass; must give the same blocks each time
    logs: pd.DataFrame
    metrics: pd.DataFrame
    events: pd.DataFrame
    topology: pd.DataFrame
    selection: Mapping[str, str] = field(
        default_factory=lambda: {"incident": "unknown", "baseline": "unknown"}
    )
    notes: tuple[SourceNote, ...] = ()
    known_services: frozenset[str] = frozenset()  # names in the environment's service map
    warnings: tuple[str, ...] = ()
    # blocks with attributes of some traces, asked for only where slow calls are compared with normal ones
    attributed: Callable[[Sequence[str]], Iterable[SpanBlock]] | None = None

    @property
    def truncated(self) -> bool:
        return any(note.truncated for note in self.notes)

    def note(self, signal: Signal) -> SourceNote:
        """Return the note of a signal, or an empty one."""
        return next((n for n in self.notes if n.signal == signal), SourceNote(signal, "", "", "", 0))
