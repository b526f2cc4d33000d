"""From disk to Polar: a call that was recorded is delivered once, whatever fails in between.

::

    pipeline.py   record → wake → deliver; fork, force_flush, shutdown
    worker.py     one step of delivery, and the thread that repeats it
    outbox.py     the durable queue and ledger: one SQLite file, one connection, one lock
    files.py      which process owns which outbox file; adopting those whose owner is gone
    record.py     a ModelCall as the JSON that lies in the outbox, and back
    polar.py      polar-sdk behind one function; every outcome sorted into a few kinds
    notices.py    say what is wrong once, and once again when it is over
"""
