"""Span in, event out: the whole of billing without a clock, a file, a socket, a thread, a log or an environment.

::

    ReadableSpan ─▶ SpanRecord ─▶ ModelCall | NotBilled ─▶ Cost | Unpriced ─▶ UsageEvent
       span.py                    call.py, usage.py,       pricing.py,        event.py
                                  customer.py              catalog.py

Everything here is a function of its arguments, so every rule about money can be a table in a test.
"""
