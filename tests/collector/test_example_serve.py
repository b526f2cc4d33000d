"""Specifies that ``otel-polar serve`` runs with the settings of ``examples/collector``, behind Collectors of it."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.collector.examples import EXAMPLES, TOKEN, ExampleCollector, certificate
from tests.servers.child import HOST, ROOT, Child
from tests.service.messages import pairs, request, span
from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_polar.sandbox import SandboxServer

pytestmark = [pytest.mark.slow]

OPERATOR_TOKEN: Final = "a-token-of-an-operator"
SERVE: Final = [sys.executable, "-m", "otel_polar", "serve"]
RATE_CARD: Final = """
[[prices]]
provider = "openai"
model = "gpt-9000"
usd_per_million_tokens = { input = "1", output = "2" }
"""
CALL: Final = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 812,
    "gen_ai.usage.output_tokens": 142,
    "userId": "user_42",
}


class Serve(Child):
    """With the file, of which only addresses and places on disk are changed."""

    def __init__(self, directory: Path, polar: str, files: dict[str, str]) -> None:
        tokens, operator_tokens = directory / "tokens", directory / "operator-tokens"
        tokens.write_text(f"the-token-before-this\n{TOKEN} # of the gateway\n")
        operator_tokens.write_text(f"{OPERATOR_TOKEN}\n")
        environment = {
            "POLAR_ACCESS_TOKEN": "polar_oat_test",
            "POLAR_BASE_URL": polar,
            "OTEL_POLAR_OUTBOX_DIR": str(directory / "outbox"),
            "OTEL_POLAR_SETTLE_S": "0",
            "OTEL_POLAR_LINGER_S": "0",
            "OTEL_POLAR_SERVE_TOKENS_FILE": str(tokens),
            "OTEL_POLAR_SERVE_OPERATOR_TOKENS_FILE": str(operator_tokens),
            "OTEL_POLAR_SERVE_TLS_CERT_FILE": files["cert_file"],
            "OTEL_POLAR_SERVE_TLS_KEY_FILE": files["key_file"],
        }
        options = [f"--host={HOST}", "--grpc-port=0", "--http-port=0", f"--config={EXAMPLES / 'otel-polar.toml'}"]
        super().__init__("otel-polar serve", [*SERVE, *options], environment)
        self._context = ssl.create_default_context(cafile=files["cert_file"])

    def is_ready(self) -> bool:
        """It has said where."""
        return self.ports() is not None

    def ports(self) -> tuple[int, int] | None:
        """For gRPC and HTTP."""
        for line in list(self.lines):
            if (found := re.search(r"gRPC on [\d.]+:(\d+), OTLP/HTTP on https://[\d.]+:(\d+)", line)) is not None:
                return int(found[1]), int(found[2])
        return None

    def status(self, path: str, token: str | None = None) -> int:
        """What it answers to a GET."""
        ports = self.ports()
        assert ports is not None
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        asked = urllib.request.Request(f"https://{HOST}:{ports[1]}{path}", headers=headers)
        try:
            with urllib.request.urlopen(asked, context=self._context, timeout=10) as answer:  # noqa: S310 - https
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


@pytest.fixture
def serve(tmp_path: Path, polar_sandbox: SandboxServer) -> Iterator[Serve]:
    """One replica."""
    home = tmp_path / "serve"
    home.mkdir()
    with Serve(home, polar_sandbox.url, certificate(tmp_path)) as serve:
        yield serve


def changes(name: str, serve: Serve, directory: Path) -> dict[str, Any]:
    """Changes by which a Collector sends to *serve*."""
    ports = serve.ports()
    assert ports is not None
    token = directory / "otel-polar.token"
    token.write_text(f"{TOKEN}\n")
    ca_file = str(directory / "tls.crt")
    at_once = {"batch": {"flush_timeout": "20ms"}}
    exporter: dict[str, Any] = {
        "endpoint": f"https://{HOST}:{ports[1]}",
        "tls": {"ca_file": ca_file},
        "sending_queue": at_once,
    }
    if name == "load-balancing":
        exporter = {
            "resolver": {"dns": {"hostname": HOST, "port": str(ports[0])}},
            "sending_queue": at_once,
            "protocol": {"otlp": {"tls": {"ca_file": ca_file}}},
        }
    return {
        "extensions": {"bearertokenauth/otel-polar": {"filename": str(token)}},
        "exporters": {"load_balancing" if name == "load-balancing" else "otlp_http/otel-polar": exporter},
    }


@pytest.mark.parametrize("name", ["before-tail-sampling", "without-content", "load-balancing"])
def test_a_call_that_a_collector_is_given_is_an_event_of_its_user(
    name: str, binary: Path, serve: Serve, polar_sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Over HTTP and gRPC, with TLS and a token, as the files have it."""
    with ExampleCollector(binary, tmp_path / name, name, changes(name, serve, tmp_path)) as gateway:
        gateway.take(request(span(attributes=pairs(CALL))))
        (event,) = polar_sandbox.wait_for_events(1)

    assert event["external_customer_id"] == "user_42"
    assert (event["metadata"]["input_tokens"], event["metadata"]["output_tokens"]) == (812, 142)
    assert serve.stop() == 0


def test_probes_need_no_token_and_numbers_need_an_operators(serve: Serve) -> None:
    """Kubernetes has none; and what is earned is nobody else's business."""
    assert [serve.status(path) for path in ("/healthz", "/readyz")] == [200, 200]
    assert [serve.status("/metrics", token) for token in (None, TOKEN, OPERATOR_TOKEN)] == [401, 401, 200]


def test_the_settings_can_be_used_also_with_all_that_is_commented_out(tmp_path: Path) -> None:
    """What somebody takes out of comment must not be a mistake."""
    files = certificate(tmp_path)
    for name in ("clients-ca.pem", "ca.pem"):
        (tmp_path / name).write_bytes(Path(files["cert_file"]).read_bytes())
    for name in ("tokens", "operator-tokens"):
        (tmp_path / name).write_text(f"{TOKEN} # of the gateway\n")
    (tmp_path / "rates.toml").write_text(RATE_CARD)
    text = (EXAMPLES / "otel-polar.toml").read_text().replace("/etc/otel-polar", str(tmp_path))
    full = re.sub(r'^# (?=(?:\[serve|"|\w+ = )[^.]*?)', "", text, flags=re.MULTILINE)
    for number, each in enumerate((text, full)):
        config = tmp_path / f"{number}.toml"
        config.write_text(each)
        done = subprocess.run(
            [*SERVE, f"--config={config}", "--check"],
            env={**unmeasured_environment(), "POLAR_ACCESS_TOKEN": "polar_oat_test"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

        assert (done.returncode, done.stderr) == (0, "")
        for told in ("otlp_spans", "client certificates"):
            assert (told in done.stdout) == bool(number)
