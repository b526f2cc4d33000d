"""Every exception of otel-polar, by what the reader can do about it.

::

    OtelPolarError
    ├── ConfigError          a setting is wrong: correct it and start again
    ├── OutboxError          an outbox file cannot be used: mend the disk; calls are kept in memory meanwhile
    │   └── OutboxDamagedError   its content is not an outbox; it is put aside for a person to look at
    ├── UserFunctionError    a function you gave raised or answered what cannot be used: its call is held
    └── SpansFormatError     a file or a request holds no spans in a known form (otel_polar.service)

None of them ever leaves a span processor's callback: ``on_start`` and ``on_end`` raise nothing at all.
"""


class OtelPolarError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigError(OtelPolarError):
    """A setting has an unusable value. The message names the option, its variable, the value and the limit."""


class OutboxError(OtelPolarError):
    """An outbox file cannot be used. The message names the file and the operating system's reason."""


class OutboxDamagedError(OutboxError):
    """An outbox file is not an SQLite file, or a broken one."""


class UserFunctionError(OtelPolarError):
    """A function such as ``event_name``, ``map_metadata`` or ``markup`` raised, or answered what cannot be used."""
