"""No bytes in a part of a capture can hang or crash a reader, or cost what the other parts hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opslib.core.errors import OpslibError
from opslib.core.windows import Window, Windows
from opslib.telemetry.capture import open_capture, show, verify

ALL = Windows(Window(0, 2**62))
# Most of what can be wrong with a Parquet file is in its last kilobytes, the footer.
DAMAGE = st.tuples(
    st.booleans(), st.integers(0, 10**6), st.sampled_from([0, 0x7F, 0x80, 0xFF]) | st.integers(0, 255)
)
FUZZ = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)  # fmt: skip


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, made) -> dict[str, bytes]:
    """A good part of spans, and one of spans and one of logs that will be damaged."""
    folder = tmp_path_factory.mktemp("parts")
    rows = made.shop_rows(12)
    made.write_parquet(folder / "spans-good.parquet", "spans", rows[:24])
    made.write_parquet(folder / "spans-bad.parquet", "spans", rows[24:])
    lines = [{"time_unix_nano": made.T0 + i, "body": f"line {i}", "service_name": "s"} for i in range(30)]
    made.write_parquet(folder / "logs.parquet", "logs", lines)
    made.write_manifest(folder, files=False)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def damaged(good: bytes, damage: list[tuple[bool, int, int]], cut: int) -> bytes:
    data = bytearray(good)
    for in_footer, at, byte in damage:
        reach = min(len(data), 2_500) if in_footer else len(data)
        data[len(data) - 1 - at % reach] = byte
    return bytes(data[: len(data) - cut % len(data)] if cut % 10 == 1 else data)


@given(
    st.sampled_from(["spans-bad.parquet", "logs.parquet"]),
    st.lists(DAMAGE, min_size=1, max_size=16),
    st.integers(0, 10**6),
)
@FUZZ
def test_a_damaged_part(
    tmp_path: Path, parts: dict[str, bytes], name: str, damage: list[tuple[bool, int, int]], cut: int
) -> None:
    for file, content in parts.items():
        (tmp_path / file).write_bytes(damaged(content, damage, cut) if file == name else content)
    capture = open_capture(tmp_path)
    found = {t for block in capture.spans(ALL, attributes=True).blocks for t in block.trace_ids}

    assert len(found) >= 6, "what the good part holds is there"
    assert len(capture.logs(Window(0, 2**62)).frame) <= 30
    if cut % 4 == 0:
        show(tmp_path)
        verify(tmp_path)


@given(st.binary(max_size=400), st.sampled_from([b"", b"PAR1", b"PARE"]))
@FUZZ
def test_any_bytes(tmp_path: Path, parts: dict[str, bytes], middle: bytes, magic: bytes) -> None:
    for file, content in parts.items():
        (tmp_path / file).write_bytes(content)
    (tmp_path / "spans-bad.parquet").write_bytes(magic + middle + magic)
    spans = open_capture(tmp_path).spans(ALL)

    assert sum(len(block) for block in spans.blocks) == 24
    assert spans.note.warnings[0].startswith("spans-bad.parquet was left out: ")


@given(st.binary(max_size=300))
@FUZZ
def test_a_manifest_of_any_bytes(tmp_path: Path, parts: dict[str, bytes], content: bytes) -> None:
    (tmp_path / "spans.parquet").write_bytes(parts["spans-good.parquet"])
    (tmp_path / "capture.json").write_bytes(content)

    with pytest.raises(OpslibError) as refused:
        open_capture(tmp_path)
    assert refused.value.exit_code == 2
    assert refused.value.hint
