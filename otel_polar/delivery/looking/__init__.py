"""The outbox files of other processes, read while those go on, without a lock that anybody would miss.

::

    view.py        every outbox file of a directory
    ledger_rows.py what stands in the tables of one
    spool.py       what was seen, each call once
    seen.py        a call as it lies there
    finding.py     which calls are asked for
    census.py      how many there are, and what they cost
    advice.py      what to do about those that are held or rejected
"""
