"""Seeded captures of any size: the calls of a shop, wide fan-outs, deep chains. Arrays in, Parquet out, no loop over spans.

`python bench/generate.py OUT --spans 1000000 [--shape shop|wide|deep|giant] [--seed N]`. The first half of the time is
the baseline; in the second half, the incident, `risk` works four times as long.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np

from opslib.core.columns import COLUMNS
from opslib.core.windows import Window, Windows
from opslib.telemetry.capture.manifest import CaptureMeta, write_meta

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
CHUNK = 1_000_000  # spans written at once
SHAPES = ("shop", "wide", "deep", "giant")


@dataclass
class Node:
    """A span of a template: its own work in ms and what it calls, one after the other or all at once."""

    service: str
    kind: str
    name: str
    own_ms: float
    calls: tuple[Node, ...] = ()
    parallel: bool = False
    attributes: str = ""
    rows: list[int] = field(default_factory=list)


def call(caller: str, callee: Node) -> Node:
    """Return the client span of `caller` around `callee`."""
    return Node(
        caller, "CLIENT", callee.name, 0.4, (callee,), attributes=f'"peer.service":"{callee.service}",'
    )


def ledger(statement: str) -> Node:
    return Node(
        "payment", "CLIENT", statement, 1.5, attributes='"db.system.name":"sqlite","db.namespace":"ledger",'
    )


def checkout() -> Node:
    risk = Node("risk", "SERVER", "POST /score", 6)
    payment = Node(
        "payment",
        "SERVER",
        "POST /pay",
        3,
        (call("payment", risk), ledger("SELECT account"), ledger("INSERT entry")),
    )
    stock = Node("stock", "SERVER", "POST /reserve", 4)
    order = Node("order", "SERVER", "POST /order", 2, (call("order", stock), call("order", payment)))
    return Node("storefront", "SERVER", "POST /checkout", 2, (call("storefront", order),))


def browse() -> Node:
    catalog = Node("catalog", "SERVER", "GET /items", 5)
    ads = Node("ads", "SERVER", "GET /ads", 3)
    calls = (call("storefront", catalog), call("storefront", ads))
    return Node("storefront", "SERVER", "GET /", 2, calls, parallel=True)


def fan_out(width: int) -> Node:
    return Node(
        "storefront",
        "SERVER",
        "GET /all",
        2,
        tuple(Node("storefront", "CLIENT", "GET /one", 5) for _ in range(width)),
        parallel=True,
    )


def chain(depth: int) -> Node:
    node = Node("leaf", "SERVER", "GET /end", 1)
    for number in range(depth // 2):
        node = Node(f"hop{number % 7}", "SERVER", "GET /next", 0.1, (call(f"hop{number % 7}", node),))
    return node


def templates(shape: str) -> list[tuple[float, Node]]:
    """Return templates and the share of traces that each has."""
    return {
        "shop": lambda: [(0.6, checkout()), (0.4, browse())],
        "wide": lambda: [(1.0, fan_out(5_000))],
        "deep": lambda: [(1.0, chain(5_000))],
        "giant": lambda: [(1.0, fan_out(200_000))],
    }[shape]()


@dataclass
class Template:
    """A tree as arrays in pre-order; `first` to `last` of a node are the rows below it."""

    nodes: list[Node]
    parent: np.ndarray

    @classmethod
    def of(cls, root: Node) -> Template:
        nodes, parent, stack = [], [], [(root, -1)]
        while stack:
            node, above = stack.pop()
            row = len(nodes)
            nodes.append(node)
            parent.append(above)
            stack += [(child, row) for child in reversed(node.calls)]
        return cls(nodes, np.array(parent))


def durations(
    template: Template, n: int, slow: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return start offset and duration in ns of each node (rows) in each of n traces (columns)."""
    size = len(template.nodes)
    own = (
        rng.lognormal(0, 0.35, (size, n)) * np.array([[node.own_ms] for node in template.nodes]) * MS
    ).astype(np.int64)
    for row, node in enumerate(template.nodes):
        if node.service == "risk":
            own[row, slow] *= 4
    total = own.copy()
    for row in range(size - 1, 0, -1):
        above = template.parent[row]
        if template.nodes[above].parallel:
            total[above] = np.maximum(total[above], own[above] + total[row])
        else:
            total[above] += total[row]
    start = np.zeros((size, n), np.int64)
    used = own // 2  # a node works before its calls and after them
    for row in range(1, size):
        above = template.parent[row]
        start[row] = start[above] + used[above]
        if not template.nodes[above].parallel:
            used[above] += total[row]
    return start, total


