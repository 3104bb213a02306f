"""Levels of log records: every spelling that loggers use belongs to one of four, loudest first.

Numbers after a level are OpenTelemetry's finer ones (`ERROR2`); syslog's names count where its RFC 5424 ranks them.
"""

from __future__ import annotations

from typing import Literal

Level = Literal["ERROR", "WARN", "INFO", "DEBUG"]
LEVELS: tuple[Level, ...] = ("ERROR", "WARN", "INFO", "DEBUG")

_SPELLINGS: dict[Level, tuple[str, ...]] = {
    "ERROR": ("ERROR", "ERR", "FATAL", "CRITICAL", "CRIT", "ALERT", "EMERGENCY", "EMERG", "PANIC", "SEVERE"),
    "WARN": ("WARN", "WARNING"),
    "INFO": ("INFO", "INFORMATION", "NOTICE"),
    "DEBUG": ("DEBUG", "TRACE", "VERBOSE", "FINE"),
}
_LEVEL_OF: dict[str, Level] = {word: level for level, words in _SPELLINGS.items() for word in words}


def level_of(severity: object) -> Level:
    """Return the level of a severity's text; what is absent or unknown counts as INFO, neither loud nor hidden."""
    return _LEVEL_OF.get(str(severity or "").strip().upper().rstrip("234"), "INFO")


def at_least(level: Level) -> tuple[str, ...]:
    """Return every spelling of this level and of the louder ones, upper case, sorted; an absent one counts as INFO."""
    loud = LEVELS[: LEVELS.index(level) + 1]
    words = [word for name in loud for word in _SPELLINGS[name]]
    finer = [f"{word}{n}" for word in ("FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE") for n in "234"]
    absent = [""] if "INFO" in loud else []
    return tuple(sorted([*absent, *words, *(word for word in finer if level_of(word) in loud)]))
