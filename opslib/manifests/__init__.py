"""What runs in a cluster as files say it: load, check, plan."""

from __future__ import annotations
