"""What a person wants done with calls in the ledger: from the command to their owner, and the answer back.

::

    order.py        what is wanted, and of which calls
    answers.py      what became of each of them
    files.py        where both lie
    giving.py       the person's side
    taking.py       the owner's side
    carrying_out.py what it does to calls in the ledger
"""
