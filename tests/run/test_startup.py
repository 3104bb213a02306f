"""What a process pays before its first cell."""

from __future__ import annotations

import subprocess
import sys


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_the_entry_keeps_the_grammar_of_addresses_from_being_built():
    assert "lark" not in modules_after(
        "from opslib.run import prepare_process; prepare_process(); import nbformat"
    )


def test_importing_the_library_prepares_nothing():
    """What `prepare_process` does to the process is for the command alone."""
    assert "rfc3987_syntax" not in modules_after("import opslib.run, opslib.run.runner")


def test_importing_the_room_is_cheap():
    loaded = modules_after("import opslib.run, opslib.run.runner, opslib.run.kernel")
    assert not loaded & {
        "papermill",
        "nbclient",
        "nbformat",
        "jupyter_client",
        "plotly",
        "pandas",
        "jinja2",
        "IPython",
    }


def test_a_name_that_is_not_there_is_an_attribute_error():
    code = (
        "import opslib.run\ntry:\n    opslib.run.nothing\nexcept AttributeError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "no attribute 'nothing'" in done.stdout


def test_every_public_name_is_there():
    import opslib.run

    assert all(getattr(opslib.run, name) is not None for name in opslib.run.__all__)
