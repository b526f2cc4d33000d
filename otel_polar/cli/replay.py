"""``otel-polar replay``: bill the spans in stored OTLP files."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Final

import typer

from otel_polar.cli.directory import outbox_directory
from otel_polar.cli.extras import needs_extra
from otel_polar.cli.output import Ending, confirm, end, fail, failing, print_json, say, working
from otel_polar.cli.prices import price_book
from otel_polar.cli.replay_report import ReplayReport, as_object, ending_of, show
from otel_polar.cli.times import read_time
from otel_polar.cli.words import counted
from otel_polar.delivery.deciding.call_reader import CallReader
from otel_polar.delivery.disk import beside
from otel_polar.delivery.disk.elsewhere import Elsewhere
from otel_polar.delivery.metrics.tally import NOT_BILLED
from otel_polar.delivery.notices import Notices
from otel_polar.delivery.pipeline import Pipeline
from otel_polar.errors import ConfigError
from otel_polar.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otel_polar.service.stored.files import StoredFile
    from otel_polar.service.stored.replaying import Replaying
    from otel_polar.service.stored.spans import StoredSpans

_POLL_S: Final = 0.2
_MICROS: Final = 1_000_000


def replay(
    files: Annotated[
        list[str], typer.Argument(help="Files or folders of them; `-` for standard input.", metavar="FILE...")
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and price everything, and only say it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Read files again that have been replayed.")] = False,
    since: Annotated[
        str | None, typer.Option(help="Spans that began then or later: `2026-11-20`, `2026-11-20T08:00:00Z`, `7d` ago.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Spans that began before.")] = None,
    service: Annotated[str | None, typer.Option(help="Spans of that `service.name`.", metavar="NAME")] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.0, help="Seconds for sending.")] = 300.0,
    force: Annotated[
        bool, typer.Option("--force", help="Also if the application makes its events by other options than these.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> None:
    """Bill the model calls among the spans in stored OTLP files, each once.

    Reads what the Collector's file exporter writes, as JSON lines or as protobuf (`format: proto`), one JSON document
    or protobuf message, and gzip or zstd of each. The settings are those of the processor and the service; who pays is
    told by attributes.

    Without `--yes` it says first, by customer and model, what there is to bill, and asks. Calls are recorded in an
    outbox file of its own, then sent: an application may run with the same outbox directory meanwhile.

    Running it twice bills once, and what was billed live is not billed again, as far as it has the same ids: the
    provider's id of the answer, else trace id, span id and start. Whatever interrupts it, run it again, and it goes on.
    A file is known again by its content.

    Calls have the prices of their time. But Polar counts an event in the billing period in which it receives it. Of
    calls older than the ledger (OTEL_POLAR_RETENTION_DAYS) only Polar still knows whether they were billed.

    Ends with 0 if everything is sent; 1 if something is held, left, waiting or damaged; 2 if the command line is off;
    3 if it could not be done; 130 after Ctrl-C.

    Example: `otel-polar replay --dry-run /var/spool/otel/` to see, then without `--dry-run`

    Example: `kubectl cp collector:/spans.jsonl - | otel-polar replay --yes -`
    """
    # What is wrong is told at the end, once and with its numbers.
    logging.getLogger("otel_polar").addHandler(logging.NullHandler())
    with failing("replay"):
        report = _Command(
            files, since=since, until=until, service=service, again=again, force=force, timeout_s=timeout_s
        ).run(dry_run=dry_run, yes=yes, as_json=as_json)
    if as_json:
        print_json(as_object(report))
    else:
        show(report)
    end(ending_of(report))


class _Command:
    """One run of it."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        since: str | None,
        until: str | None,
        service: str | None,
        again: bool,
        force: bool,
        timeout_s: float,
    ) -> None:
        with needs_extra("cli", "serve"):
            from otel_polar.service.stored.files import files_in  # noqa: PLC0415 - protobuf is an extra
            from otel_polar.service.stored.spans import Filters  # noqa: PLC0415 - as above
        self._settings = Settings.load()
        self._filters = Filters(_unix_nano("--since", since), _unix_nano("--until", until), service)
        self._is_again, self._timeout_s, self._is_forced = again, timeout_s, force
        self._files = files_in(names)
        self._refused: list[tuple[str, str]] = []

    def run(self, *, dry_run: bool, yes: bool, as_json: bool) -> ReplayReport:
        """Do what was asked for."""
        if not dry_run and not yes and any(file.path is None for file in self._files):
            fail("replay", "standard input can be read once only: give --yes, or --dry-run to see", Ending.MISUSED)
        if not dry_run and not yes and not sys.stdin.isatty():
            confirm("The calls in these files are to be billed.", yes=False)
        directory = None if dry_run and self._settings.access_token is None else self._directory()
        self._look_at_files()
        if dry_run:
            return self._preview(directory)
        assert directory is not None  # noqa: S101 - without one, there was an error
        if not self._is_forced and (differing := beside.other_options(directory, self._settings)):
            raise ConfigError(
                f"the application makes its events by other options, and these would be frozen: {'; '.join(differing)}."
                " Set them here as there, or give --force"
            )
        if not yes:
            preview = self._preview(directory)
            show(preview, to_stderr=as_json)
            calls = sum(line.calls for line in preview.sums.values())
            if not confirm(f"Bill {counted(calls, 'call')}?", yes=False):
                end(Ending.WELL)
        return self._bill(directory)

    def _directory(self) -> Path:
        return outbox_directory(self._settings, must_exist=False).path

    def _look_at_files(self) -> None:
        """Refuse what cannot be read before anything is billed; of folders, leave it out."""
        from otel_polar.service.stored.messages import form_of  # noqa: PLC0415 - as above
        from otel_polar.service.stored.plain import StoredFileError  # noqa: PLC0415 - as above

        chosen: list[StoredFile] = []
        for file in self._files:
            if file.path is None:
                chosen.append(file)
                continue
            try:
                plain = file.open()
                try:
                    form_of(plain)
                finally:
                    plain.close()
            except StoredFileError as error:
                if file.is_named:
                    raise
                self._refused.append((file.name, str(error)))
                continue
            chosen.append(file)
        self._files = chosen

    def _spans(self, engine: Pipeline | CallReader, report: ReplayReport) -> StoredSpans:
        from otel_polar.service.stored.spans import StoredSpans  # noqa: PLC0415 - as above

        report.retention_days = self._settings.retention_days
        return StoredSpans(engine, self._settings, self._filters, old_before=time.time() - self._settings.retention_s)

    def _new_report(self, *, is_dry_run: bool) -> ReplayReport:
        return ReplayReport(is_dry_run=is_dry_run, left_out=list(self._refused))

    def _preview(self, directory: Path | None) -> ReplayReport:
        from otel_polar.service.stored.preview import Preview  # noqa: PLC0415 - as above
        from otel_polar.service.stored.replaying import Replaying  # noqa: PLC0415 - as above

        report = self._new_report(is_dry_run=True)
        notices, counts = Notices(), Counter[str]()
        elsewhere = None if directory is None else Elsewhere(directory)
        reader = CallReader(self._settings, notices, counts)
        spans = self._spans(reader, report)
        price = price_book(self._settings).price
        with ExitStack() as stack:
            preview = stack.enter_context(Preview.of(self._settings, price, reader, elsewhere))
            advance = stack.enter_context(working("Reading", self._total_bytes() or None, unit="B"))
            self._read(Replaying(spans, preview.commit, filters=self._filters, advance=advance), report)
            preview.finish()
            report.sums, report.held = preview.sums, dict(preview.held)
        _count(report, spans, counts, elsewhere)
        return report

    def _bill(self, directory: Path) -> ReplayReport:
        from otel_polar.service.stored.ledger import recorded_since  # noqa: PLC0415 - as above
        from otel_polar.service.stored.positions import Positions  # noqa: PLC0415 - as above
        from otel_polar.service.stored.replaying import Replaying  # noqa: PLC0415 - as above

        report = self._new_report(is_dry_run=False)
        began_at = time.time()
        with Positions.of(directory) as positions:
            elsewhere = Elsewhere(directory, lambda: [outbox.path for outbox in pipeline.outboxes])
            pipeline = Pipeline(self._settings, durability="FULL", elsewhere=elsewhere, is_guest=True)
            spans = self._spans(pipeline, report)
            try:
                with working("Reading", self._total_bytes() or None, unit="B") as advance:
                    self._read(
                        Replaying(
                            spans,
                            pipeline.commit,
                            filters=self._filters,
                            positions=positions,
                            is_again=self._is_again,
                            advance=advance,
                        ),
                        report,
                    )
                self._send(pipeline)
            except KeyboardInterrupt:
                report.is_interrupted = True
                say("Stopping. What is recorded is kept…")
            finally:
                pipeline.shutdown()
            found = recorded_since(pipeline.outboxes, began_at)
            report.sent, report.held = found.sent, found.held
            report.waiting = sum(outbox.waiting() for outbox in pipeline.outboxes)
            report.known_to_polar = pipeline.telemetry.tally.ends().get(("sent", "Polar had it already"), 0)
            _count(report, spans, pipeline.counts, elsewhere)
        return report

    def _read(self, replaying: Replaying, report: ReplayReport) -> None:
        for file in self._files:
            report.files.append(replaying.replay(file))

    def _send(self, pipeline: Pipeline) -> None:
        """Wait until everything is sent, or the time is over, with a bar that shows it."""
        left = total = sum(outbox.waiting() for outbox in pipeline.outboxes)
        thread = threading.Thread(target=pipeline.force_flush, args=(self._timeout_s,), daemon=True)
        thread.start()
        with working("Sending", total, unit="calls") as advance:
            while thread.is_alive():
                thread.join(_POLL_S)
                if sys.stderr is not None and sys.stderr.isatty():
                    now = sum(outbox.waiting() for outbox in pipeline.outboxes)
                    advance(max(0, left - now))
                    left = min(left, now)

    def _total_bytes(self) -> int:
        return sum(file.size_bytes for file in self._files)


def _count(report: ReplayReport, spans: StoredSpans, counts: Counter[str], elsewhere: Elsewhere | None) -> None:
    prefix = f"{NOT_BILLED}: "
    report.not_billed = {key.removeprefix(prefix): n for key, n in counts.items() if key.startswith(prefix)}
    report.outside, report.old = spans.outside, spans.old
    report.known_here, report.known_elsewhere = counts["known here"], counts["known elsewhere"]
    report.duplicates = counts["duplicate"] - counts["known here"]
    report.dropped, report.failed = counts["dropped: unattributed"], counts["failed"]
    if elsewhere is not None:
        report.unreadable_outboxes = sorted(elsewhere.unreadable)


def _unix_nano(option: str, text: str | None) -> int | None:
    return None if text is None else round(read_time(option, text, time.time()) * _MICROS) * 1_000
