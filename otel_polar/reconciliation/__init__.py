"""The ledger beside what others have written down: Polar's events and meters, and the providers' usage exports.

::

    fact.py        an event as both sides tell it, and what makes it the same one
    pairing.py     which of the events with one identity belong together, and what is left over
    meeting.py     all events of both sides, in a temporary file, paired
    ledger.py      outbox files and exported ledgers as facts
    counting.py    what a meter of Polar's makes of an event: its filter and its aggregation
    metering.py    Polar's meters beside what the events add up to
    whose.py       how both sides name a customer
    against.py     the ledger against Polar, as a whole
    report.py      what was found
    usage.py       tokens, calls and money by model and day
    exports/       the providers' files
    invoices.py    the ledger against those

What is compared is said, and what is not compared as well: "equal" is never the word for what nobody looked at.
"""
