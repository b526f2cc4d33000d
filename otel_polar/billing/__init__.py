"""Span in, event out: the whole of billing without a clock, a file, a socket, a thread, a log or an environment.

::

    ReadableSpan ─▶ SpanRecord ─▶ ModelCall | NotBilled ─▶ one of several spans ─▶ Price | Unpriced ─▶ UsageEvent
       span.py        reading.py, usual.py                  selection.py,           pricing.py          event.py
                      operation.py   what the span is       merging.py              reported_cost.py    markup.py
                      attributes.py  what is on it                                  rate_card.py        metadata.py
                      counts.py      its tokens                                     catalog/
                      customer.py    who pays                                       rates.py, money.py

``measurement`` reads usage that is no call to a model, ``agents`` which spans are runs around such calls.

What is read is in tables, with a source each: ``semconv`` (names of attributes), ``operation`` (what is one request),
``scopes`` (what an emitter means by a number, and where it sits), ``provider``, ``provider_usage``, ``models``,
``response_id``. ``explain`` shows for any span what came of it.

Everything here is a function of its arguments, so every rule about money can be a table in a test.
"""
