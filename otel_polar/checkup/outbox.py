"""What waits on disk: whether it can be written, who owns it, what waits for Polar and what for a person.

It is read beside the processes that own the files; nothing is locked or changed.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_polar.checkup.finding import Finding, counted, note, problem, unknown, warning, well
from otel_polar.delivery.disk.files import directory_name
from otel_polar.delivery.disk.filesystems import filesystem_of, network_filesystem
from otel_polar.delivery.disk.room import KEPT_FREE_BYTES
from otel_polar.delivery.disk.rows import State
from otel_polar.delivery.looking.census import largest, needs_person
from otel_polar.delivery.looking.finding import Wanted
from otel_polar.delivery.looking.view import OutboxView
from otel_polar.errors import OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_polar.delivery.disk.outbox import Outbox
    from otel_polar.delivery.looking.census import Census, Sum
    from otel_polar.settings import Settings

LATE_S: Final = 900.0
"""The delivery tries at least once a minute."""

LITTLE_ROOM_BYTES: Final = 256 * 2**20
_SHOWN: Final = 5
_OTHERS_MAY: Final = stat.S_IRWXG | stat.S_IRWXO
_MOUNTS: Final = Path("/proc/self/mountinfo")
_WAITING: Final = frozenset({State.RECORDED, State.READY})

_TO_TYPE: Final[Mapping[State, tuple[str, str]]] = {
    # Why it matters, and what to type.
    State.UNPRICED: (
        "They are billed once a price is known: on your rate card, or in a newer price list.",
        "otel-polar outbox list --state unpriced    # with a price on the rate card: otel-polar outbox reprice",
    ),
    State.UNATTRIBUTED: (
        "Nobody is named who pays. They are kept for retention_days, and then forgotten.",
        "otel-polar outbox list --state unattributed    # then: otel-polar outbox assign",
    ),
    State.UNMETERED: (
        "The spans do not tell what was used, so there is nothing to bill.",
        "otel-polar outbox list --state unmetered    # then: otel-polar outbox show ID",
    ),
    State.UNBUILDABLE: (
        "A function of yours raised, or what lies on disk is damaged.",
        "otel-polar outbox list --state unbuildable    # mend it, then: otel-polar outbox retry",
    ),
    State.REJECTED: (
        "Polar refused these events themselves, and is not asked again.",
        "otel-polar outbox list --state rejected    # mend what Polar names, then: otel-polar outbox retry",
    ),
}


def outbox_path(settings: Settings) -> Path | None:
    """The directory of these settings; ``None`` if they name none."""
    if settings.outbox_dir is None or settings.access_token is None:
        return None
    return settings.outbox_dir / directory_name(settings.server, settings.base_url, settings.access_token)


def outbox_findings(
    settings: Settings, now: float, *, own: Sequence[Outbox] = (), may_read: bool = True
) -> Iterator[Finding]:
    """Look at the directory, and at what lies in it.

    Args:
        settings: which directory.
        now: Unix seconds.
        own: outboxes that this very process has open; then theirs are counted, by themselves, and no other file is
            read, because SQLite shares what it has opened within a process.
        may_read: this process has no outbox file open. If it has, and they are not its *own*, they are of others.
    """
    path = outbox_path(settings)
    if settings.access_token is None:
        # Which is said already; directories are one to a token.
        return
    if path is None:
        yield problem(
            "outbox.directory",
            "no directory is named: neither outbox_dir (OTEL_POLAR_OUTBOX_DIR) nor XDG_STATE_HOME nor HOME is set",
            why="Calls are kept in memory only, and lost with the process.",
            do=("export OTEL_POLAR_OUTBOX_DIR=/var/lib/otel-polar",),
        )
        return
    yield from _place(path)
    if own:
        yield from _own(own)
    elif not may_read:
        yield unknown(
            "outbox.calls",
            "what waits is not counted: something else in this process has an outbox open",
            why="A file must not be read by the process that writes it.",
            do=("otel-polar doctor --only outbox    # in a process of its own",),
        )
    elif path.exists():
        try:
            yield from _content(OutboxView(path), now)
        except (OutboxError, OSError) as error:
            yield unknown("outbox.calls", f"what waits in {path} cannot be read: {error}")
    if not own and may_read:
        yield from _elsewhere(path)


def sent_to(settings: Settings, user: str) -> int:
    """How many calls of a customer the outbox knows to have been sent."""
    path = outbox_path(settings)
    if path is None or not path.exists():
        return 0
    try:
        return sum(1 for _ in OutboxView(path).calls(Wanted(states=frozenset({State.SENT}), customer=user)))
    except (OutboxError, OSError):
        return 0


def _place(path: Path) -> Iterator[Finding]:
    there = next(each for each in (path, *path.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield problem(
            "outbox.directory",
            f"{path} cannot be {'written' if there == path else 'made'}: "
            + (f"{there} is no directory" if not there.is_dir() else f"this user may not write in {there}"),
            why="Calls are kept in memory only, and lost with the process.",
            do=(f"export OTEL_POLAR_OUTBOX_DIR=...    # a directory of the user {_user()}",),
        )
        return
    if there == path:
        yield well("outbox.directory", f"{path} can be written")
    else:
        yield note(
            "outbox.directory",
            f"there is no {path} yet; the application makes it when it starts",
            why="If one is running, it has other settings than these: token, server or outbox_dir.",
        )
    if there == path and path.stat().st_mode & _OTHERS_MAY:
        yield warning(
            "outbox.mode",
            f"other users of this machine may look into {path}",
            why="It says who your customers are and what they used.",
            do=(f"chmod 700 {path}",),
        )
    yield from _file_system(there)
    disk = os.statvfs(there)
    free_bytes = disk.f_bavail * disk.f_frsize
    if free_bytes < LITTLE_ROOM_BYTES:
        say = problem if free_bytes < KEPT_FREE_BYTES else warning
        yield say(
            "outbox.room",
            f"{free_bytes // 2**20} MiB are free on the disk of {there}",
            why="On a full disk calls are kept in memory only, and lost with the process.",
            do=(f"df -h {there}",),
        )


def _file_system(there: Path) -> Iterator[Finding]:
    if (kind := network_filesystem(there)) is not None:
        yield problem(
            "outbox.network",
            f"{there} is on a network file system ({kind})",
            why="Locks and SQLite are not reliable there: two machines may take one file for theirs, and damage it.",
            do=("export OTEL_POLAR_OUTBOX_DIR=...    # a directory on a disk of this machine",),
        )
        return
    try:
        kind = filesystem_of(str(there.resolve()), _MOUNTS.read_text(errors="surrogateescape"))
    except OSError:
        return
    if kind in {"tmpfs", "ramfs"}:
        yield warning(
            "outbox.memory",
            f"{there} is in memory ({kind})",
            why="What waits there is lost when the machine or the container starts again.",
            do=("export OTEL_POLAR_OUTBOX_DIR=...    # a directory on a disk, in a container a volume",),
        )
    elif kind == "overlay":
        yield note(
            "outbox.container",
            f"{there} is in the container itself",
            why="What waits there is lost when the container is removed; a volume stays.",
        )


def _content(view: OutboxView, now: float) -> Iterator[Finding]:
    census = view.counts()
    files = view.files()
    running = sum(file.is_owned for file in files)
    sent = census.states.get(State.SENT)
    calls = sum(each.calls for each in census.states.values())
    yield note(
        "outbox.calls",
        f"{counted(len(files), 'file')}, {running} of them of processes that are running;"
        f" {counted(calls, 'call')}, {sent.calls if sent else 0} of them sent",
    )
    for name, trouble in sorted({**{file.path.name: file.trouble for file in files}, **view.troubles}.items()):
        if trouble is not None:
            yield problem("outbox.damaged", f"{name}: {trouble}", why="Calls in it may be lost to billing.", do=_KEEP)
    for path in view.put_aside():
        yield problem(
            "outbox.damaged",
            f"{path.name} was damaged, and put aside",
            why="Calls in it may be lost to billing.",
            do=_KEEP,
        )
    yield from _waiting(census, running, now)
    yield from _held(census)


_KEEP: Final = ("# keep a copy of the file, and see to the disk",)


def _waiting(census: Census, running: int, now: float) -> Iterator[Finding]:
    sums = [census.states[state] for state in _WAITING if state in census.states]
    if not sums:
        yield well("outbox.backlog", "nothing waits to be sent")
        return
    calls = sum(each.calls for each in sums)
    oldest_s = now - min(each.oldest_at for each in sums if each.oldest_at is not None)
    what = f"{counted(calls, 'call')} to be sent, the oldest waiting for {oldest_s / 60:.0f} min"
    reasons = [reason for (state, reason), _ in largest(census.reasons, _SHOWN) if state in _WAITING]
    if not running:
        yield warning(
            "outbox.backlog",
            f"{what}, and no application is running that sends them",
            why="The next one that starts does, and so does the command.",
            do=("otel-polar outbox send",),
        )
    elif oldest_s > LATE_S:
        yield warning(
            "outbox.backlog",
            what + (f": {reasons[0]}" if reasons else ""),
            why="The delivery tries at least once a minute; what it says is in the log of the application.",
            do=("otel-polar outbox list --state ready",),
        )
    else:
        yield well("outbox.backlog", what)


def _held(census: Census) -> Iterator[Finding]:
    for (state, reason), held in largest(census.reasons, len(census.reasons)):
        if needs_person(state):
            yield _held_for(state, reason, held)
    if census.is_partial:
        yield note("outbox.held", "there are more reasons than can be told apart; these are some of them")


def _held_for(state: State, reason: str, held: Sum | int) -> Finding:
    why, to_type = _TO_TYPE[state]
    calls = held if isinstance(held, int) else held.calls
    word = state.value.removeprefix("held: ")
    return problem(f"outbox.{word}", f"{calls} {word}: {reason}", why=why, do=(to_type,))


def _own(own: Sequence[Outbox]) -> Iterator[Finding]:
    for outbox in own:
        place = "in memory" if outbox.path is None else f"in {outbox.path.name}"
        try:
            counts = outbox.counts()
            held = {state: outbox.reasons(state) for state in counts if needs_person(state)}
        except OutboxError as error:
            yield unknown("outbox.calls", f"what is {place} cannot be read: {error}")
            continue
        told = ", ".join(f"{count} {state.value.removeprefix('held: ')}" for state, count in counts.items())
        yield note("outbox.calls", f"{place}: {told or 'no calls'}")
        if outbox.path is None and any(counts.get(state) for state in _WAITING):
            yield problem(
                "outbox.memory_only",
                "calls are in memory, because the disk could not be written",
                why="They are lost with the process.",
                do=("# the log says why; df -h",),
            )
        for state, reasons in held.items():
            for reason, count in reasons.items():
                yield _held_for(state, reason, count)


def _elsewhere(path: Path) -> Iterator[Finding]:
    for other in sorted(path.parent.glob("*-*/")):
        if other == path:
            continue
        try:
            census = OutboxView(other).counts(Wanted(states=_WAITING))
        except (OutboxError, OSError):
            continue
        if calls := sum(each.calls for each in census.states.values()):
            yield warning(
                "outbox.elsewhere",
                f"{counted(calls, 'call')} to be sent in {other}, for another server or access token",
                why="Nobody sends them with these settings: only a person knows which organization they are for.",
                do=("POLAR_ACCESS_TOKEN=... POLAR_SERVER=... otel-polar outbox send    # those of that time",),
            )


def _user() -> str:
    return str(os.geteuid())
