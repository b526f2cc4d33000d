"""What the instrumentations of the ``openai`` client leave out: usage nobody asked for, parts of it, whole endpoints.

::

    hooks.py      OpenAIHooks: put in place and taken away again
    endpoints.py  which requests cost something
    exchange.py   one request and its answer, and the span they belong to
    answers.py    what an answer says, as span attributes
    bodies.py     an answer that is read by the application later, watched while it goes by
    websockets.py answers of the Realtime and the Responses API that come over a WebSocket
    estimate.py   tokens of a stream that was cut short, for those who want a guess

Everything happens in two methods of the client's base class through which every request of every endpoint goes, sync or
async, plain, streamed or raw. They lie below what instrumentations wrap, so the order of installation does not matter.
"""

from otel_polar.capture.openai.hooks import OpenAIHooks

__all__ = ["OpenAIHooks"]