def chunks(shape: str, spans: int, seed: int, length_ns: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield columns of whole traces, in order of time, until there are about so many spans."""
    kinds = [(share, Template.of(node)) for share, node in templates(shape)]
    mean = sum(share * len(template.nodes) for share, template in kinds)
    traces = max(2, round(spans / mean))
    rng = np.random.default_rng(seed)
    at_once = max(1, int(CHUNK / mean))
    for begin in range(0, traces, at_once):
        n = min(at_once, traces - begin)
        root = T0 + (np.arange(begin, begin + n) * length_ns) // traces
        slow = root >= T0 + length_ns // 2
        which = rng.choice(len(kinds), n, p=[share for share, _ in kinds])
        parts = []
        for number, (_, template) in enumerate(kinds):
            mine = np.flatnonzero(which == number)
            if len(mine):
                parts.append(_columns(template, number, mine + begin, root[mine], slow=slow[mine], rng=rng))
        yield {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _columns(
    template: Template,
    number: int,
    traces: np.ndarray,
    root: np.ndarray,
    *,
    slow: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    size, n = len(template.nodes), len(traces)
    start, total = durations(template, n, slow, rng)
    trace = np.tile(traces, size)
    row = np.repeat(np.arange(size), n)
    return {
        "trace": trace,
        "row": row,
        "parent": np.repeat(template.parent, n),
        "node": row + 1_000_000 * number,
        "start": (start + root).ravel(),
        "end": (start + root + total).ravel(),
        "failed": (rng.random(size * n) < 0.002),
    }


def write(out: Path, *, spans: int, shape: str = "shop", seed: int = 1, length_s: int = 600) -> int:
    """Write a capture of about `spans` spans and return how many there are."""
    out.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    _nodes_table(con, shape)
    written = 0
    for number, columns in enumerate(chunks(shape, spans, seed, length_s * 1_000_000_000)):
        con.register("c", columns)
        con.execute(
            f"COPY ({_select(seed)}) TO '{out}/spans-{number:06d}.parquet' (FORMAT parquet, COMPRESSION zstd)"
        )
        written += len(columns["trace"])
    half = T0 + length_s * 500_000_000
    windows = Windows(Window(half, T0 + length_s * 1_000_000_000), Window(T0, half))
    write_meta(out, CaptureMeta(windows, "2026-01-01T00:00:00Z", {"incident": "all", "baseline": "all"}))
    return written


def _nodes_table(con: duckdb.DuckDBPyConnection, shape: str) -> None:
    nodes = [
        (row + 1_000_000 * number, node.name, node.kind, node.service, node.attributes)
        for number, (_, root) in enumerate(templates(shape))
        for row, node in enumerate(Template.of(root).nodes)
    ]
    ids, names, kinds, services, attributes = (np.array(column) for column in zip(*nodes, strict=True))
    texts = {"name": names, "kind": kinds, "service": services, "attributes": attributes}
    con.register("n", {"node": ids, **{name: column.astype(object) for name, column in texts.items()}})
    con.execute("CREATE TABLE nodes AS SELECT * FROM n")


def _select(seed: int) -> str:
    span = "lpad(lower(to_hex(hash({0}, trace, " + str(seed) + "))), 16, '0')"
    made = {
        "trace_id": f"md5(concat(trace, '-', {seed}))",
        "span_id": span.format("c.row"),
        "parent_span_id": f"CASE WHEN parent >= 0 THEN {span.format('parent')} END",
        "name": "n.name",
        "kind": "n.kind",
        "start_time_unix_nano": "c.start",
        "end_time_unix_nano": 'c."end"',
        "status_code": "CASE WHEN failed THEN 'ERROR' ELSE 'UNSET' END",
        "service_name": "n.service",
        "service_version": "'1.4.2'",
        "k8s_pod_name": "concat(n.service, '-', trace % 3)",
        "k8s_namespace_name": "'shop'",
        "attributes": "concat('{', n.attributes, '\"http.response.status_code\":200,\"url.path\":\"/', trace % 5000, '\"}')",
        "links": "NULL",
    }
    columns = ", ".join(f"({made[c.name]})::{c.type} AS {c.name}" for c in COLUMNS["spans"])
    return f"SELECT {columns} FROM c JOIN nodes n ON n.node = c.node ORDER BY c.start, c.trace, c.row"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--shape", choices=SHAPES, default="shop")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    written = write(options.out, spans=options.spans, shape=options.shape, seed=options.seed)
    print(f"{written:,} spans in {options.out}")


if __name__ == "__main__":
    main()
