"""`make bench`: opslib beside its peers, one table. `--only NAME` runs some rows, `--full` adds the sizes of minutes,
`--figure FILE` draws the scaling.

A row whose command does not work says so and the others go on. Rates are spans per wall second, the quickest of a few
runs; on a machine that does other things as well, compare within one run, never across two.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import accuracy
import cluster
import elastic
import far
import figure
import generate
import jaeger
import jaeger_files
import psutil
import release
from measure import MB, ROOT, Run, best, python, quickest, run

OPSLIB = ("-m", "opslib")
PEERS = ROOT / "bench/peers"
SIZES = (10_000, 100_000, 1_000_000)


@dataclass
class Row:
    """A line of the table; `note` instead of numbers where there are none."""

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""
    peak: str = ""
    note: str = ""


class Bench:
    """The rows, by name; data are made in one folder that goes away at the end."""

    def __init__(self, folder: Path, *, full: bool, times: int) -> None:
        self.folder, self.full, self.times = folder, full, times
        self.points: list[figure.Point] = []

    def starts(self) -> Iterator[Row]:
        """Time to import and to print help: what every command pays."""
        bare = best(*python("-c", "pass"), times=5)
        for what, command, limit in (
            ("import opslib", python("-c", "import opslib"), 0.1),
            ("opslib --help", python(*OPSLIB, "--help"), 0.3),
            ("opslib diagnose --help", python(*OPSLIB, "diagnose", "--help"), 0.3),
            ("opslib capture import --help", python(*OPSLIB, "capture", "import", "--help"), 0.3),
        ):
            found = best(*command, times=5)
            own = found.wall_s - (bare.wall_s if what.startswith("import") else 0)
            row = self._row(what, found, f"{own * 1000:.0f} ms ({found.cpu_s * 1000:.0f} CPU)")
            yield replace(row, note=f"limit {limit * 1000:.0f} ms")

    def imports(self) -> Iterator[Row]:
        """`opslib capture import` of Jaeger JSON beside the sweep over dicts."""
        for name, traces, files in (
            ("one file each", 1_000, 1_000),
            ("in 4 files", 20_000 if self.full else 6_000, 4),
        ):
            source = self.folder / f"jaeger-{traces}"
            jaeger_files.write(source, traces=traces, spans=50, files=files)
            pairs = [  # by turns, so that what else the machine does meets both
                (self._import(source), run(*python(str(PEERS / "sweep.py"), str(source))))
                for _ in range(self.times)
            ]
            ours, peer = (quickest(found) for found in zip(*pairs, strict=True))
            spans = peer.json.get("spans", traces * 50)
            what = f"import {traces:,} Jaeger traces of 50 spans, {name}"
            yield self._against(what, ours, peer, spans)
            shutil.rmtree(source)

    def _import(self, source: Path) -> Run:
        out = self.folder / "imported"
        found = run(*python(*OPSLIB, "capture", "import", str(source), "--out", str(out)))
        shutil.rmtree(out, ignore_errors=True)
        return found

    def scaling(self) -> Iterator[Row]:
        """`opslib diagnose --json --timings` from 10^4 to 10^7 spans, beside pandas."""
        for size in (*SIZES, 10_000_000) if self.full else SIZES:
            capture = self.folder / f"capture-{size}"
            spans = generate.write(capture, spans=size)
            times = self.times if size <= 100_000 else 1
            ours = best(
                *python(*OPSLIB, "diagnose", str(capture), "--service", "payment", "--json", "--timings"),
                times=times,
            )
            peer = None  # at 10^7 spans the frames of pandas alone take more memory than most machines have
            if size <= SIZES[-1]:
                peer = best(*python(str(PEERS / "groups.py"), str(capture)), times=times)
            yield self._against(
                f"diagnose {spans:,} spans (peer: pandas groups)", ours, peer, spans, ok=(0, 1, 7)
            )
            yield from self._stages(ours, spans)
            if ours.code in (0, 1, 7):
                told = (peer.wall_s, peer.peak_bytes) if peer and not peer.code else (None, None)
                self.points.append(figure.Point(spans, ours.wall_s, ours.peak_bytes, *told))
            shutil.rmtree(capture)
        large = [point for point in self.points if point.spans > SIZES[0] * 2]
        if len(large) > 1:
            growth = (large[-1].wall_s / large[-1].spans) / (large[0].wall_s / large[0].spans)
            what = f"   time per span, {large[-1].spans:,} against {large[0].spans:,}"
            yield Row(what, f"{growth:.2f}x", note="limit 1.5x")

    def shapes(self) -> Iterator[Row]:
        """The shapes that break quadratic or recursive code: 5,000 siblings, depth 5,000, one trace of 200,000 spans."""
        for shape, spans in (("wide", 100_000), ("deep", 100_000), ("giant", 400_000)):
            capture = self.folder / f"shape-{shape}"
            written = generate.write(capture, spans=spans, shape=shape)
            ours = best(*python(*OPSLIB, "diagnose", str(capture), "--json", "--timings"), times=1)
            yield self._against(f"diagnose {shape}: {written:,} spans", ours, None, written, ok=(0, 1, 7))
            yield from self._stages(ours, written)
            shutil.rmtree(capture)

    def manifests(self) -> Iterator[Row]:
        """A set planned and applied beside `kubectl apply --server-side`; then again, when nothing is to be done.

        The peers are the kubectl on PATH, and the one of the cluster's version. kubectl asks one after the other, so what
        it takes is also the way to the API server: here, and with the round trip of a cluster somewhere else.
        """
        kubeconfig, kubectls, why = release.where(
            Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        )
        if why:
            yield Row("manifests", "skipped", note=why)
            return
        set_ = str(self.folder / "set")
        objects = release.write(Path(set_))
        quick = list(kubectls.values())[-1]
        for place, round_trip_s, peers in (
            ("here", 0.0, [*kubectls]),
            ("40 ms away", 0.04, [*kubectls][-1:]),
        ):
            with (
                far.farther(kubeconfig, round_trip_s, self.folder) as config,
                release.namespaces(quick, kubeconfig, 1 + len(peers)) as (own, *theirs),
            ):
                for what in ("new", "unchanged"):
                    ours = run(*python(str(ROOT / "bench/release.py"), config, own, set_))
                    release.settle(quick, kubeconfig, own)
                    for version, namespace in zip(peers, theirs, strict=True):
                        peer = release.applied(kubectls[version], config, namespace, set_)
                        row = f"apply {objects:,} {what}, API server {place} (peer: kubectl {version})"
                        yield self._against(row, ours, peer, objects, unit="objects")

    def cluster(self) -> Iterator[Row]:
        """The practice cluster with 1,000 objects and 50 watches: list, event to watcher, at rest."""
        for what, ours, limit in cluster.rows(cluster.measure(self.folder / "cluster")):
            yield Row(what, ours, note=limit)

    def jaeger(self) -> Iterator[Row]:
        """The slowest calls of a service from a Jaeger, beside one query of 1,500 traces; and both windows whole."""
        if why := jaeger.missing():
            yield Row("jaeger", "skipped", note=why)
            return
        for what, ours, peer, note in jaeger.rows(jaeger.measure(self.folder / "jaeger")):
            yield Row(what, ours, peer, note=note)

    def elastic(self) -> Iterator[Row]:
        """Logs of Elasticsearch: all of them beside the official client's scan, and their patterns without reading them."""
        with elastic.server(self.folder / "elastic") as (url, why):
            if why:
                yield Row("elastic", "skipped", note=why)
                return
            elastic.fill(url, elastic.DOCUMENTS)
            ask = (*python(str(ROOT / "bench/elastic.py")), url)
            found = run(*ask, "patterns")  # the first time, before the server has kept anything
            took = f"{found.json.get('s', 0):.1f} s ({found.cpu_s:.1f} CPU here)"
            row = self._row(f"log patterns of {elastic.DOCUMENTS:,} documents", found, took)
            yield replace(row, note=row.note or f"{found.json['rows']} patterns, limit 10 s, 300 MB")
            peer = (*python(str(PEERS / "scan.py")), url, elastic.INDEX)
            pairs = [(run(*ask, "export"), run(*peer)) for _ in range(min(self.times, 2))]
            ours, theirs = (quickest(several) for several in zip(*pairs, strict=True))
            what = f"export {elastic.DOCUMENTS:,} log documents (peer: helpers.scan)"
            yield self._against(what, ours, theirs, elastic.DOCUMENTS, unit="documents")

    def _stages(self, found: Run, spans: int) -> Iterator[Row]:
        timings = found.json.get("timings", {})
        for stage, seconds in timings.items():
            rate = f"{spans / seconds:,.0f} spans/s" if seconds else ""
            yield Row(f"   stage {stage}", f"{seconds:.3f} s", ratio="", peak="", note=rate)

    def _against(
        self,
        what: str,
        ours: Run,
        peer: Run | None,
        number: int,
        *,
        ok: tuple[int, ...] = (0,),
        unit: str = "spans",
    ) -> Row:
        if ours.code not in ok:
            return Row(what, "not yet", note=_last_line(ours))
        row = self._row(what, ours, _rate(ours, number, unit))
        if peer is None:
            return row
        if peer.code:
            return replace(row, note=f"peer: {_last_line(peer)}")
        ratios = f"{peer.wall_s / ours.wall_s:.2f}x", f"CPU {peer.cpu_s / ours.cpu_s:.2f}x"
        return replace(
            row,
            peer=_rate(peer, number, unit),
            ratio=", ".join(ratios),
            note=f"peer {peer.peak_bytes / MB:,.0f} MB",
        )

    def _row(self, what: str, found: Run, ours: str) -> Row:
        if found.code not in (0, 1, 7):
            return Row(what, "not yet", note=_last_line(found))
        return Row(what, ours, peak=f"{found.peak_bytes / MB:,.0f} MB")


