"""What only the command's own entry does, before nbformat is imported; never done by importing the library."""

from __future__ import annotations

import sys


def prepare_process() -> None:
    """Keep `jsonschema` from building a grammar for international addresses, which takes a second of each start.

    JupyterLab brings `rfc3987_syntax`; where it is installed, importing nbformat builds its parsers although no
    schema of a notebook has such a field. A None in `sys.modules` makes that optional import fail, as if the
    package were absent. It concerns this process alone: kernels are processes of their own.
    """
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None means: not importable
