"""What every record of a handler is given, so that a format can name it."""

from __future__ import annotations

import logging

from sessionguard.keys import fingerprint
from sessionguard_logging.current import current

NOTHING = "-"


class SessionFilter(logging.Filter):
    """Puts `session_id`, `session_origin` and `session_key_hash` on records, each `-` where there is none.

    It lets every record pass. Attach it to handlers: a filter of a logger sees nothing of what its children log. The
    hash is that of `sessionguard sessions show --hash`; the key itself is never logged.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        resolution = current.get()
        key = None if resolution is None else resolution.session_key
        record.session_id = NOTHING if resolution is None else resolution.session_id
        record.session_origin = NOTHING if resolution is None else resolution.origin.value
        record.session_key_hash = NOTHING if key is None else fingerprint(key)
        return True