def _rate(found: Run, number: int, unit: str) -> str:
    return f"{found.wall_s:.2f} s ({found.cpu_s:.2f} CPU), {number / found.wall_s:,.0f} {unit}/s"


def _last_line(found: Run) -> str:
    lines = [line for line in found.err.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error")] or lines
    return (errors[-1] if errors else f"exit code {found.code}")[:110]


def table(rows: list[Row]) -> str:
    header = ("what", "ours", "peer", "ratio", "peak", "note")
    cells = [header, *((row.what, row.ours, row.peer, row.ratio, row.peak, row.note) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def main() -> int:
    names = [
        "starts",
        "imports",
        "scaling",
        "shapes",
        "cluster",
        "manifests",
        "jaeger",
        "elastic",
        "accuracy",
    ]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=names, help="run these rows only; may be repeated")
    parser.add_argument(
        "--full", action="store_true", help="also 20,000 Jaeger traces and 10^7 spans: minutes, 2 GB"
    )
    parser.add_argument("--figure", type=Path, help="write the scaling as a drawing (SVG) to this file")
    parser.add_argument("--times", type=int, default=5, help="runs of each short row")
    parser.add_argument(
        "--captures", help=f"folder of captures with their truth, for accuracy (else ${accuracy.VARIABLE})"
    )
    options = parser.parse_args()
    for package in (
        ROOT / "opslib",
        PEERS,
    ):  # as an installer does; where byte code is not kept each start compiles anew
        compileall.compile_dir(package, quiet=2)
    memory = psutil.virtual_memory().total / 1e9
    print(
        f"{platform.machine()}, {psutil.cpu_count()} cores, {memory:.0f} GB, Python {platform.python_version()}"
    )
    print(f"load before: {psutil.getloadavg()[0]:.1f}; times mean little where it is above 0.5\n")
    with tempfile.TemporaryDirectory(prefix="opslib-bench-") as folder:
        bench = Bench(Path(folder), full=options.full, times=options.times)
        rows: list[Row] = []
        chosen = options.only or names
        for name in (name for name in chosen if name != "accuracy"):
            print(f"running {name} …", file=sys.stderr)
            rows += getattr(bench, name)()
    if rows:
        print(table(rows) + "\n")
    if options.figure and bench.points:
        machine = f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}"
        figure.write(options.figure, bench.points, f"opslib diagnose --json, whole command ({machine})")
    if "accuracy" in chosen:
        captures, why = accuracy.captures_folder(options.captures)
        print(accuracy.report(captures) if captures else f"accuracy skipped: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
