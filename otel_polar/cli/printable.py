"""Text of others, fit for a terminal."""


def printable(text: str) -> str:
    """*text* without what a terminal would obey: names come from spans, so from anybody."""
    return "".join(character if character.isprintable() else "?" for character in text)
