"""A new capture appears under its name whole or not at all, whoever else writes there and whatever the disk does."""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from opslib.core.errors import CaptureError, RefusedError
from opslib.core.words import printable


@contextlib.contextmanager
def appearing(out: Path, doing: str) -> Iterator[Path]:
    """Yield a hidden folder that becomes `out` when all went well, and is gone when not. `doing`: "an import", say.

    Raises RefusedError where `out` holds anything before or after, CaptureError where it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise _taken(out, doing)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        hidden = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise CaptureError(f"cannot write to {out}: {error.strerror}", hint="name another folder") from error
    try:
        yield hidden
        hidden.chmod(0o755)
        hidden.replace(out)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            raise _taken(out, doing) from error
        raise CaptureError(
            f"cannot write to {out}: {printable(str(error))}", hint="is the disk full?"
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _taken(out: Path, doing: str) -> RefusedError:
    return RefusedError(f"{out} is not empty", hint=f"{doing} never overwrites: name a new folder")
