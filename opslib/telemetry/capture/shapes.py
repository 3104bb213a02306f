"""What spans share is their shape: name, kind, status, service, version, pod and peer. There are few, and each is numbered.

The table `shapes` holds those that a sample of the spans shows. A span of another shape bears it as text, so that one
pass over the files is enough, however rare a shape is.
"""
# ruff: noqa: S608 - every text put into SQL is a constant of this package or an integer

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from opslib.core.blocks import KINDS, NO_PARENT, STATUSES, UNKNOWN_SERVICE
from opslib.core.evidence import Strings
from opslib.core.peers import CALLING_KINDS, PEER_ATTRIBUTES, resolve_peer

_SEPARATOR = (
    "chr(31)"  # JSON escapes control characters, so the raw values of the peer's attributes never hold it
)
_SHAPE = ("name", "kind", "status", "service", "version", "pod", "peer")
_FIXED = {"kind": KINDS, "status": STATUSES}
_UNKNOWN: dict[str, str | None] = {
    "kind": "UNSPECIFIED",
    "status": "UNSET",
    "service": UNKNOWN_SERVICE,
    "version": None,
    "pod": None,
}
_SLICES, _SLICE_ROWS = 8, 2_000  # of the time that the spans cover, and of a sample each


def listed(words: Iterable[str]) -> str:
    """Return words of this package as a list in SQL."""
    return ", ".join(f"'{word}'" for word in sorted(words))


def shaped(source: str) -> str:
    """Return SQL for spans with the columns of their shape, and `parent_id`.

    The attributes are taken apart only where a span may call somebody.
    """
    paths = ", ".join(f"'$.\"{name}\"'" for name in PEER_ATTRIBUTES)
    raw_peers = ", ".join(f"coalesce(found[{i + 1}]::VARCHAR, '')" for i in range(len(PEER_ATTRIBUTES)))
    return f"""
        SELECT *, CASE WHEN found IS NULL THEN '' ELSE concat_ws({_SEPARATOR}, {raw_peers}) END AS peer FROM (
            SELECT * EXCLUDE (name, kind), coalesce(name, '') AS name, coalesce(kind, '') AS kind,
                CASE WHEN parent_span_id NOT IN ({listed(NO_PARENT)}) THEN parent_span_id END AS parent_id,
                coalesce(status_code, '') AS status, coalesce(service_name, '') AS service,
                coalesce(service_version, '') AS version, coalesce(k8s_pod_name, '') AS pod,
                CASE WHEN coalesce(kind, '') NOT IN ({listed(set(KINDS) - set(CALLING_KINDS))})
                    THEN try(json_extract(attributes, [{paths}])) END AS found
            FROM {source}
        )"""


JOIN = f"LEFT JOIN shapes USING ({', '.join(_SHAPE)})"
# The shape of a span as text where the sample has not shown it, else null.
RARE = f"CASE WHEN shape IS NULL THEN to_json([{', '.join(_SHAPE)}])::VARCHAR END"


def sample_shapes(
    con: duckdb.DuckDBPyConnection, source: str, traces: str, first_ns: int, last_ns: int
) -> None:
    """Make the table `shapes` of a few spans of each part of the time, of some traces alone. Raises duckdb.Error."""
    bounds = [first_ns + (last_ns + 1 - first_ns) * i // _SLICES for i in range(_SLICES + 1)]
    slices = " UNION ALL ".join(
        f"(SELECT * FROM {source} WHERE start_time_unix_nano BETWEEN {low} AND {high - 1} LIMIT {_SLICE_ROWS})"
        for low, high in pairwise(bounds)
    )
    con.execute(
        "CREATE TEMP TABLE shapes AS SELECT *, (row_number() OVER () - 1)::INTEGER AS shape "
        f"FROM (SELECT DISTINCT {', '.join(_SHAPE)} FROM ({shaped(f'({slices}) SEMI JOIN {traces} USING (trace_id)')}))"
    )


def number_rares(con: duckdb.DuckDBPyConnection, numbers: str) -> None:
    """Make the table `rares` of the shapes that the sample has not shown. Raises duckdb.Error."""
    con.execute(
        "CREATE TEMP TABLE rares AS SELECT rare, "
        "((SELECT count(*) FROM shapes) + row_number() OVER () - 1)::INTEGER AS shape "
        f"FROM (SELECT DISTINCT rare FROM {numbers} WHERE rare IS NOT NULL)"
    )


def both_kinds(words: Sequence[str]) -> str:
    """Return SQL for these columns of all shapes, those of the sample and the rare ones."""
    rare = ", ".join(f"rare ->> {_SHAPE.index(word)} AS {word}" for word in words)
    return f"SELECT {', '.join(words)} FROM shapes UNION ALL SELECT {rare} FROM rares"


@dataclass(frozen=True, slots=True)
class Shapes:
    """The texts of each shape, (number of shapes,), and which attribute named its peer."""

    texts: dict[str, Strings]
    peer_type: NDArray[np.int8]

    @classmethod
    def read(cls, con: duckdb.DuckDBPyConnection) -> Shapes:
        """Number the distinct texts of each column in the order of the texts, and resolve each distinct peer once."""
        rows = con.execute(f"SELECT {', '.join(_SHAPE)} FROM shapes ORDER BY shape").fetchall()
        rows += [json.loads(text) for text in texts_of(con, "SELECT rare FROM rares ORDER BY shape")]
        columns: dict[str, Any] = dict(
            zip(_SHAPE, zip(*rows, strict=True) if rows else [()] * len(_SHAPE), strict=True)
        )
        peers = {key: _peer(key) for key in set(columns["peer"])}
        texts = {word: [_told(word, text) for text in column] for word, column in columns.items()}
        texts["peer"] = [peers[key][0] for key in columns["peer"]]
        types = np.array([peers[key][1] for key in columns["peer"]], dtype=np.int8)
        return cls({word: _numbered(column, _FIXED.get(word)) for word, column in texts.items()}, types)


def _told(word: str, text: str) -> str | None:
    """Return what an absent or unknown text of a column stands for, others as they are."""
    if word in _FIXED:
        return text if text in _FIXED[word] else _UNKNOWN[word]
    return text or _UNKNOWN.get(word, "")


def _peer(key: str) -> tuple[str | None, int]:
    raw = zip(PEER_ATTRIBUTES, key.split("\x1f"), strict=True) if key else ()
    return resolve_peer({name: json.loads(text) for name, text in raw if text.startswith('"')})


def _numbered(texts: list[str | None], fixed: tuple[str, ...] | None) -> Strings:
    values = fixed or tuple(sorted({text for text in texts if text is not None}))
    place: dict[str | None, int] = {text: code for code, text in enumerate(values)} | {None: -1}
    return Strings(np.array([place[text] for text in texts], dtype=np.int32), values)


def texts_of(con: duckdb.DuckDBPyConnection, query: str) -> tuple[str, ...]:
    """Return the one column of a query's answer."""
    (column,) = con.execute(query).fetchnumpy().values()
    return tuple(np.asarray(column, dtype=object).tolist())
