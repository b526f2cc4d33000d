"""Polar's API as this package reads and changes it: everything but the sending of events.

Answers are read field by field and not by polar-sdk's models: polar-sdk 1.0.2 refuses whole answers for one word that
it does not know, such as the status of a benefit's grant, after Polar has done what was asked.

::

    client.py        one request: what was answered, or a typed error that says what to do
    answers.py       what an answer that is no success means
    fields.py        a field of an answer, of the type it has to have
    listing.py       every item of a list, page by page
    bounded.py       a request and its answer, within bounds of time and memory
    hanging_up.py    an end for a request as a whole
    budget.py        requests a minute
    retry_after.py   how long Polar asks to wait
    polar_clock.py   what time it is for Polar
    organization.py  whom an access token is of
    customers.py     who they are, and what they have left
    meters.py        what they count, and how much that is
    products.py      metered prices, and credits
    events.py        events as Polar lists them
    event_windows.py all of a period, each once
"""
