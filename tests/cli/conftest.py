"""The command line as a fixture."""

import pytest

from tests.cli.hostile import Ask, asking


@pytest.fixture
def ask(capfd: pytest.CaptureFixture[str]) -> Ask:
    return asking(capfd)
