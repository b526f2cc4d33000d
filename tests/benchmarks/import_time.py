"""What ``import otel_polar`` costs the start of an application, beside the SDK it needs anyway."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS: Final = 25
_TIMED: Final = "import time; begin = time.perf_counter(); import {}; print(time.perf_counter() - begin)"


def run() -> Iterator[str]:
    """The figure, as the ratio of two medians over alternating fresh interpreters."""
    ours_s: list[float] = []
    sdk_s: list[float] = []
    for _ in range(ROUNDS):
        sdk_s.append(_import_s("opentelemetry.sdk.trace"))
        ours_s.append(_import_s("otel_polar"))
    ours, sdk = statistics.median(ours_s), statistics.median(sdk_s)
    yield (
        f"import otel_polar / import opentelemetry.sdk.trace: {ours / sdk:.2f}"
        f" ({ours * 1_000:.1f} ms / {sdk * 1_000:.1f} ms; at most 1.30)"
    )


def _import_s(module: str) -> float:
    command = [sys.executable, "-c", _TIMED.format(module)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
