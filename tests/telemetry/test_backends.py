import shutil

import pytest

from opslib.core.errors import CaptureError, UsageError
from opslib.core.settings import Environment, Settings, SourceSettings, load_environment
from opslib.telemetry import Sources, connect, connect_capture


def test_an_environment_names_a_capture_beside_its_file(capture_folder, tmp_path):
    shutil.move(capture_folder, tmp_path / "env" / "incident") if (tmp_path / "env").mkdir() is None else None
    (tmp_path / "env" / "opslib.toml").write_text(
        '[environments.old]\ntraces = {kind = "capture", path = "incident"}\n'
        'logs = {kind = "capture", path = "incident", live = true}\n'
    )
    environment = load_environment("old", Settings(cwd=tmp_path / "env"))
    sources = connect(environment)
    assert sources.traces.services() == ("front", "payment")
    assert (sources.traces.live, sources.logs.live) == (False, True)
    assert (sources.metrics, sources.changes) == (None, None)


def test_one_folder_is_opened_once(capture_folder):
    capture = SourceSettings("capture", options={"path": str(capture_folder)})
    sources = connect(Environment("x", traces=capture, logs=capture, metrics=capture, changes=capture))
    assert sources.traces is sources.logs is sources.metrics is sources.changes
    assert isinstance(connect_capture(str(capture_folder)), Sources)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (SourceSettings("captured"), "no kind 'captured'"),
        (SourceSettings("capture", options={"path": "x", "pth": 1}), "no option 'pth'"),
        (SourceSettings("capture"), "needs a `path`"),
        (SourceSettings("capture", options={"path": 3}), "needs a `path`"),
        (SourceSettings("capture", options={"path": "x", "live": "yes"}), "needs a `path`"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error_with_a_hint(settings, words):
    with pytest.raises(UsageError, match=words) as raised:
        connect(Environment("x", logs=settings))
    assert raised.value.hint


def test_no_capture_there(tmp_path):
    with pytest.raises(CaptureError):
        connect_capture(tmp_path)
