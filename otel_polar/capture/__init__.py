"""Inside an application: spans in, and who pays for them.

::

    instrumentor.py  PolarInstrumentor: processor, sampler and hooks together, by one line or none
    processor.py     PolarSpanProcessor: on_start remembers who pays, on_end records the call
    sampling.py      BillingSampler: what is not sampled is billed, and still not exported
    exporter.py      PolarSpanExporter, for pipelines built by hand
    openai/          what the instrumentations of the openai client leave out

    attribution.py   bill_to
    identity.py      what is known about who pays, and which word counts
    blocks.py        the bill_to blocks entered here, and contexts that come back after their block was left
    baggage.py       which members of baggage say who pays, and how they are kept from others
    propagator.py    PolarBaggagePropagator: nobody outside says who pays, or learns it
    signing.py       signed identities
    generators.py    generators in a context of their own
    threads.py       carry_context

    metered.py       usage that is no call to a model; streams.py counts what goes by, s3.py is botocore's
    agents.py        an event for each run of an agent
    providers.py     by which tracer provider our own spans are made
"""
