"""A web service that bills each user for the LLM calls made for them: session → ``bill_to`` → call.

Needs ``pip install . openai fastapi python-multipart uvicorn`` in a clone, and
POLAR_ACCESS_TOKEN, OPENAI_API_KEY and SESSION_SECRET in the environment. Run with ``uvicorn fastapi_app:app``, then::

    curl -c jar -X POST localhost:8000/login/user_42
    curl -b jar -X POST localhost:8000/chat -d question='What is a usage event?'
    curl -b jar -X POST localhost:8000/stream -d question='And once more, slowly'

The user comes from the service's own session, after it was authenticated, and never from a header the caller chooses.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from opentelemetry.sdk.trace import TracerProvider
from starlette.middleware.sessions import SessionMiddleware

from otel_polar import PolarInstrumentor, bill_to

MODEL = "gpt-4o-mini"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Set up tracing and the client in each worker, and send what waits when the worker ends."""
    provider = TracerProvider()
    PolarInstrumentor().instrument(tracer_provider=provider)
    async with AsyncOpenAI() as client:
        app.state.openai = client
        yield
    PolarInstrumentor().uninstrument()
    provider.shutdown()


app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionMiddleware, secret_key=os.environ["SESSION_SECRET"])


def current_user(request: Request) -> str:
    """The user of this session."""
    user_id = request.session.get("user_id")
    if user_id is None:
        raise HTTPException(status_code=401, detail="log in first")
    return str(user_id)


User = Annotated[str, Depends(current_user)]


@app.post("/login/{user_id}")
async def login(request: Request, user_id: str) -> dict[str, str]:
    """Stand-in for a real login."""
    request.session["user_id"] = user_id
    return {"user_id": user_id}


@app.post("/chat")
async def chat(request: Request, user_id: User, question: Annotated[str, Form()]) -> dict[str, str | None]:
    """Answer at once."""
    with bill_to(user_id, endpoint="chat"):
        answer = await request.app.state.openai.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": question}],
        )
    return {"answer": answer.choices[0].message.content}


@app.post("/stream")
async def stream(request: Request, user_id: User, question: Annotated[str, Form()]) -> StreamingResponse:
    """Answer word by word. Who pays is decided where the call starts, so the block ends before the stream does."""
    with bill_to(user_id, endpoint="stream"):
        chunks = await request.app.state.openai.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": question}],
            stream=True,
        )

    async def words() -> AsyncIterator[str]:
        async for chunk in chunks:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return StreamingResponse(words(), media_type="text/plain")
