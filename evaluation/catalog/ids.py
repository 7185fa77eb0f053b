"""Ids: what a unit's id may hold so that whoever reads a list of them sees what engines compare."""

import re

LONGEST_ID = 1024  # characters
BLANKS = " \t\u00a0\u2007\u202f\u200b\u200e\u200f\u2060\ufeff"  # around an id they are none of it
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\xa0\xad\u061c\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]")


def id_fault(text: str) -> str | None:
    """Why nobody who sees the id would find it again; None: they would."""
    if not text.strip(BLANKS):
        return f"{text!r} is blank; an id has characters that one can see"
    if text != text.strip(BLANKS) or text != text.strip():
        return f"{text!r} begins or ends with a blank, and no unit is called so; remove it"
    if unseen := _UNSEEN.search(text):
        return f"{text!r} holds U+{ord(unseen[0]):04X}, which nobody sees, and no unit is called so; remove it"
    if len(text) > LONGEST_ID:
        return f"'{text[:60]}…' has {len(text)} characters, and an id has at most {LONGEST_ID}; mend it"
    return None
