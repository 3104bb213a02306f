"""Environments are found from any folder below the file; what cannot be read says what to do."""

from pathlib import Path

import pytest

from opslib.core.errors import EnvironmentNotFoundError, UsageError
from opslib.core.settings import Settings, load_environment

PROD = """
[environments.prod]
protected = true
traces = {kind = "jaeger", url = "https://jaeger.example", auth = "env:JAEGER"}
[environments.prod.services.payment]
slo = {p95_ms = 300}
"""


def settings(cwd: Path, **environ: str) -> Settings:
    return Settings.from_environ(environ, cwd)


def test_an_environment_is_found_from_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "opslib.toml").write_text(PROD)
    below = tmp_path / "notebooks" / "training"
    below.mkdir(parents=True)

    environment = load_environment("prod", settings(below))

    assert environment.protected
    assert environment.traces is not None
    assert (environment.traces.kind, environment.traces.options["auth"]) == ("jaeger", "env:JAEGER")
    assert environment.services["payment"]["slo"] == {"p95_ms": 300}
    assert environment.origin == tmp_path / "opslib.toml"


def test_a_running_labs_environment_is_found_beside_the_users(tmp_path: Path) -> None:
    (tmp_path / "opslib.toml").write_text(PROD)
    lab = tmp_path / ".opslib" / "lab"
    lab.mkdir(parents=True)
    (lab / "opslib.toml").write_text(
        '[environments.lab]\ntraces = {kind = "capture", path = "capture", live = true}\n'
    )

    environment = load_environment("lab", settings(tmp_path / "notebooks"))

    assert environment.traces is not None
    assert environment.traces.options == {"path": "capture", "live": True}


def test_variables_replace_the_search(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(PROD)

    found = settings(
        tmp_path, OPSLIB_CONFIG=str(elsewhere), OPSLIB_LAB_STATE=str(tmp_path / "x"), OPSLIB_DEBUG="1"
    )

    assert load_environment("prod", found).name == "prod"
    assert found.find_lab_state() == tmp_path / "x"
    assert found.debug


def test_no_lab_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentNotFoundError, match="no lab is running") as error:
        load_environment("lab", settings(tmp_path))

    assert "opslib lab up" in error.value.hint


def test_an_unknown_name_suggests_near_ones(tmp_path: Path) -> None:
    (tmp_path / "opslib.toml").write_text(PROD)

    with pytest.raises(EnvironmentNotFoundError) as error:
        load_environment("prd", settings(tmp_path))

    assert "did you mean prod" in error.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[environments.prod\n", "no valid TOML"),
        ("[environments.prod]\ntracs = {kind = 'x'}\n", "no setting 'tracs'"),
        ("[environments.prod]\ntraces = 'jaeger'\n", "needs a `kind`"),
        ("\udcff", "cannot read"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "opslib.toml").write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(UsageError, match=message):
        load_environment("prod", settings(tmp_path))
