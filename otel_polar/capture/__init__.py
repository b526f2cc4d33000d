"""Inside an application: spans in, and who pays for them.

::

    processor.py     PolarSpanProcessor: on_start remembers who pays, on_end records the call
    attribution.py   bill_to, and the identity of a span at its start
"""
