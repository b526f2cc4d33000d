"""What a sender can do to the service that is neither a call nor a mistake it has to be told of."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import socket
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from otel_polar.delivery.disk.journal import Journal
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.pipeline import Pipeline
from otel_polar.errors import ConfigError
from otel_polar.sandbox import SandboxServer
from otel_polar.service import origin, otlp_json, otlp_protobuf, unzipping
from otel_polar.service.reading import NOTHING, CallsRead, SpanReader
from otel_polar.service.receiver import INLINE_BYTES, Receiver
from otel_polar.service.unzipping import TooLargeError, unzip
from otel_polar.settings.serve import ServeSettings
from tests.servers.child import HOST, wait_until
from tests.servers.serve import TOKEN, Serve
from tests.service.messages import as_json, pairs, request, span
from tests.service.test_reading import call_span, customers, read, settings
from tests.service.test_serve import PROTOBUF, calls, get, head_of, post, run

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_TEXT: Final = b"\xff\xfe\xfd"
"""As many bytes as MARK has characters."""
MARK: Final = "@#%"


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(settings(tmp_path), durability="FULL")
    yield pipeline
    pipeline.shutdown()


@pytest.fixture
def reader(pipeline: Pipeline, tmp_path: Path) -> SpanReader:
    return SpanReader(pipeline, settings(tmp_path))


@pytest.fixture(scope="module")
def polar() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


class TestHalfACharacter:
    """JSON can hold it, and nothing that is written as UTF-8 can."""

    @pytest.mark.parametrize("key", ["gen_ai.request.model", "gen_ai.provider.name", "userId"])
    def test_in_a_name_breaks_nothing(self, reader: SpanReader, key: str) -> None:
        """The metrics were answered with 500 from then on."""
        content = as_json(request(call_span(**{"userId": "ann", key: MARK}), scope=MARK))

        found = reader.read_json(content.replace(MARK.encode(), rb"half \ud800"))

        assert len(found.calls) == 1
        assert "ud800" not in found.calls[0]
        assert ("unattributed" in customers(found.calls)[0]) == (key == "userId")


def number(digits: int) -> str:
    return f"{digits:016x}"


class TestATextThatIsNoUtf8:
    def test_in_a_neighbour_costs_no_call(self, reader: SpanReader, pipeline: Pipeline) -> None:
        """It was looked at for who pays, and the call it was looked at for was acknowledged and gone."""
        neighbour = span(span_id=b"\1" * 8, attributes=pairs({"db.statement": MARK}))
        content = request(neighbour, call_span(number(5), number(9)), call_span(number(6), number(9)))

        found = reader.read_protobuf(content.SerializeToString().replace(MARK.encode(), NO_TEXT))

        assert (len(found.calls), pipeline.counts["failed"]) == (2, 0)

    @pytest.mark.parametrize("place", ["prompt", "name", "resource", "scope", "event"])
    def test_costs_nothing_but_itself(self, reader: SpanReader, place: str) -> None:
        """A Collector's processor may cut a prompt in the middle of a character; the whole request was dropped."""
        call = call_span(**{"userId": "ann", **({"gen_ai.prompt": MARK} if place == "prompt" else {})})
        if place == "name":
            call.name = MARK
        if place == "event":
            call.events.add(name=MARK)
        message = request(call, resource={"at": MARK if place == "resource" else ""}, scope=MARK)

        found = reader.read_protobuf(message.SerializeToString().replace(MARK.encode(), NO_TEXT))

        assert [customer["external_id"] for customer in customers(found.calls)] == ["ann"]

    def test_in_a_users_id_is_nobodys_id(self, reader: SpanReader) -> None:
        """If it were left out, whoever is named less explicitly would pay."""
        message = request(call_span(userId=MARK), resource={"user.id": "somebody else"})

        found = reader.read_protobuf(message.SerializeToString().replace(MARK.encode(), NO_TEXT))

        assert customers(found.calls)[0].keys() == {"unattributed"}
        assert "somebody else" not in found.calls[0]


