"""The status page: what waits, what Polar says, what is held and what to do about it, and what was spent.

::

    Source ──▶ Watcher (a thread of its own) ──▶ what it saw last ──▶ /status.json ──▶ page.js
    logger ──▶ LogLines ─────────────────────────────┘

A request never touches the outbox: it is answered from memory, with what the watcher saw. The watcher reads the ledger
in short looks with pauses between them, because the delivery thread shares its connection, and only while somebody has
the page open.

Names of customers and models, reasons and lines of the log hold text of strangers. It is made fit to be shown here
(``shown``), and written as text by the page, never as markup.
"""

from __future__ import annotations

from otel_polar.service.page.app import StatusPage, create_page
from otel_polar.service.page.source import Source

__all__ = ["Source", "StatusPage", "create_page"]
