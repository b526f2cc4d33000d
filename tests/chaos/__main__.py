"""Many storms: ``python -m tests.chaos --seeds 20 --first 0 --jobs 2``. Ends with 1 if one did harm, and names it."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

from tests.chaos.nursery import Nursery
from tests.chaos.storm import Report, Storm
from tests.chaos.verdict import in_short


def main() -> int:
    """Run them, say how each went, and sum up."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many storms")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="otel-polar-chaos-"))
    with ExitStack() as stack:
        nurseries: SimpleQueue[Nursery] = SimpleQueue()
        for _ in range(options.jobs):
            nurseries.put(stack.enter_context(Nursery()))

        def run(seed: int) -> Report:
            directory = place / str(seed)
            directory.mkdir()
            nursery = nurseries.get()
            try:
                report = Storm(seed, directory, nursery).run()
            finally:
                nurseries.put(nursery)
            _say(report, directory)
            if not report.problems:
                shutil.rmtree(directory)
            return report

        with ThreadPoolExecutor(options.jobs) as jobs:
            reports = list(jobs.map(run, range(options.first, options.first + options.seeds)))
    if not any(report.problems for report in reports):
        place.rmdir()
    return _sum_up(reports)


def _say(report: Report, directory: Path) -> None:
    verdict = f"HARM in {directory}\n{in_short(report.problems)}" if report.problems else "well"
    ends = ", ".join(f"{count} {end}" for end, count in sorted(report.ends.items()))
    sys.stdout.write(
        f"seed {report.seed}: {report.seconds:.1f} s, {report.calls} calls ({report.open_calls} cut short,"
        f" {report.rejected} rejected), {report.processes} processes ({ends}),"
        f" {report.turns.total()} requests: {verdict}\n",
    )
    sys.stdout.flush()


def _sum_up(reports: list[Report]) -> int:
    ends, turns = Counter[str](), Counter[str]()
    for report in reports:
        ends.update(report.ends)
        turns.update(report.turns)
    harmed = [report.seed for report in reports if report.problems]
    calls, open_calls = sum(report.calls for report in reports), sum(report.open_calls for report in reports)
    rejected, processes = sum(report.rejected for report in reports), sum(report.processes for report in reports)
    say = [
        f"{len(reports)} storms, {processes} processes, {calls} calls: {open_calls} cut short, {rejected} rejected",
        "ends: " + ", ".join(f"{count} {end}" for end, count in ends.most_common()),
        f"{turns.total()} requests: " + ", ".join(f"{count} {kind}" for kind, count in turns.most_common()),
        f"harm was done by seeds {harmed}" if harmed else "no harm was done",
    ]
    sys.stdout.write("\n".join(say) + "\n")
    return 1 if harmed else 0


sys.exit(main())