@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_what_is_around_many_calls_is_read_once(reader: SpanReader, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """A request of 240 kB took a minute, in which nobody else was answered."""
    read_so_far = 0
    build_record = origin.build_record

    def count(*arguments: Any, **fields: Any) -> Any:
        nonlocal read_so_far
        read_so_far += 1
        return build_record(*arguments, **fields)

    monkeypatch.setattr(otlp_protobuf, "build_record", count)
    monkeypatch.setattr(otlp_json, "build_record", count)
    chain = [call_span(number(place + 2), number(place + 1)) for place in range(300)]

    found = read(reader, request(*chain), form)

    assert (len(found), read_so_far) == (300, 2 * 300), "once for what they are, and once for what is in them"


def test_a_bomb_of_members_without_anything_in_them_is_refused() -> None:
    """A copy of all that is behind each of them: 64 MiB of that took hours."""
    with pytest.raises(TooLargeError, match="members"):
        unzip(gzip.compress(b"") * (unzipping.MAX_MEMBERS + 1), max_bytes=100)


def test_members_over_the_ends_of_pieces_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the length of a piece."""
    parts = [os.urandom(size) for size in (0, 1, 10, 100, 1000)]
    content = b"\0\0".join(map(gzip.compress, parts))
    for size in range(1, 60):
        monkeypatch.setattr(unzipping, "PIECE_BYTES", size)

        assert unzip(content, max_bytes=10_000) == b"".join(parts)


def receiver() -> Receiver:
    return Receiver(lambda _: None, Notices(), max_request_bytes=2**20, max_in_flight_bytes=2**20)


def test_what_was_given_up_while_it_waited_is_not_kept() -> None:
    """It is not counted any more: whoever gave up often enough could fill the memory."""

    class Reading:
        def __call__(self, _: bytes) -> CallsRead:
            return NOTHING

    async def give_up() -> None:
        service, go_on, content = receiver(), threading.Event(), b"x" * (INLINE_BYTES + 1)

        def slow(_: bytes) -> CallsRead:
            go_on.wait()
            return NOTHING

        busy = asyncio.create_task(service.receive(content, is_zipped=False, read=slow))
        await asyncio.sleep(0)
        reading = Reading()
        kept = weakref.ref(reading)
        given_up = asyncio.create_task(service.receive(content, is_zipped=False, read=reading))
        del reading
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait({given_up})
        del given_up
        try:
            assert kept() is None
        finally:
            go_on.set()
            await busy
            service.stop()

    asyncio.run(give_up())


def test_a_request_that_is_alone_is_taken_however_large() -> None:
    """It was counted twice, found no room beside itself, and was sent again for ever."""

    async def receive() -> None:
        service, content = receiver(), b"x" * 600_000
        with service.room(len(content)):
            await service.receive(content, is_zipped=False, read=lambda _: NOTHING)
        service.stop()

    asyncio.run(receive())


def test_room_is_needed_for_a_request_as_it_came_and_unzipped() -> None:
    """The same of a zipped one."""
    with pytest.raises(ConfigError, match="twice"):
        ServeSettings.load({}, max_request_mib=64, max_in_flight_mib=127)


def test_what_is_appended_to_a_deleted_segment_is_written_again(tmp_path: Path, caplog: Any) -> None:
    """A sender was told that it is on disk."""
    journal = Journal(tmp_path / "outbox-1.db", is_synchronous=True)
    journal.append("first", 1.0)
    journal.segments()[0].unlink()

    journal.append("second", 2.0)

    assert [path.read_text() for path in tmp_path.glob("*.journal")] == ["2.0 second\n"]
    assert "has been deleted" in caplog.text
    journal.close()


def test_a_request_that_does_not_end_is_not_dropped_at_the_end_of_the_service(
    polar: SandboxServer, tmp_path: Path
) -> None:
    """It was answered with 500, after which a Collector forgets what it sent."""
    body = calls(1)
    with Serve(tmp_path, polar.url) as serve, socket.create_connection((HOST, serve.http_port), timeout=30) as sender:
        sender.sendall(head_of(len(body)) + body[:10])
        wait_until(lambda: bool(re.search(r"in_flight_bytes\{.*\} 10", get(serve, "/metrics")[1])), "it is there")
        assert serve.stop() == 0

        assert sender.recv(100).startswith(b"HTTP/1.1 503")


def test_connections_without_a_request_do_not_cost_those_that_are_there(polar: SandboxServer, tmp_path: Path) -> None:
    """Nobody needs a token for that. Those over the limit are closed; they were kept, and everybody got a 503."""
    with Serve(tmp_path, polar.url, {"OTEL_POLAR_SERVE_MAX_CONNECTIONS": "20"}) as serve:
        with socket.create_connection((HOST, serve.http_port), timeout=10) as early:
            strangers = [socket.create_connection((HOST, serve.http_port), timeout=10) for _ in range(100)]
            wait_until(lambda: len(list(Path(f"/proc/{serve.pid}/fd").iterdir())) < 70, "most of them are closed")
            early.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert early.recv(100).startswith(b"HTTP/1.1 200")
            for stranger in strangers:
                stranger.close()
        wait_until(lambda: _is_taken(serve), "there is room again")


def _is_taken(serve: Serve) -> bool:
    try:
        return post(serve, calls(1), PROTOBUF)[0] == 200
    except OSError:
        return False


def test_a_rate_card_that_cannot_be_used_is_refused_also_by_check(tmp_path: Path) -> None:
    """`--check` that says yes to what does not start is worse than none."""
    (tmp_path / "card.toml").write_text("nonsense = 1\n")
    environment = {"POLAR_ACCESS_TOKEN": TOKEN, "OTEL_POLAR_RATE_CARD": str(tmp_path / "card.toml")}

    for arguments in (("--check",), ()):
        ended = run(*arguments, OTEL_POLAR_OUTBOX_DIR=str(tmp_path / "outbox"), **environment)
        assert (ended.returncode, "nonsense" in ended.stderr) == (3, True), ended.stderr


def test_all_interfaces_are_those_of_both_kinds(polar: SandboxServer, tmp_path: Path) -> None:
    """GRPC has always taken it so; a probe by the other kind was refused."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    options = ("--host", "::", "--allow-unauthenticated")
    with AnyHost(tmp_path, polar.url, options=options) as serve:
        assert get(serve, "/healthz")[0] == 200


class AnyHost(Serve):
    """One that says another address than that of loopback."""

    def is_ready(self) -> bool:
        """Whether it says so."""
        return bool(self.has_said("OTLP/gRPC on"))
