"""The ids of conversations that nobody else has a say in."""

from __future__ import annotations

import os

_VARIANTS = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def random_session_id() -> str:
    """Return the text of a random UUID, version 4 (RFC 9562, section 5.4).

    `uuid.uuid4` would do, but takes twice the time, for an object of which nothing but the text is wanted.
    """
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:]}"
