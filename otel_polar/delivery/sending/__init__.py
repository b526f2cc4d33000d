"""Events to Polar: in batches, within its budget, and only when a customer is there, if that is asked for.

::

    sender.py          batches, waits, and events that fail alone
    polar.py           polar-sdk behind one function, its answers sorted
    polar_http.py      the SDK's client, for events that are JSON already
    admission.py       an event waits until Polar has its customer, if that is asked for
    known_customers.py ... which is remembered
    asking.py          ... and asked
    redating.py        events from the future
    progress.py        how far the sending of a backlog has come, for the log
"""
