"""From disk to Polar: a call that was recorded is delivered once, whatever fails in between.

::

    pipeline.py   record → wake → deliver; force_flush, shutdown, and a fresh start in a forked child
    forks.py      asks before a fork, and tells after it
    worker.py     the thread that repeats the steps of delivery
    step.py       one step: decide what has rested, send one batch, say how long there is nothing to do
    call_reader.py  from a span to the call that is recorded of it
    intake.py     which recorded spans are one call, and from the intake to the ledger
    window.py     the head of the intake, each row read once
    recent.py     what was decided in the last minutes, of which another span may still come
    scopes_seen.py  whether two instrumentations tell of the calls to one provider
    elsewhere.py  what other processes have settled already
    decide.py     a call becomes an event with a frozen body, or is held for a reason
    price_book.py  what says its price, and what makes that change
    card_file.py  the rate card, read again when its file changes
    patience.py   a price function that keeps failing is left alone for a while
    catalog_update.py  newer list prices, fetched and looked at
    telemetry.py  what a pipeline tells of itself as metrics
    instruments.py  what they are called, and which number each of them reads
    tally.py      what became of calls, in plain numbers
    reasons.py    why, in a few fixed words
    advice.py     and what to do about it
    backlog.py    what waits, and how old the oldest call is
    redating.py   events from the future
    progress.py   how far the sending of a backlog has come, for the log
    giving_way.py the delivery thread works in slices, so that callers hardly notice it
    admission.py  an event waits until Polar has its customer, if that is asked for
    known_customers.py  ... which is remembered
    asking.py     ... and asked
    sender.py     batches, waits, and events that fail alone
    polar.py      polar-sdk behind one function; every outcome sorted into a few kinds
    polar_answers.py  what it said last, for people
    polar_http.py the SDK's client, for events that are JSON already
    storage.py    where this process's calls lie: its file, and the memory that stands in for it
    files.py      which process owns which outbox file
    locks.py      the lock beside each of them
    transfer.py   what one outbox holds, carried over to another
    making.py     a new file is there as a whole, or not at all
    damage.py     what SQLite does not tell of a damaged file
    filesystems.py  whether the files lie on another machine
    disk_room.py  room on the disk, for a service whose senders keep what it refuses
    outbox.py     the durable queue and ledger
    journal.py    where a call is written down first
    lines.py      what is written in it
    taking_in.py  from the journal into the database
    statements.py  its tables, and what is asked of them
    rows.py       what lies in it, and the states a call can be in
    looking.py    every outbox file, read while the processes that own them go on
    glance.py     one of them, at one moment
    ledger_rows.py  what stands in its tables
    spool.py      what was seen, each call once
    seen.py       a call as it lies there
    finding.py    which calls are asked for
    census.py     how many there are, and what they cost
    orders.py     what a person wants done with calls, for the owner of their file
    order_answers.py  what became of each of them
    order_files.py  where both lie
    giving_orders.py  the person's side
    taking_orders.py  the owner's side
    carrying_out.py  what an order does to calls in the ledger
    database.py   one SQLite connection under one lock
    inherited.py  files that a forked child neither closes nor opens as they are
    record.py     a ModelCall as the JSON that lies in the outbox, and back
    notices.py    say what is wrong once, and once again when it is over
"""
