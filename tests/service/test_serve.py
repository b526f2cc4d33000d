"""The service as a whole, as a child process: what it answers, and what has become of the calls."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import zlib
from http.client import HTTPConnection
from random import Random
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from otel_polar.sandbox import SandboxServer
from otel_polar.service.otlp_grpc import SERVICE
from tests.servers.child import HOST, ROOT, wait_until
from tests.servers.serve import TOKEN, Serve
from tests.service.messages import as_json, pairs, request, span
from tests.unmeasured import unmeasured_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

MIB: Final = 2**20
SENDER: Final = "sender-token-of-some-length"
OPERATOR: Final = "operator-token-of-some-length"
PROTOBUF: Final = {"Content-Type": "application/x-protobuf"}
JSON: Final = {"Content-Type": "application/json"}
CALL: Final[dict[str, Any]] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 812,
    "gen_ai.usage.output_tokens": 142,
    "userId": "user_42",
}
_dice: Final = Random(11)


def call_span(**fields: Any) -> Span:
    """A call of its own, that has ended just now."""
    now = time.time_ns()
    ids = {"trace_id": _dice.randbytes(16), "span_id": _dice.randbytes(8)}
    return span(
        **{"start_time_unix_nano": now - 10**9, "end_time_unix_nano": now, "attributes": pairs(CALL), **ids, **fields}
    )


def calls(count: int) -> bytes:
    content: bytes = request(*(call_span() for _ in range(count))).SerializeToString()
    return content


def post(
    serve: Serve, body: bytes, headers: dict[str, str] | None = None, *, path: str = "/v1/traces", method: str = "POST"
) -> tuple[int, dict[str, str], bytes]:
    """The answer to one request: status, headers in lower case, body."""
    connection = HTTPConnection(HOST, serve.http_port, timeout=30)
    connection.request(method, path, body, PROTOBUF if headers is None else headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def head_of(length: int) -> bytes:
    """The beginning of a request with so many bytes of body."""
    lines = ("POST /v1/traces HTTP/1.1", "Host: x", f"Content-Type: {PROTOBUF['Content-Type']}")
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def get(serve: Serve, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    status, _, content = post(serve, b"", headers or {}, path=path, method="GET")
    return status, content.decode()


def metric(serve: Serve, name: str) -> float | None:
    """What Prometheus would read under this name, if it is told by now."""
    found = re.search(rf"^{name}\{{.*\}} (\S+)$", get(serve, "/metrics")[1], re.MULTILINE)
    return None if found is None else float(found[1])


def export(
    serve: Serve,
    content: bytes,
    *,
    compression: grpc.Compression = grpc.Compression.NoCompression,
    token: str | None = None,
) -> grpc.StatusCode:
    """What a call by gRPC ends with."""
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"{HOST}:{serve.grpc_port}", options=options) as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Export")
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        call = method.future(content, timeout=30, compression=compression, metadata=metadata)
        code = call.code()
        if code is grpc.StatusCode.OK:
            assert call.result() == b"", "a partial success would be for what can never be taken"
        return code


@pytest.fixture(scope="module")
def polar() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture(scope="module")
def serve(polar: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """One for all that only ask it."""
    with Serve(tmp_path_factory.mktemp("serve"), polar.url, {"OTEL_POLAR_SERVE_MAX_REQUEST_MIB": "2"}) as running:
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def guarded(polar: SandboxServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """One for those who have a token."""
    environment = {"OTEL_POLAR_SERVE_TOKENS": SENDER, "OTEL_POLAR_SERVE_OPERATOR_TOKENS": OPERATOR}
    with Serve(tmp_path_factory.mktemp("guarded"), polar.url, environment) as running:
        yield running
        assert running.stop() == 0


@pytest.fixture
def number_before(polar: SandboxServer) -> int:
    return len(polar.events())


class TestWhatIsSent:
    @pytest.mark.parametrize("encoding", ["", "identity", "gzip", "deflate"])
    @pytest.mark.parametrize("is_json", [False, True], ids=["protobuf", "json"])
    def test_by_http_becomes_events(
        self,
        serve: Serve,
        polar: SandboxServer,
        number_before: int,
        encoding: str,
        is_json: bool,  # noqa: FBT001 - parametrised
    ) -> None:
        """A success has the encoding of the request and no partial success in it (OTLP 1.9, "Full Success")."""
        message = request(call_span(), call_span())
        body = as_json(message) if is_json else message.SerializeToString()
        zipped = {"gzip": gzip.compress(body), "deflate": zlib.compress(body)}.get(encoding, body)

        status, headers, content = post(
            serve, zipped, {**(JSON if is_json else PROTOBUF), **({"Content-Encoding": encoding} if encoding else {})}
        )

        assert (status, content) == (200, b"{}" if is_json else b"")
        assert headers["content-type"] == (JSON if is_json else PROTOBUF)["Content-Type"]
        events = polar.wait_for_events(number_before + 2)[number_before:]
        assert [event["metadata"]["input_tokens"] for event in events] == [812, 812]
        assert {event["external_customer_id"] for event in events} == {"user_42"}

    @pytest.mark.parametrize("compression", list(grpc.Compression))
    def test_by_grpc_becomes_events(
        self, serve: Serve, polar: SandboxServer, number_before: int, compression: grpc.Compression
    ) -> None:
        """Zipped or not: that is taken from the message itself."""
        assert export(serve, calls(3), compression=compression) is grpc.StatusCode.OK

        polar.wait_for_events(number_before + 3)

    def test_again_is_billed_once(self, serve: Serve, polar: SandboxServer, number_before: int) -> None:
        """A Collector that did not hear the answer sends all of it again, and perhaps by another way."""
        content = calls(5)
        for _ in range(3):
            assert post(serve, content)[0] == 200
            assert export(serve, content) is grpc.StatusCode.OK
        assert post(serve, calls(1))[0] == 200

        polar.wait_for_events(number_before + 6)
        wait_until(lambda: metric(serve, "otel_sdk_processor_span_queue_size") == 0, "everything is sent")

        assert len(polar.events()) == number_before + 6

    def test_in_pieces_is_taken(self, serve: Serve, polar: SandboxServer, number_before: int) -> None:
        """Some senders do not know a length beforehand."""
        body = calls(1)
        connection = HTTPConnection(HOST, serve.http_port, timeout=30)
        connection.request("POST", "/v1/traces", iter([body[:10], body[10:]]), PROTOBUF, encode_chunked=True)
        assert connection.getresponse().status == 200
        connection.close()

        polar.wait_for_events(number_before + 1)


class TestAnswers:
    @pytest.mark.parametrize(
        ("body", "headers", "status", "why"),
        [
            (b"", PROTOBUF, 200, "an export of nothing is a success"),
            (b"{}", JSON, 200, "the same"),
            (b'{"resourceSpans":[],"later":1}', {"Content-Type": "application/json; charset=utf-8"}, 200, "unknown"),
            (b"garbage", PROTOBUF, 400, "a sender drops what can never be read"),
            (b"[1]", JSON, 400, "the same"),
            (b"\x1f\x8b", {**PROTOBUF, "Content-Encoding": "gzip"}, 400, "the same"),
            (b"spans", {"Content-Type": "text/plain"}, 415, "what a web page may send without asking"),
            (b"spans", {}, 415, "nobody knows what it is"),
            (b"spans", {**PROTOBUF, "Content-Encoding": "zstd"}, 415, "the specification names gzip"),
            (b"\0" * (2 * MIB + 1), PROTOBUF, 413, "over the limit"),
            (gzip.compress(b"\0" * (3 * MIB)), {**PROTOBUF, "Content-Encoding": "gzip"}, 413, "a bomb"),
            (b"", {**PROTOBUF, "Origin": "http://127.0.0.1:4318"}, 403, "somebody's browser"),
        ],
    )
    def test_make_a_sender_do_what_otlp_says(
        self, serve: Serve, body: bytes, headers: dict[str, str], status: int, why: str
    ) -> None:
        """What is final must be final, and nothing else."""
        found, answer_headers, content = post(serve, body, headers)

        assert found == status, why
        kind = "application/json" if headers.get("Content-Type", "").startswith("application/json") else None
        assert answer_headers["content-type"] == (kind or "application/x-protobuf")
        if found != 200 and kind is not None:
            assert json.loads(content).keys() == {"code", "message"}

    @pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "DELETE"])
    def test_to_another_method_are_final(self, serve: Serve, method: str) -> None:
        """No page of another origin is told that it may send."""
        status, headers, _ = post(serve, b"", method=method)

        assert status == 405
        assert not [name for name in headers if name.startswith("access-control")]

    @pytest.mark.parametrize(
        ("content", "compression", "code"),
        [
            (b"", grpc.Compression.NoCompression, grpc.StatusCode.OK),
            (b"garbage", grpc.Compression.NoCompression, grpc.StatusCode.INVALID_ARGUMENT),
            (b"\x1f\x8bno gzip", grpc.Compression.NoCompression, grpc.StatusCode.INVALID_ARGUMENT),
            (b"\0" * (2 * MIB + 1), grpc.Compression.NoCompression, grpc.StatusCode.RESOURCE_EXHAUSTED),
            (b"\0" * (3 * MIB), grpc.Compression.Gzip, grpc.StatusCode.RESOURCE_EXHAUSTED),
            (b"\0" * (3 * MIB), grpc.Compression.Deflate, grpc.StatusCode.RESOURCE_EXHAUSTED),
        ],
    )
    def test_by_grpc_do_too(
        self, serve: Serve, content: bytes, compression: grpc.Compression, code: grpc.StatusCode
    ) -> None:
        """The same rules by other names."""
        assert export(serve, content, compression=compression) is code

    @given(content=st.binary(max_size=400), headers=st.sampled_from([PROTOBUF, JSON]), is_zipped=st.booleans())
    @hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_are_given_to_any_bytes(
        self,
        serve: Serve,
        content: bytes,
        headers: dict[str, str],
        is_zipped: bool,  # noqa: FBT001 - parametrised
    ) -> None:
        """Never a 500, after which a sender drops what it has, and never silence."""
        extra = {"Content-Encoding": "gzip"} if is_zipped else {}

        assert post(serve, content, {**headers, **extra})[0] in {200, 400}
        assert post(serve, gzip.compress(content), {**headers, "Content-Encoding": "gzip"})[0] in {200, 400}


class TestWhenTheDiskIsNotThere:
    def test_nothing_is_acknowledged_and_later_everything_is(self, polar: SandboxServer, tmp_path: Path) -> None:
        """The sender keeps what we cannot."""
        if os.geteuid() == 0:
            # Root may write everywhere: a file in the way is in everybody's.
            (tmp_path / "outbox").write_text("in the way")
        else:
            (tmp_path / "outbox").mkdir(mode=stat.S_IRUSR)
        content, before = calls(2), len(polar.events())
        with Serve(tmp_path, polar.url) as serve:
            status, headers, _ = post(serve, content)
            assert (status, headers["retry-after"]) == (503, "2")
            assert export(serve, content) is grpc.StatusCode.UNAVAILABLE
            assert post(serve, request(span()).SerializeToString())[0] == 200, "there is nothing to keep in it"
            assert get(serve, "/healthz")[0] == 200
            assert get(serve, "/readyz")[0] == 503
            assert "there is no outbox" in get(serve, "/readyz")[1]

            if os.geteuid() == 0:
                (tmp_path / "outbox").unlink()
            else:
                (tmp_path / "outbox").chmod(0o700)
            wait_until(lambda: post(serve, content)[0] == 200, "it is taken", timeout_s=60)

            polar.wait_for_events(before + 2)
            assert get(serve, "/readyz") == (200, "ready\n")


class TestWhoMaySend:
    @pytest.mark.parametrize("token", [None, "wrong-token-of-some-length", OPERATOR, SENDER[:-1]])
    def test_nobody_without_a_senders_token(self, guarded: Serve, token: str | None) -> None:
        """401 is final: the sender says so in its log, and so do we."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}

        status, answer, _ = post(guarded, calls(1), {**PROTOBUF, **headers})

        assert (status, answer["www-authenticate"]) == (401, "Bearer")
        assert export(guarded, calls(1), token=token) is grpc.StatusCode.UNAUTHENTICATED
        assert guarded.has_said("refused as unauthenticated.*CALLS IN IT ARE NOT BILLED")

    def test_whoever_has_one(self, guarded: Serve, polar: SandboxServer, number_before: int) -> None:
        """By either transport."""
        assert post(guarded, calls(1), {**PROTOBUF, "Authorization": f"Bearer {SENDER}"})[0] == 200
        assert export(guarded, calls(1), token=SENDER) is grpc.StatusCode.OK

        polar.wait_for_events(number_before + 2)

    def test_a_strangers_message_is_not_read(self, guarded: Serve) -> None:
        """64 MiB of it could otherwise be had from everybody who connects."""
        with socket.create_connection((HOST, guarded.http_port), timeout=10) as stranger:
            stranger.sendall(head_of(60_000_000))
            assert stranger.recv(100).startswith(b"HTTP/1.1 401")

    def test_only_an_operator_sees_what_is_earned(self, guarded: Serve) -> None:
        """Senders are many; the probes have to be for everybody."""
        for path in ("/metrics", "/"):
            assert get(guarded, path)[0] == 401
            assert get(guarded, path, {"Authorization": f"Bearer {SENDER}"})[0] == 401
        assert get(guarded, "/metrics", {"Authorization": f"Bearer {OPERATOR}"})[0] == 200
        assert get(guarded, "/healthz")[0] == 200
        assert get(guarded, "/readyz")[0] == 200

    def test_on_loopback_only_who_calls_it_by_its_own_name_sees_it(self, serve: Serve) -> None:
        """A web page whose name was made to lead to 127.0.0.1 would be of the same origin."""
        assert get(serve, "/metrics")[0] == 200
        assert get(serve, "/metrics", {"Host": f"localhost:{serve.http_port}"})[0] == 200
        assert get(serve, "/metrics", {"Host": f"evil.example:{serve.http_port}"})[0] == 403
        assert get(serve, "/metrics", {"Host": "127.0.0.1.evil.example"})[0] == 403


