"""Bill spans that a Collector has stored in a file, and see that doing it twice bills once.

Run it: python examples/replay.py   (offline: it starts a sandbox of its own)

It writes a small recording as the Collector's file exporter does, and types for you:

    otel-polar replay --dry-run spans.jsonl     who would pay what
    otel-polar replay --yes spans.jsonl         twice
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from otel_polar.sandbox import SandboxServer


def a_line(number: int, user: str) -> str:
    """A request with one call, as one line of OTLP/JSON."""
    ended = time.time_ns() - number * 60 * 10**9
    attributes = {
        "gen_ai.operation.name": {"stringValue": "chat"},
        "gen_ai.provider.name": {"stringValue": "openai"},
        "gen_ai.request.model": {"stringValue": "gpt-4o-mini"},
        "gen_ai.usage.input_tokens": {"intValue": "812"},
        "gen_ai.usage.output_tokens": {"intValue": "142"},
        "user.id": {"stringValue": user},
    }
    span = {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": "chat gpt-4o-mini",
        "startTimeUnixNano": str(ended - 10**9),
        "endTimeUnixNano": str(ended),
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}) + "\n"


def main() -> None:
    """Write, look, bill, bill again."""
    with SandboxServer() as polar, tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "spans.jsonl"
        recording.write_text("".join(a_line(number, user) for number, user in enumerate(["alice", "alice", "bob"], 1)))
        environment = {
            **os.environ,
            "POLAR_ACCESS_TOKEN": "polar_oat_example",
            "POLAR_BASE_URL": polar.url,
            "OTEL_POLAR_OUTBOX_DIR": str(Path(folder) / "outbox"),
        }
        for options in (["--dry-run"], ["--yes"], ["--yes"]):
            print(f"$ otel-polar replay {' '.join(options)} {recording.name}", flush=True)
            command = [sys.executable, "-m", "otel_polar", "replay", *options, recording.name]
            subprocess.run(command, cwd=folder, env=environment, check=True)  # noqa: S603 - our own words
        print(f"Polar has {len(polar.events())} events")


if __name__ == "__main__":
    main()
