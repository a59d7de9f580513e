"""The SQL of this store: one statement for each verb, in a file of its own beside this one."""

from __future__ import annotations

from importlib.resources import files


def _read(name: str) -> str:
    return (files(__package__) / "sql" / f"{name}.sql").read_text(encoding="utf-8")


ACQUIRE = _read("acquire")
ADOPT = _read("adopt")
FORGET = _read("forget")
GET = _read("get")
NOW = _read("now")
PAGE = _read("page")
RELEASE = _read("release")
RENEW = _read("renew")
RESERVE = _read("reserve")
SCHEMA = _read("schema")
SERVER = _read("server")
SWEEP = _read("sweep")
SWEEP_LEASES = _read("sweep_leases")
TOUCH = _read("touch")
VERSION = _read("version")
