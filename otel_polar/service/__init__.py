"""Behind a Collector: spans that other processes have ended, in the forms in which they travel and are kept.

::

    otlp.py            bytes in, SpanRecord out: read_protobuf, read_json, and read_spans, which finds out which
    otlp_protobuf.py   the messages of OTLP, walked
    otlp_json.py       the same as JSON
    flat_spans.py      a span as one flat JSON object, as tests and log files hold them
    origin.py          what every form has in common: ids, times, and which process a span came from
"""
