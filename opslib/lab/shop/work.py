"""Work that costs processor time, by the clock of the thread that does it, on any machine the same amount."""

from __future__ import annotations

import hashlib
import time

_ROUNDS = 400  # about 0.2 ms, in native code that lets other threads run


def spend_cpu(seconds: float, seed: bytes) -> str:
    """Hash until this thread has used `seconds` of processor time; return the digest."""
    end = time.thread_time() + seconds
    digest = seed
    while time.thread_time() < end:
        digest = hashlib.pbkdf2_hmac("sha256", digest, b"shop", _ROUNDS)
    return digest.hex()
