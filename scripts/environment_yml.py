"""Write environment.yml for conda and mamba from pyproject.toml: `python scripts/environment_yml.py > environment.yml`.

Names differ between PyPI and conda-forge; the map is checked in as [tool.opslib.conda]. Packages that conda-forge does
not have stand under `pip:`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# Written by scripts/environment_yml.py from pyproject.toml; a test keeps both alike. Use:
#   conda env create -f environment.yml && conda activate opslib
"""


def split(requirement: str) -> tuple[str, str]:
    """Split `duckdb>=1.4,<3` into its name and its version clauses; conda knows no markers after a semicolon."""
    match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*([^;]*)(?:;.*)?", requirement)
    if match is None:
        sys.exit(f"cannot read the requirement {requirement!r}")
    return match[1].lower(), match[2].replace(" ", "")


def environment_yml(pyproject: dict) -> str:
    """Return the file's text: all dependencies of the package and of its extras, sorted by conda's name."""
    project, conda = pyproject["project"], pyproject["tool"]["opslib"]["conda"]
    extras = project["optional-dependencies"]
    wanted = dict(split(r) for group in (project["dependencies"], *extras.values()) for r in group)
    wanted.pop(project["name"])
    wanted |= dict(split(r) for r in pyproject["dependency-groups"]["test"])
    from_pip = sorted(name + wanted.pop(name) for name in conda["pip-only"])
    lines = sorted(conda["names"].get(name, name) + clauses for name, clauses in wanted.items())
    body = [f"  - {line}" for line in (f"python{project['requires-python']}", "pip", *lines)]
    return "\n".join(
        [
            HEADER + "name: opslib",
            "channels:",
            "  - conda-forge",
            "  - nodefaults",
            "dependencies:",
            *body,
            "  - pip:",
        ]
        + [f"      - {line}" for line in (*from_pip, "-e .")]
    )


if __name__ == "__main__":
    print(environment_yml(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))))
