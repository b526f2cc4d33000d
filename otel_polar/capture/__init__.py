"""Inside an application: spans in, and who pays for them.

::

    processor.py     PolarSpanProcessor: on_start remembers who pays, on_end records the call
    attribution.py   bill_to
    identity.py      what is known about who pays, and which word counts
    blocks.py        the bill_to blocks entered here, and contexts that come back after their block was left
"""
