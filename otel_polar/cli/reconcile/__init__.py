"""``otel-polar reconcile``: is everything billed, once and as it was?

::

    app.py       the ledger against Polar
    invoice.py   the ledger against a provider's usage export
    period.py    which time
    sources.py   which ledgers
    kinds.py     what each kind of difference is, and what to do about it
    shown.py     tables and JSON
    tables.py    a file with a row for each difference
"""
