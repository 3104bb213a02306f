"""A peer: pandas. Self time per span as its duration less that of its children (no overlap, no clipping), by service.

`python bench/peers/groups.py CAPTURE` prints one JSON line: spans, and seconds of loading and of grouping.
"""

from __future__ import annotations

import json
import sys
import time

import duckdb

COLUMNS = (
    "trace_id, span_id, parent_span_id, name, kind, service_name, start_time_unix_nano, end_time_unix_nano"
)


def main() -> None:
    begin = time.perf_counter()
    spans = duckdb.sql(f"SELECT {COLUMNS} FROM read_parquet('{sys.argv[1]}/spans*.parquet')").df()
    middle = time.perf_counter()
    spans["duration"] = spans["end_time_unix_nano"] - spans["start_time_unix_nano"]
    below = spans.groupby(["trace_id", "parent_span_id"])["duration"].sum().rename("below")
    spans = spans.merge(below, how="left", left_on=["trace_id", "span_id"], right_index=True)
    spans["own"] = (spans["duration"] - spans["below"].fillna(0)).clip(lower=0)
    table = spans.groupby(["service_name", "name"])["own"].quantile([0.5, 0.95, 0.99])
    end = time.perf_counter()
    assert len(table)
    print(json.dumps({"spans": len(spans), "load_s": middle - begin, "group_s": end - middle}))


if __name__ == "__main__":
    main()
