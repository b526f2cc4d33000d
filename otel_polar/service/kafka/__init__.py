"""Spans from a Kafka topic, as a member of a consumer group.

::

    source.py     messages in, calls on disk, offsets committed: in this order
    hand.py       what is read and not yet on disk, and what has to come there together
    offsets.py    what is on disk, and what Kafka has confirmed
    consumer.py   librdkafka, by settings that keep the promise
    troubles.py   what is said once, and why nothing can be taken now
"""
