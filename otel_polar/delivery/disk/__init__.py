"""What lies on disk: the journal, the outbox with its ledger, whose a file is, and how it comes through anything.

::

    storage.py     where this process's calls lie: its file, and the memory that stands in for it
    files.py       which process owns which outbox file
    locks.py       the lock beside each of them
    beside.py      small files beside them, for what other processes have to know
    transfer.py    what one outbox holds, carried over to another
    making.py      a new file is there as a whole, or not at all
    damage.py      what SQLite does not tell of a damaged file
    filesystems.py whether the files lie on another machine
    room.py        room on the disk, for a service whose senders keep what it refuses
    outbox.py      the durable queue and ledger
    journal.py     where a call is written down first
    lines.py       what is written in it
    taking_in.py   from the journal into the database
    database.py    one SQLite connection under one lock
    statements.py  its tables, and what is asked of them
    rows.py        what lies in it, and the states a call can be in
    reasons.py     why, in a few fixed words
    record.py      a call as the JSON that lies in the outbox, and back
    in_use.py      what a fork has to wait for
    inherited.py   files that a forked child neither closes nor opens as they are
    glance.py      another process's file, at one moment
    elsewhere.py   what such files have of some calls
"""
