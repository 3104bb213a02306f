"""The collector's gate: what happened before its time is not kept."""

NEVER_NS = (1 << 63) - 1  # the gate has not been opened
