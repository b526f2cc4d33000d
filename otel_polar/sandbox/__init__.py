"""A local Polar: the ingestion API with Polar's own rules, meters, and a page that shows what arrived.

Three ways to use it::

    with SandboxServer() as server:               # in a script or a test
        Polar("polar_oat_demo", base_url=server.url).events.ingest(events=[...])
        server.events()

    def test_bills(polar_sandbox): ...            # the pytest fixture, without any import

    app = create_app(SandboxStore(":memory:"))    # the bare ASGI application

It imports nothing of the rest of this package, so that it cannot share a mistake with what it is there to check. What
it knows about Polar comes from Polar's own source, polarsource/polar on GitHub; each module names the files it follows.

The names are resolved on first use: the pytest plugin below this package is loaded by every test run of every user,
also of those who have no web server installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_polar.sandbox.app import create_app
    from otel_polar.sandbox.server import SandboxServer, run
    from otel_polar.sandbox.store import SandboxStore

__all__ = ["SandboxServer", "SandboxStore", "create_app", "run"]

_HOMES = {"SandboxServer": "server", "SandboxStore": "store", "create_app": "app", "run": "server"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only needed on the first access

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
