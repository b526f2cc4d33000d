from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from otel_polar.capture.baggage import forget_baggage_rules
from otel_polar.sandbox import SandboxServer
from tests.capture.support import TOKEN, App

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class MakeApp(Protocol):
    """Takes the options of :class:`App`; left out, they are those of a user of the local Polar."""

    def __call__(self, **options: Any) -> App: ...


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A developer's own token must not decide what these tests do, nor the keys of the test before."""
    for variable in os.environ:
        if variable.startswith(("POLAR_", "OTEL_")):
            monkeypatch.delenv(variable)
    forget_baggage_rules()
    yield
    forget_baggage_rules()


@pytest.fixture(scope="session")
def anybodys_polar() -> Iterator[SandboxServer]:
    """A local Polar for the tests that only look at what was sent: one each would cost a tenth of a second."""
    with SandboxServer() as server:
        yield server


@pytest.fixture
def make_app(request: pytest.FixtureRequest, anybodys_polar: SandboxServer, tmp_path: Path) -> Iterator[MakeApp]:
    """Applications that end with the test, and send to the test's own ``polar_sandbox`` if it has one."""
    is_own = "polar_sandbox" in request.fixturenames
    polar: SandboxServer = request.getfixturevalue("polar_sandbox") if is_own else anybodys_polar
    apps: list[App] = []

    def make(**options: Any) -> App:
        defaults = {
            "access_token": TOKEN,
            "base_url": polar.url,
            "outbox_dir": tmp_path / "outbox",
            "requests_per_minute": 100_000,
        }
        apps.append(App(**{**defaults, **options}))
        return apps[-1]

    yield make
    for app in apps:
        app.shutdown()


@pytest.fixture
def app(make_app: MakeApp) -> App:
    """An application with nothing but the defaults."""
    return make_app()