class TestTheEnd:
    def test_by_sigterm_sends_what_is_there(self, polar: SandboxServer, number_before: int, tmp_path: Path) -> None:
        """A rolling update loses nothing and leaves nothing behind."""
        with Serve(tmp_path, polar.url, {"OTEL_POLAR_SETTLE_S": "60"}) as serve:
            assert post(serve, calls(20))[0] == 200

            assert serve.stop() == 0

            assert len(polar.events()) == number_before + 20

    def test_answers_a_request_that_has_begun(self, polar: SandboxServer, tmp_path: Path) -> None:
        """Whoever has sent half of it would otherwise send it again."""
        body = calls(1)
        with Serve(tmp_path, polar.url) as serve:
            with socket.create_connection((HOST, serve.http_port), timeout=30) as sender:
                sender.sendall(head_of(len(body)) + body[:10])
                wait_until(
                    lambda: bool(re.search(r"in_flight_bytes\{.*\} 10", get(serve, "/metrics")[1])), "it is there"
                )
                ended = threading.Thread(target=serve.stop)
                ended.start()
                wait_until(lambda: bool(serve.has_said("no more requests")), "it is ending")
                sender.sendall(body[10:])
                assert sender.recv(100).startswith(b"HTTP/1.1 200")
            ended.join()

    def test_by_kill_loses_nothing_that_was_acknowledged(
        self, polar: SandboxServer, number_before: int, tmp_path: Path
    ) -> None:
        """The acknowledgement came after the commit."""
        with Serve(tmp_path, polar.url, {"OTEL_POLAR_SETTLE_S": "60"}) as serve:
            for _ in range(10):
                assert post(serve, calls(10))[0] == 200
            serve.kill()
        with Serve(tmp_path, polar.url) as serve:
            polar.wait_for_events(number_before + 100, timeout_s=30)
            serve.stop()

        assert len(polar.events()) == number_before + 100


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    command = [sys.executable, "-m", "otel_polar", "serve", *arguments]
    clean = {key: value for key, value in unmeasured_environment().items() if not key.startswith(("POLAR", "OTEL"))}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=ROOT, env={**clean, **environment}, check=False
    )


