"""Behind a Collector: spans that other processes have ended, in the forms in which they travel and are kept.

The service, `otel-polar serve`::

    server.py          what listens, what records, what delivers, and how all of it comes to an end
    guards.py          whether the settings can be used, and who is let in
    receiver.py        one export request: within bounds, read, recorded, and only then acknowledged
    otlp_http.py       over HTTP
    otlp_grpc.py       over gRPC
    kafka/             from a topic, as a member of a consumer group
    reading.py         from the bytes of a request to the calls that are to be recorded
    requests.py        requests of which only some spans are decoded
    wire.py            where spans are in the bytes of a request
    mending.py         messages of which a part cannot be decoded
    commits.py         commits of many requests together
    unzipping.py       gzip and deflate, as far as a limit
    tokens.py          who may send, and who may look
    certificates.py    TLS for both ports
    connections.py     not too many of HTTP, and none that does nothing
    operation.py       is it alive, can it record, and who may see the rest
    metrics.py         for Prometheus
    page/              the status page
    logs.py            log lines

Spans as they are, for `otel-polar explain`, too::

    otlp.py            bytes in, SpanRecord out: read_protobuf, read_json, and read_spans, which finds out which
    otlp_protobuf.py   the messages of OTLP, walked
    otlp_json.py       the same as JSON
    flat_spans.py      a span as one flat JSON object, as tests and log files hold them
    origin.py          what every form has in common: ids, times, and which process a span came from
"""
