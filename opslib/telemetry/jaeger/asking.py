"""One search after the other: how much of it came, and whether asking for less time would bring the rest.

Storages may cut times to whole microseconds, Elasticsearch's to whole milliseconds: a shorter time is answered as if it
were that long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from opslib.core.errors import SourceError
from opslib.core.windows import Window
from opslib.telemetry.jaeger.answers import Found, anchors
from opslib.telemetry.jaeger.dialects import MOST, Dialect, Search
from opslib.telemetry.jaeger.slices import asked_whole

MANY = 10_000  # traces of an answer whose time cannot be cut further
_COARSE_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Piece:
    """One answer; which of its traces belong to the slice; whether there are more than it can hold."""

    found: Found
    own: set[str]
    cut_off: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """Traces; whether there may be more than were answered; whether a shorter time could tell."""

    found: Found
    full: bool
    cuttable: bool


@dataclass(slots=True)
class Asking:
    """Searches one service, slice by slice."""

    dialect: Dialect
    service: str
    limit: int = MOST
    attributes: tuple[tuple[str, str], ...] = ()
    most: int = MANY  # that the server gives at once

    def ask(self, window: Window, least_ns: int = 0, longest_ns: int = 0) -> Answer:
        """Ask for the traces of a window, whose spans last between these two where they are not 0."""
        search = Search(self.service, window, self.limit, least_ns, longest_ns, self.attributes)
        found, full = self._searched(search)
        if not full or window.length_ns > _COARSE_NS or self._in(found, window):
            return Answer(found, full, full)
        return Answer(*self._searched(replace(search, limit=MANY)), cuttable=False)

    def _searched(self, search: Search) -> tuple[Found, bool]:
        """Search; True where the limit was reached. A server that gives less at once is asked for less."""
        while True:
            limit = min(search.limit, self.most)
            try:
                found = self.dialect.search(replace(search, limit=limit))
            except SourceError as error:
                if "search depth" not in str(error) or limit == 1:
                    raise
                self.most = min(self.most, limit // 2)
            else:
                return found, len(found.trace_ids()) >= limit

    def _in(self, found: Found, window: Window) -> bool:
        """Tell whether each trace has a span in the window: else the storage knows no finer time than it has answered."""
        columns = map(found.column, ("trace_id", "start_time_unix_nano", "service_name"))
        spans = zip(*columns, strict=True)
        inside = {t for t, start, name in spans if start in window and self.service in {"", name}}
        return inside == found.trace_ids()

    def whole(self, piece: Window) -> list[Piece]:
        """Return answers that together hold every trace of a piece of time."""
        pieces = []
        for at, answer in asked_whole(self.ask, piece):
            own = {trace_id for trace_id, start in anchors(answer.found, self.service).items() if start in at}
            pieces.append(Piece(answer.found, own, answer.full))
        return pieces
