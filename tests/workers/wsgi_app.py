"""A WSGI application as gunicorn imports it, in its master or in each worker: with the processor comes a first call."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from tests.workers.application import call, start

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

start()
call("importer")


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Make one call for the user in the query, and answer by whom; at ``/die`` be killed in the middle of it."""
    (user,) = parse_qs(environ["QUERY_STRING"])["user"]
    call(user)
    if environ["PATH_INFO"] == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
