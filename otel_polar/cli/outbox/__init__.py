"""``otel-polar outbox``: the calls that lie on disk, looked at and changed while the application runs.

::

    app.py        the table of its commands
    options.py    which calls are meant: options and arguments that several commands have
    states.py     what each state means, and what to type
    shown.py      a call as a row of a table, and as JSON
    listing.py    outbox list
    show.py       outbox show
    export.py     outbox export
    changing.py   what the commands that change calls have in common
    meant.py      which calls they are meant for
    which.py      shown before a person agrees
    outcomes.py   what became of them
    flushing.py   sending from the command itself
    assign.py     outbox assign
    reprice.py    outbox reprice
    release.py    outbox release
    retry.py      outbox retry
    discard.py    outbox discard
    send.py       outbox send
"""
