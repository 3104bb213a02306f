"""The scaling of a diagnosis as a drawing: seconds per million spans and peak memory over the number of spans, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, GAP = 400, 260, 64, 56, 110
OURS, PEER, INK, FAINT = "#1f6f8b", "#c0703a", "#333333", "#dddddd"


@dataclass(frozen=True)
class Point:
    """One size: seconds of wall time and peak bytes of opslib, and of its peer."""

    spans: int
    wall_s: float
    peak_bytes: int
    peer_wall_s: float | None = None
    peer_peak_bytes: int | None = None


def write(path: Path, points: Sequence[Point], title: str) -> None:
    """Draw two panels side by side, both axes logarithmic."""
    per_million = "seconds per million spans", lambda spans, wall: wall / spans * 1e6
    panels = (
        (*per_million, [(p.wall_s, p.peer_wall_s) for p in points]),
        (
            "peak memory in MB",
            lambda _, peak: peak / 1e6,
            [(p.peak_bytes, p.peer_peak_bytes) for p in points],
        ),
    )
    width = 2 * (WIDTH + GAP)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + TOP + 60}"'
    parts = [
        f'{head} font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{width}" height="{HEIGHT + TOP + 60}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="14" font-weight="bold">{title}</text>',
        _named(LEFT + WIDTH + GAP, OURS, "opslib"),
        _named(LEFT + WIDTH + GAP + 90, PEER, "pandas: self times by group, no verdict"),
    ]
    for number, (name, scale, values) in enumerate(panels):
        parts += _panel(LEFT + number * (WIDTH + GAP), name, scale, [p.spans for p in points], values)
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def _panel(
    left: int,
    name: str,
    scale: Callable[[int, float], float],
    spans: Sequence[int],
    values: Sequence[tuple[float, float | None]],
) -> list[str]:
    lines = [
        [(n, scale(n, value)) for n, value in zip(spans, column, strict=True) if value is not None]
        for column in zip(*values, strict=True)
    ]
    heights = [height for line in lines for _, height in line]
    low, high = math.floor(math.log10(min(heights))), math.ceil(math.log10(max(heights)))
    first, last = math.log10(min(spans)), math.log10(max(spans))

    def place(n: float, height: float) -> tuple[float, float]:
        x = left + WIDTH * (math.log10(n) - first) / max(last - first, 1e-9)
        return round(x, 1), round(TOP + HEIGHT * (high - math.log10(height)) / max(high - low, 1), 1)

    parts = [f'<text x="{left}" y="{TOP - 12}">{name}</text>']
    for power in range(low, high + 1):
        y = place(spans[0], 10.0**power)[1]
        parts.append(f'<line x1="{left}" y1="{y}" x2="{left + WIDTH}" y2="{y}" stroke="{FAINT}"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{10.0**power:,g}</text>')
    for n in spans:
        x = place(n, 10.0**low)[0]
        power = round(math.log10(n))
        parts.append(
            f'<text x="{x}" y="{TOP + HEIGHT + 20}" text-anchor="middle">10'
            f'<tspan dy="-5" font-size="9">{power}</tspan></text>'
        )
    for line, colour in zip(lines, (OURS, PEER), strict=True):
        parts += _line([place(*point) for point in line], colour)
    parts.append(f'<text x="{left + WIDTH / 2}" y="{TOP + HEIGHT + 40}" text-anchor="middle">spans</text>')
    return parts


def _line(points: Sequence[tuple[float, float]], colour: str) -> list[str]:
    path = " ".join(f"{x},{y}" for x, y in points)
    dots = [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in points]
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots]


def _named(x: float, colour: str, who: str) -> str:
    return f'<circle cx="{x}" cy="18" r="3.5" fill="{colour}"/><text x="{x + 9}" y="22">{who}</text>'
