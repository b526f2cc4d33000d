"""What keeps people from being billed, looked for before they write to us: ``otel-polar doctor``.

Each check is a function that yields findings, and knows nothing of how they are shown. None of them changes anything,
except for the test event that is asked for; and what goes wrong in one is a finding, too.

::

    finding.py          what was found, why it matters, what to type
    sections.py         what they are called
    walk.py             every section in its order
    doctor.py           otel_polar.doctor(): from inside a running application
    inside.py           the same in a process of its own, for `doctor --app module:function`
    environment.py      the variables              versions.py         what is installed
    reaching.py         is Polar there             polar.py            token, clock, scopes, meters
    outbox.py           what waits on disk         prices.py           what has no price
    customers.py        is somebody there to pay   trial.py            one event, all the way
    application.py      provider and processor     sampling.py         what is never recorded
    propagation.py      who pays, across services  instrumentations.py whose spans there are
    emitters.py         what each of those is known to leave out
    troubleshooting.py  symptoms, and the checks that name their causes
"""
