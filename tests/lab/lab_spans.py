"""Raw rows of a lab's capture, and what they say of one payment call, without the diagnosis."""

from pathlib import Path

import duckdb
import pandas as pd

from opslib.core.columns import COLUMNS
from opslib.lab.state import Folder
from opslib.telemetry.capture.manifest import read_meta


def table(state: Path, signal_file: str) -> pd.DataFrame:
    folder = Folder(state).capture
    names = [str(folder / name) for name in read_meta(folder).files if name.startswith(signal_file)]
    if not names:
        return pd.DataFrame(columns=[column.name for column in COLUMNS[signal_file]])
    with duckdb.connect() as connection:
        return connection.execute("SELECT * FROM read_parquet($1, union_by_name = true)", [names]).df()


def spans(state: Path, since_ns: int) -> pd.DataFrame:
    """Spans that started at `since_ns` or later, with their length in `ms`."""
    frame = table(state, "spans")
    frame = frame[frame.start_time_unix_nano >= since_ns]
    return frame.assign(ms=(frame.end_time_unix_nano - frame.start_time_unix_nano) / 1e6)


def total_ms(frame: pd.DataFrame, service: str, kind: str) -> pd.Series:
    """The time of a service's spans of one kind, summed by trace."""
    return frame[(frame.service_name == service) & (frame.kind == kind)].groupby("trace_id").ms.sum()


def ledger_ms(frame: pd.DataFrame) -> pd.Series:
    ledger = frame[frame.attributes.str.contains(r'"db\.namespace":\s*"ledger"', na=False)]
    return ledger.groupby("trace_id").ms.sum()


def to_risk_ms(frame: pd.DataFrame) -> pd.Series:
    """What payment waits for risk, on the wire and there."""
    edge = frame[(frame.service_name == "payment") & (frame.name == "POST /score")]
    return edge.groupby("trace_id").ms.sum()


def starts(frame: pd.DataFrame) -> pd.Series:
    """When each trace began."""
    return frame[frame.parent_span_id.isna()].set_index("trace_id").start_time_unix_nano
