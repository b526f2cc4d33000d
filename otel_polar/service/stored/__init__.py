"""Spans in files, read again for billing: where they are, in which form, and how far they have been read.

::

    files.py      which files are meant: folders, standard input
    plain.py      the bytes of one of them, unpacked, from the beginning to the end
    unpacking.py  gzip and zstd
    messages.py   the export requests in those bytes, and what of them is damaged or not written to its end
    positions.py  how far each file has been read, known again by what is in it
    marking.py    ... which moves only behind what is recorded
    spans.py      from a message to the calls that are to be recorded
    replaying.py  from the files to the calls, recorded before the position moves
    preview.py    the same without recording anything: what a replay would come to
    ledger.py     what became of the calls
    outcome.py    counts, and the places at which something could not be read

A stored file is one more way in, behind which everything is as in the service: the same calls, the same external ids,
the same selection. So what was billed live is known again, as a redelivery would be.
"""
