"""Numbers that steer a service's own work, set at run time by a control call; unset ones have their default."""

from __future__ import annotations

import threading
from typing import Any


class Knobs:
    """A set of named numbers, replaced as a whole, read by the service's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, float] = {}

    def get(self, name: str, default: float) -> float:
        with self._lock:
            return self._values.get(name, default)

    def replace(self, values: dict[str, Any]) -> dict[str, Any]:
        """Set exactly these, forget all others."""
        numbers = {str(name): float(value) for name, value in values.items()}
        with self._lock:
            self._values = numbers
        return {"knobs": numbers}
