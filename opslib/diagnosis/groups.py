"""Group rows by several integer keys at once and sum exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from opslib.diagnosis.critical_path import Ints

Column = NDArray[np.integer[Any]] | NDArray[np.bool_]

_LIMIT = 1 << 62
_FEW = 4  # rows for each key that may be kept, below which counting keys is not worth it


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows grouped by key: `sample` is one row of each group, `of_row` each row's group."""

    sample: Ints
    of_row: Ints

    def __len__(self) -> int:
        return len(self.sample)

    def count(self) -> Ints:
        return np.bincount(self.of_row, minlength=len(self)).astype(np.int64)

    def sum(self, value: Column) -> Ints:
        """Return the sum of an int64 or boolean column per group, exact."""
        total = np.zeros(len(self), np.int64)
        np.add.at(total, self.of_row, value.astype(np.int64))
        return total


def group(keys: Sequence[NDArray[np.integer[Any]]]) -> Groups:
    """Group rows by columns of small integers (negative ones allowed), in ascending order of the keys."""
    mixed, size = np.zeros(len(keys[0]), np.int64), 1
    if not len(mixed):
        return Groups(mixed, mixed)
    for key in keys:
        low = int(key.min())
        span = int(key.max()) - low + 1
        if size * span >= _LIMIT:
            mixed = np.unique(mixed, return_inverse=True)[1].astype(np.int64)
            size = int(mixed.max()) + 1
        mixed, size = mixed * span + (key - low), size * span
    return _dense(mixed, size) if size <= 4 * len(mixed) + 1024 else _sorted(mixed)


def _dense(mixed: Ints, size: int) -> Groups:
    """Few possible keys: look them up instead of sorting."""
    first = np.full(size, -1, np.int64)
    first[mixed[::-1]] = np.arange(len(mixed) - 1, -1, -1)
    used = first >= 0
    code = np.cumsum(used) - 1
    return Groups(first[used], code[mixed])


def _sorted(mixed: Ints) -> Groups:
    order = np.argsort(mixed)
    ranked = mixed[order]
    new = np.concatenate(([True], ranked[1:] != ranked[:-1]))
    of_row = np.empty(len(mixed), np.int64)
    of_row[order] = np.cumsum(new) - 1
    return Groups(order[new], of_row)


def by_key(table: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """Yield (key, rows) in ascending order of text keys."""
    for key, rows in table.groupby(list(keys), sort=True):
        yield tuple(str(part) for part in key), rows


def most_frequent(table: pd.DataFrame, keys: Sequence[str], most: int, count: str = "n") -> pd.DataFrame:
    """Return a table in which few keys occur as it is; of another, the rows of the `most` frequent by `count`.

    Names with ids in them are without end, so keys that occur in one window alone are left out there; ties by key.
    """
    if len(table) <= _FEW * most:
        return table
    wanted = table[[*keys, "window", count]]
    sums = wanted.groupby([*keys, "window"], sort=True, as_index=False).sum()
    both = sums.groupby(list(keys), sort=True, as_index=False).agg(
        windows=("window", "size"), n=(count, "sum")
    )
    first = both[both["windows"] == 2].sort_values("n", ascending=False, kind="stable")[:most]
    return table.merge(first[list(keys)], on=list(keys))


def merge_tables(tables: Sequence[pd.DataFrame], keys: Sequence[str]) -> pd.DataFrame:
    """Add up tables of equal columns by their keys: sorted by key, so the result knows no order of its parts."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return tables[0]
    whole = pd.concat(filled, ignore_index=True)
    return whole.groupby(list(keys), sort=True, as_index=False, dropna=False).sum()
