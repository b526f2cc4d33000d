"""An ASGI application as each of uvicorn's workers imports it; there is no process before them that bills."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from tests.workers.application import call, start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

processor = start()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Shut down in good order: uvicorn ends its workers by the signal they were sent, without any exit handler."""
    yield
    processor.shutdown()


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def answer(user: str) -> PlainTextResponse:
    """One call on the event loop's thread."""
    call(user)
    return PlainTextResponse(str(os.getpid()))


@app.get("/thread")
def answer_in_thread(user: str) -> PlainTextResponse:
    """One call on a thread of the pool."""
    call(user)
    return PlainTextResponse(str(os.getpid()))


@app.get("/die")
async def die(user: str) -> None:
    """One call, and the process is killed in the middle of the request."""
    call(user)
    os.kill(os.getpid(), signal.SIGKILL)
