"""Once a day, from cron: is everything that the last two days used on Polar, once and as it was?

Needs what the application has in its environment (POLAR_ACCESS_TOKEN with the scopes ``events:read`` and
``meters:read`` as well, POLAR_SERVER, OTEL_POLAR_OUTBOX_DIR), and may run beside it. Prints one line, leaves a row for
each difference in ``differences.csv`` in RECONCILE_DIR (default: here), and ends with the command's own code: 0 equal,
1 differences, 3 it could not be compared. ::

    17 6 * * *  cd /srv/app && python reconcile.py || mail -s "Polar and the ledger differ" ops@example.com < /dev/null
"""

import json
import os
import subprocess
import sys
from pathlib import Path

differences = Path(os.environ.get("RECONCILE_DIR", ".")) / "differences.csv"
done = subprocess.run(  # noqa: S603 - its own command
    [sys.executable, "-m", "otel_polar", "reconcile", "--since", "2d", "--json", "--csv", str(differences)],
    stdout=subprocess.PIPE,  # what it says to people goes where this program's words go
    check=False,
)
if done.stdout:
    report = json.loads(done.stdout)
    kinds = ("missing_there", "missing_here", "doubled_there", "differing", "unexpected_there")
    found = ", ".join(f"{report['counts'][kind]} {kind}" for kind in kinds if report["counts"][kind])
    print(f"{report['counts']['equal']} events equal, {report['here']['cost_usd']} USD; {found or 'nothing differs'}")
sys.exit(done.returncode)
