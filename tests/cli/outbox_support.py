"""Applications and orphaned files for the tests of the commands that change calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from otel_polar.billing.customer import NOBODY, Customer, Unattributed
from otel_polar.delivery.pipeline import Pipeline
from tests.cli.command import run_command
from tests.delivery.support import TOKEN, let_go, settings
from tests.delivery.test_pipeline import a_span

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

ALICE = Customer(external_customer_id="alice")
NOWHERE = "http://127.0.0.1:9"
"""The discard port: nothing answers there."""


class Applications:
    """Processes with outbox files in one directory, in this process."""

    def __init__(self, base_url: str, directory: Path) -> None:
        self.base_url = base_url
        self.directory = directory
        self._living: list[Pipeline] = []

    def start(
        self,
        *numbers: int,
        customer: Customer | Unattributed = NOBODY,
        attributes: dict[str, Any] | None = None,
        **options: Any,
    ) -> Pipeline:
        """One that lives, with these calls decided."""
        pipeline = Pipeline(settings(base_url=self.base_url, outbox_dir=self.directory, **options))
        self._living.append(pipeline)
        for number in numbers:
            pipeline.take(a_span(number, **(attributes or {})), customer, {})
        pipeline.force_flush(10.0)
        return pipeline

    def end(self, pipeline: Pipeline) -> None:
        """As if the process had ended."""
        pipeline.shutdown()
        let_go(pipeline)
        self._living.remove(pipeline)

    def leave(self, *numbers: int, **options: Any) -> None:
        """A file without an owner, with these calls."""
        self.end(self.start(*numbers, **options))

    def close(self) -> None:
        """Stop those that live."""
        for pipeline in self._living:
            pipeline.shutdown()
            for outbox in pipeline.outboxes:
                outbox.close()

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """``otel-polar outbox`` with the settings of these applications."""
        return run_command("outbox", *arguments, env={**self.variables(), **variables})

    def variables(self) -> dict[str, str]:
        """The settings of these applications."""
        return {
            "POLAR_ACCESS_TOKEN": TOKEN,
            "POLAR_BASE_URL": self.base_url,
            "OTEL_POLAR_OUTBOX_DIR": str(self.directory),
        }

    def seen(self) -> list[dict[str, Any]]:
        """What ``otel-polar outbox list`` shows."""
        return [json.loads(line) for line in self.run("list", "--json").stdout.splitlines()]

    def orders(self) -> list[str]:
        """What lies among the orders."""
        return [path.name for path in self.directory.glob("*/orders/*")]


def told(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON object that a command has printed."""
    assert result.stdout, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer
