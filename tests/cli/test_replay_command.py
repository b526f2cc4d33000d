"""``otel-polar replay``: each call in stored files is billed once, whatever happens on the way."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from backports import zstd
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from otel_polar.delivery.pipeline import Pipeline
from otel_polar.service.reading import SpanReader
from tests.cli.command import ROOT, run_command
from tests.delivery.support import TOKEN, let_go, settings
from tests.service.messages import as_json, request
from tests.service.stored.recordings import NANOS_PER_CALL, a_request, lengths, lines, packed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_polar.sandbox import SandboxServer

NOWHERE = "http://127.0.0.1:9"
"""The discard port: nothing answers there."""

ACCEPTED = 0
LEFT = 1
MISUSED = 2
IMPOSSIBLE = 3


@pytest.fixture
def env(polar_sandbox: SandboxServer, tmp_path: Path) -> dict[str, str]:
    return environment(polar_sandbox.url, tmp_path / "outbox")


def environment(base_url: str, outbox_dir: Path) -> dict[str, str]:
    return {
        "POLAR_ACCESS_TOKEN": TOKEN,
        "POLAR_BASE_URL": base_url,
        "OTEL_POLAR_OUTBOX_DIR": str(outbox_dir),
        "HOME": str(outbox_dir),
    }


def replay(*arguments: object, env: dict[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    return run_command("replay", "--yes", *map(str, arguments), env=env, stdin=stdin)


def report(*arguments: object, env: dict[str, str], stdin: str = "", code: int = ACCEPTED) -> dict[str, Any]:
    result = run_command("replay", "--yes", "--json", *map(str, arguments), env=env, stdin=stdin)
    assert result.returncode == code, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def billed(polar_sandbox: SandboxServer) -> list[str]:
    return sorted(event["external_id"].split("-")[0] for event in polar_sandbox.events())


def ids(*numbers: int) -> list[str]:
    return [f"{number + 1:032x}" for number in numbers]


@pytest.mark.parametrize(
    "write",
    [
        lines,
        lengths,
        lambda messages: gzip.compress(lines(messages)),
        lambda messages: gzip.compress(lengths(messages)),
        lambda messages: zstd.compress(lines(messages)),
        packed,
        lambda messages: packed(messages, TracesData.SerializeToString),
        lambda messages: request(
            *[span for one in messages for span in one.resource_spans[0].scope_spans[0].spans],
            resource={"service.name": "chat"},
        ).SerializeToString(),
        lambda messages: json.dumps(
            {"resourceSpans": [group for one in messages for group in json.loads(as_json(one))["resourceSpans"]]},
            indent=1,
        ).encode(),
    ],
    ids=[
        "lines",
        "lengths",
        "lines.gz",
        "lengths.gz",
        "lines.zst",
        "packed json",
        "packed proto",
        "message",
        "document",
    ],
)
def test_every_form_is_billed_once_however_often_it_is_replayed(
    polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path, write: Callable[[list[TracesData]], bytes]
) -> None:
    """The second run knows the file again, ``--again`` each call; neither sends anything."""
    file = tmp_path / "spans"
    file.write_bytes(write([a_request(0, 1), a_request(2)]))

    first = report(file, env=env)
    second = report(file, env=env)
    third = report("--again", file, env=env)

    assert (first["sent"], first["spans_of_calls"], first["spans"]) == (3, 3, 5)
    assert second["files"][0]["replayed_at"] is not None
    assert (second["spans"], second["sent"]) == (0, 0)
    assert (third["known_here"], third["sent"]) == (3, 0)
    assert billed(polar_sandbox) == ids(0, 1, 2)
    assert {event["metadata"]["cost_nanos"] for event in polar_sandbox.events()} == {NANOS_PER_CALL}


def test_people_are_told_what_was_found_and_sent(
    polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path
) -> None:
    """And when a file was replayed before."""
    file = tmp_path / "spans.jsonl"
    file.write_bytes(lines([a_request(0)]))

    result = replay(file, env=env)
    second = replay(file, env=env)

    assert (result.returncode, result.stderr) == (0, "")
    assert "2 spans in 1 file" in result.stdout
    assert "1 call sent" in result.stdout
    assert "replayed already" in second.stdout
    assert "--again" in second.stdout
    assert len(polar_sandbox.events()) == 1


def test_a_file_that_has_grown_or_was_renamed_goes_on_where_it_was_left(
    polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path
) -> None:
    """Rotation renames it, and the next file has its name: a name proves nothing."""
    file = tmp_path / "spans.json"
    file.write_bytes(lines([a_request(0)]))
    assert report(file, env=env)["sent"] == 1
    file.write_bytes(file.read_bytes() + lines([a_request(1)]))
    rotated = file.rename(tmp_path / "spans-2026-11-20T05-02-14.173.json")
    file.write_bytes(lines([a_request(2)]))

    found = report(tmp_path, env={**env, "OTEL_POLAR_OUTBOX_DIR": env["OTEL_POLAR_OUTBOX_DIR"]}, code=LEFT)

    assert found["sent"] == 2
    assert [each["name"] for each in found["files"]][-2:] == [str(rotated), str(file)]
    assert billed(polar_sandbox) == ids(0, 1, 2)


def test_a_line_that_is_being_written_is_left_for_the_next_time(
    polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path
) -> None:
    """The exporter may be in the middle of it; when it is whole, it is billed."""
    file = tmp_path / "spans.json"
    content = lines([a_request(0), a_request(1)])
    file.write_bytes(content[:-100])
    first = report(file, env=env, code=LEFT)
    file.write_bytes(content)
    second = report(file, env=env)

    assert (first["sent"], first["files"][0]["left"]["place"]) == (1, "line 2")
    assert second["sent"] == 1
    assert billed(polar_sandbox) == ids(0, 1)


@pytest.mark.parametrize("write", [lines, lengths])
def test_damage_is_told_with_its_place_and_costs_nothing_else(
    polar_sandbox: SandboxServer,
    env: dict[str, str],
    tmp_path: Path,
    write: Callable[[list[TracesData]], bytes],
) -> None:
    """Half a file billed and the rest lost would be worse than either."""
    messages = [a_request(number) for number in range(3)]
    content = bytearray(write(messages))
    second = len(write(messages[:1]))
    content[second : second + 5] = b"@@@@@"
    file = tmp_path / "spans"
    file.write_bytes(content)

    found = report(file, env=env, code=LEFT)

    (place,) = found["files"][0]["damage"]
    assert place["place"] == ("line 2" if write is lines else f"byte {second}")
    assert billed(polar_sandbox) == ids(0, 2)
    assert report(file, env=env)["files"][0]["replayed_at"] is not None


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_file_of_which_nothing_can_be_unpacked_is_told_of(
    env: dict[str, str], tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    """It looked like an empty one, whose calls nobody misses."""
    content = bytearray(pack(lines([a_request(0)])))
    content[2:6] = b"\x28\xff\xff\xff" if pack is gzip.compress else content[2:4] + b"\xff\xff"
    file = tmp_path / "spans"
    file.write_bytes(content)

    (found,) = report(file, env=env, code=LEFT)["files"]

    assert found["left"]["place"] == "byte 0"
    assert "is damaged" in found["left"]["reason"]


def test_of_what_is_packed_nothing_is_billed_that_its_checksum_does_not_prove(
    polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path
) -> None:
    """A person can still have it billed (``zstd -dc FILE | otel-polar replay -``), who knows what has become of it."""
    sound, damaged = gzip.compress(lines([a_request(0)])), gzip.compress(lines([a_request(n) for n in range(1, 99)]), 0)
    file = tmp_path / "spans.gz"
    file.write_bytes(sound + damaged.replace(b'"812"', b'"912"', 1))

    found = report(file, env=env, code=LEFT)
    again = report(file, env=env, code=LEFT)

    assert (found["sent"], again["sent"]) == (1, 0)
    assert billed(polar_sandbox) == ids(0)


def test_what_was_billed_live_is_not_billed_again(
    polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path
) -> None:
    """Neither a call, nor a span that the application has taken for another one of a call; while it goes on running."""
    inner = a_request(0)
    outer = a_request(1)
    for message, span_id, scope in ((inner, b"inner--0", "opentelemetry.instrumentation.openai_v2"),):
        (group,) = message.resource_spans[0].scope_spans
        group.scope.name = scope
        group.spans[0].span_id = span_id
        group.spans[0].parent_span_id = (2).to_bytes(8)
        group.spans[0].trace_id = (2).to_bytes(16)
    live = Pipeline(settings(base_url=polar_sandbox.url, outbox_dir=tmp_path / "outbox"))
    try:
        reader = SpanReader(live, settings())
        live.commit([*reader.read_protobuf(inner.SerializeToString()).calls])
        live.commit([*reader.read_protobuf(outer.SerializeToString()).calls])
        assert live.force_flush(10.0)
        assert len(polar_sandbox.events()) == 1
        one, other = tmp_path / "one", tmp_path / "other"
        one.write_bytes(lines([outer]))
        other.write_bytes(lines([inner]))

        first, second = report(one, env=env), report(other, env=env)
    finally:
        live.shutdown()
        let_go(live)

    assert (first["sent"], first["known_elsewhere"]) == (0, 1)
    assert (second["sent"], second["known_elsewhere"]) == (0, 1)
    assert len(polar_sandbox.events()) == 1


def test_what_polar_could_not_take_waits_on_disk(tmp_path: Path) -> None:
    """The next run sends it, and does not read the file again for it."""
    file = tmp_path / "spans.json"
    file.write_bytes(lines([a_request(0)]))
    nowhere = environment(NOWHERE, tmp_path / "outbox")

    found = report("--timeout", "0.3", file, env=nowhere, code=LEFT)
    again = report("--timeout", "0.3", file, env=nowhere, code=LEFT)

    assert (found["sent"], found["waiting"]) == (0, 1)
    assert (again["spans"], again["waiting"]) == (0, 1)


def test_a_call_without_a_customer_is_held_and_told(
    polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path
) -> None:
    """Baggage is not on spans: what only it has told is not in a file."""
    file = tmp_path / "spans.json"
    file.write_bytes(lines([a_request(0, customer=None), a_request(1)]))

    result = replay(file, env=env)

    assert result.returncode == LEFT
    assert "1 call held: unattributed: no customer" in result.stderr
    assert billed(polar_sandbox) == ids(1)


def test_filters_choose_by_time_and_service_and_leave_the_rest_unread(
    polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path
) -> None:
    """What was read with a filter has not been read without it."""
    file = tmp_path / "spans.json"
    midnight = (int(time.time()) // 86_400 - 1) * 86_400
    file.write_bytes(
        lines(
            [
                a_request(0, at_unix_nano=(midnight - 60) * 10**9),
                a_request(1, at_unix_nano=(midnight + 60) * 10**9),
                a_request(2, at_unix_nano=(midnight + 120) * 10**9, service="other"),
            ]
        )
    )
    day = time.strftime("%Y-%m-%d", time.gmtime(midnight))

    assert report("--since", day, "--service", "chat", file, env=env)["outside_filters"] == 2
    assert billed(polar_sandbox) == ids(1)
    assert report("--until", day, file, env=env)["sent"] == 1
    assert report(file, env=env)["sent"] == 1
    assert billed(polar_sandbox) == ids(0, 1, 2)


def test_standard_input_is_known_again_by_what_comes(
    polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path
) -> None:
    """``otel-polar replay - < FILE``, twice."""
    content = lines([a_request(0), a_request(1)]).decode()
    file = tmp_path / "spans.json"
    file.write_text(content)

    assert report("-", env=env, stdin=content)["sent"] == 2
    assert report("-", env=env, stdin=content)["spans"] == 0
    assert report(file, env=env)["spans"] == 0
    assert len(polar_sandbox.events()) == 2


def test_it_bills_without_a_standard_error(env: dict[str, str], tmp_path: Path, polar_sandbox: SandboxServer) -> None:
    """``2>&-``, as some supervisors start what they run: it ended with 1 before it had sent anything."""
    file = tmp_path / "spans.json"
    file.write_bytes(lines([a_request(0)]))
    command = shlex.join([sys.executable, "-m", "otel_polar", "replay", "--yes", str(file)])

    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} 2>&-"],
        env={**os.environ, **env, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )

    assert done.returncode == ACCEPTED
    assert billed(polar_sandbox) == ids(0)


def test_old_calls_are_told_of(polar_sandbox: SandboxServer, env: dict[str, str], tmp_path: Path) -> None:
    """The ledger has forgotten whether they were billed; they have the prices of their time."""
    file = tmp_path / "spans.json"
    file.write_bytes(lines([a_request(0, at_unix_nano=time.time_ns() - 40 * 86_400 * 10**9)]))

    result = replay(file, env=env)

    assert result.returncode == ACCEPTED
    assert "1 span about models is older than 30 days" in result.stderr
    assert len(polar_sandbox.events()) == 1
