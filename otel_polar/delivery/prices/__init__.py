"""Everything that says what a call costs, kept up to date, and left alone where it fails.

::

    book.py           what says the price of a call, and what makes that change
    card_file.py      the rate card, read again when its file changes
    patience.py       a price function that keeps failing is left alone for a while
    catalog_update.py newer list prices, fetched and looked at
"""