class TestTheStart:
    def test_without_a_token_for_polar_is_refused(self) -> None:
        """Nothing it receives could ever be billed, and the sender would be told that all is well."""
        ended = run()

        assert ended.returncode == 3
        assert "access_token (POLAR_ACCESS_TOKEN) is not set" in ended.stderr

    def test_where_others_can_connect_is_refused_without_a_guard(self, tmp_path: Path) -> None:
        """The message names every way out."""
        ended = run("--host", "0.0.0.0", POLAR_ACCESS_TOKEN=TOKEN, OTEL_POLAR_OUTBOX_DIR=str(tmp_path))  # noqa: S104 - that is what is refused

        assert ended.returncode == 3
        assert "--allow-unauthenticated" in ended.stderr

    @pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
    def test_on_a_port_that_is_taken_is_refused(self, tmp_path: Path, option: str) -> None:
        """Two that share a port would each get half of the spans, unnoticed."""
        with socket.create_server((HOST, 0)) as taken:
            port = str(taken.getsockname()[1])
            others = {"--http-port": "0", "--grpc-port": "0", option: port}
            arguments = [word for pair in others.items() for word in pair]

            ended = run(*arguments, POLAR_ACCESS_TOKEN=TOKEN, OTEL_POLAR_OUTBOX_DIR=str(tmp_path))

        assert ended.returncode == 3
        assert f"cannot listen on {HOST}" in ended.stderr
        assert port in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_can_be_tried_without_starting(self, tmp_path: Path) -> None:
        """Before a rollout; what is printed has no secret in it."""
        file = tmp_path / "otel-polar.toml"
        file.write_text(f'server = "production"\n[serve]\ntokens = ["{SENDER}"]\nhost = "0.0.0.0"\n')
        environment = {"POLAR_ACCESS_TOKEN": TOKEN, "OTEL_POLAR_OUTBOX_DIR": str(tmp_path / "outbox")}

        ended = run("--config", str(file), "--check", **environment)

        assert ended.returncode == 0
        assert "production" in ended.stdout
        assert "bearer tokens" in ended.stdout
        assert SENDER not in ended.stdout + ended.stderr
        assert TOKEN not in ended.stdout + ended.stderr
        assert not (tmp_path / "outbox").exists()

    @pytest.mark.parametrize(
        ("toml", "message"),
        [
            ("[serve]\ntokens = ['short']", "serve.tokens has a token of 5 characters"),
            ("[serve]\ntokens_file = '/nowhere'", "serve.tokens_file is '/nowhere', which cannot be read"),
            ("[serve]\ntls_cert_file = '/nowhere'\ntls_key_file = '/nowhere'", "/nowhere"),
        ],
    )
    def test_with_a_guard_that_cannot_be_used_is_refused_also_by_check(
        self, tmp_path: Path, toml: str, message: str
    ) -> None:
        """`--check` that says yes to what does not start is worse than none."""
        file = tmp_path / "otel-polar.toml"
        file.write_text(toml)
        environment = {"POLAR_ACCESS_TOKEN": TOKEN, "OTEL_POLAR_OUTBOX_DIR": str(tmp_path / "outbox")}

        for arguments in (("--check",), ()):
            ended = run("--config", str(file), *arguments, **environment)
            assert (ended.returncode, message in ended.stderr) == (3, True), ended.stderr

    def test_logs_are_json_lines_if_that_is_asked_for(self, polar: SandboxServer, tmp_path: Path) -> None:
        """For whatever collects them."""
        with Serve(tmp_path, polar.url, options=("--log-format", "json")) as serve:
            post(serve, b"garbage")
            serve.stop()
            lines = [json.loads(line) for line in serve.lines if line.startswith("{")]

        assert {"ERROR", "INFO"} <= {line["level"] for line in lines}


def test_signals_at_any_moment_end_it(polar: SandboxServer, tmp_path: Path) -> None:
    """Also Ctrl-C, and also twice."""
    with Serve(tmp_path, polar.url) as serve:
        assert serve.pid is not None
        os.kill(serve.pid, signal.SIGINT)
        assert serve.stop() == 0
