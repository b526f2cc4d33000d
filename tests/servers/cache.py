"""Where programs that take minutes to build or fetch are kept from one run to the next."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path


def cached(kind: str, made_from: bytes) -> Path:
    """A directory for what is made from these bytes, which need not be there; it has another name for others."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "otel-polar" / f"{kind}-{sha256(made_from).hexdigest()[:16]}"
