"""What becomes of a recorded span: which spans are one call, and which event it is, or why it is held.

::

    call_reader.py from a span to the call that is recorded of it
    intake.py      which recorded spans are one call, and from the intake to the ledger
    window.py      the head of the intake, each row read once
    recalling.py   what is known of calls that are decided already
    recent.py      what was decided in the last minutes, of which another span may still come
    scopes_seen.py whether two instrumentations tell of the calls to one provider
    decide.py      a call becomes an event with a frozen body, or is held for a reason
"""
