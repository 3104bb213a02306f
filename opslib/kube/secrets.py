"""Where an object holds secret values, so that no message, diff or plan repeats them.

`data` and `stringData` of a Secret are secret whole, and so is kubectl's copy of them in an annotation.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opslib.core.errors import OpslibError
from opslib.core.redact import MASK
from opslib.kube.objects import Object

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def is_secret(body: Object) -> bool:
    return body.get("kind") == "Secret" and body.get("apiVersion") == "v1"


def secret_values(body: Object) -> Iterator[str]:
    """Yield the values that a Secret holds, encoded and decoded, whatever their type."""
    for part in ("data", "stringData"):
        values = body.get(part) if is_secret(body) else None
        for value in values.values() if isinstance(values, dict) else ():
            yield from _spellings(value)


def _spellings(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _spellings(item)
        return
    text = value if isinstance(value, str) else repr(value)
    yield text
    try:
        yield base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return


@contextmanager
def error_without_secrets(body: Object) -> Iterator[None]:
    """Mask the values of a Secret in errors about it: the API server repeats what it does not understand."""
    try:
        yield
    except OpslibError as error:
        values = sorted({v for v in secret_values(body) if v}, key=len, reverse=True)
        if values:
            # Short values stand alone in messages; inside of words they are letters.
            known = "|".join(re.escape(v) if len(v) > 3 else rf"(?<!\w){re.escape(v)}(?!\w)" for v in values)
            error.args = (re.sub(known, MASK, str(error)), *error.args[1:])
        raise
