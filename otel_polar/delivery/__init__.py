"""From disk to Polar: a call that was recorded is delivered once, whatever fails in between.

::

    pipeline.py    record → wake → deliver; force_flush, shutdown, and a fresh start in a forked child
    slow_parts.py  what it makes when that is first needed, because importing it is slow
    worker.py      the thread that repeats the steps of delivery
    step.py        one step: decide what has rested, send one batch, say how long there is nothing to do
    forks.py       asks before a fork, and tells after it
    notices.py     say what is wrong once, and once again when it is over
    giving_way.py  the delivery thread works in slices, so that callers hardly notice it
    outcome.py     how a request to Polar can end
    disk/          what lies there: the journal, the outbox with its ledger, whose a file is
    prices/        what says what a call costs
    metrics/       what a pipeline tells of itself
    deciding/      which recorded spans are one call, and what becomes of it
    sending/       events to Polar
    orders/        what a person wants done with calls in the ledger
    looking/       the outbox files of other processes, read while those go on
"""
