"""What a pipeline tells of itself: its numbers, and the instruments that they are read by.

::

    telemetry.py     what a pipeline tells of itself as metrics
    instruments.py   what they are called, and which number each of them reads
    tally.py         what became of calls, in plain numbers
    backlog.py       what waits, and how old the oldest call is
    polar_answers.py what Polar said last, for people
"""
