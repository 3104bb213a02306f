"""Texts of a capture take bounded memory: few bytes on disk can be many in memory, so they are weighed before they are read."""
# ruff: noqa: S608 - every text put into SQL is a constant of this package, or comes from `rows_sql`

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import duckdb

from opslib.core.columns import COLUMNS, ID_COLUMNS, JSON_COLUMNS, MAX_JSON, MAX_TEXT
from opslib.telemetry.capture.engine import SHORT, Parts, rows_sql
from opslib.telemetry.capture.shapes import both_kinds

MOST_BYTES = 500_000_000  # of the texts of one answer
_WHOLE = 1 << 40  # characters; nothing is longer


class TooMuchTextError(Exception):
    """The texts of an answer take more than MOST_BYTES, though each is bounded."""


def weigh(
    con: duckdb.DuckDBPyConnection, parts: Parts, where: str, values: Sequence[Any], limit: int
) -> tuple[str, ...]:
    """Say what is shortened or left out of the answer's texts. Raises TooMuchTextError, and duckdb.Error."""
    texts = [c.name for c in COLUMNS[parts.signal] if c.type == "VARCHAR" and c.name not in ID_COLUMNS]
    bounds = {name: bound_of(name, parts.longest) for name in texts}
    size = " + ".join(f'least(coalesce(strlen("{name}"), 0), {bound})' for name, bound in bounds.items())
    long = ", ".join(f'count(*) FILTER (strlen("{name}") > {bound})' for name, bound in bounds.items())
    whole = rows_sql(replace(parts, longest=_WHOLE))
    # Of more rows than the limit only so many are read, and any of them may be the longest.
    rows, total, largest, *over = con.execute(
        f"SELECT count(*), coalesce(sum({size}), 0), coalesce(max({size}), 0), {long} FROM ({whole}) WHERE {where}",
        list(values),
    ).fetchall()[0]
    if min(total, min(rows, limit) * largest) > MOST_BYTES:
        raise TooMuchTextError
    return said(parts, dict(zip(texts, over, strict=True)))


def weigh_shapes(con: duckdb.DuckDBPyConnection, parts: Parts, *, attributes: bool) -> tuple[str, ...]:
    """Say the same of the dictionaries of a pass over the spans, which hold each distinct text once."""
    texts = [
        ("name", "name"),
        ("service_name", "service"),
        ("service_version", "version"),
        ("k8s_pod_name", "pod"),
    ]
    long = ", ".join(
        f"count(DISTINCT {word}) FILTER (strlen({word}) >= {parts.longest})" for _, word in texts
    )
    total, *over = con.execute(
        f"SELECT coalesce(sum({' + '.join(f'strlen({word})' for _, word in texts)}), 0), {long} "
        f"FROM ({both_kinds([word for _, word in texts])})"
    ).fetchall()[0]
    if attributes:
        total += con.execute("SELECT coalesce(sum(strlen(attributes)), 0) FROM texts").fetchall()[0][0]
    if total > MOST_BYTES:
        raise TooMuchTextError
    return said(parts, dict(zip((column for column, _ in texts), over, strict=True)))


def bound_of(column: str, longest: int) -> int:
    """Return the most bytes that a text of a column may have."""
    return longest * MAX_JSON // MAX_TEXT if column in JSON_COLUMNS else longest


def said(parts: Parts, over: dict[str, int]) -> tuple[str, ...]:
    """Put into words how many texts of each column are longer than they may be."""
    return tuple(
        f"{count:,} x {column} of {parts.signal} longer than {bound_of(column, parts.longest):,} bytes: "
        + ("left out" if column in JSON_COLUMNS else "shortened")
        for column, count in over.items()
        if count
    )


def shortened(parts: Parts) -> Parts:
    """Return the parts with every text read as short as can be."""
    return replace(parts, longest=SHORT)
