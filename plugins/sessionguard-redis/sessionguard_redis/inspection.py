"""What a server says of itself in INFO: whether conversations are safe there, and what an operator should know.

INFO alone, because managed services forbid CONFIG and answer INFO.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sessionguard import ConfigurationError, Diagnosis, Verdict

OLDEST, COUNTS_REPLICAS = (6, 2), (6, 2, 7)
KEEPS_ALL = "noeviction"
KEEPS_LASTING = "volatile-"


def parse(text: bytes) -> Mapping[str, str]:
    """Return the fields of INFO."""
    lines = (line.partition(":") for line in text.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def check(info: Mapping[str, str], *, expires: bool, may_evict: bool) -> None:
    """Raise ConfigurationError for a server that cannot keep the promise; `expires` says whether rows ever do."""
    if _version(info) < OLDEST:
        raise ConfigurationError(f"store: this is Redis {info['redis_version']}; 6.2 or newer is needed, or any Valkey")
    if info.get("role") == "slave":
        raise ConfigurationError(
            "store: this server is a replica, and a replica may be behind; name the primary in SESSIONGUARD_STORE"
        )
    policy = info.get("maxmemory_policy", KEEPS_ALL)
    lasting = policy == KEEPS_ALL or (policy.startswith(KEEPS_LASTING) and not expires)
    if not lasting and not may_evict:
        raise ConfigurationError(
            f"store: the server's maxmemory-policy is {policy}: when memory is short it removes rows of conversations"
            f" that are alive{', all that have a retention' if expires else ''}. Set it to noeviction, or add"
            " ?eviction=allow to the URL if you can live with conversations that begin anew"
        )


def warnings(info: Mapping[str, str], *, expires: bool) -> Iterator[str]:
    """Say what can cost conversations here, one sentence each."""
    for diagnosis in diagnoses(info, expires=expires):
        if diagnosis.verdict is not Verdict.GREEN:
            yield diagnosis.says if diagnosis.cure is None else f"{diagnosis.says}; {diagnosis.cure}"


def diagnoses(info: Mapping[str, str], *, expires: bool) -> Iterator[Diagnosis]:
    """Say how a server that `check` has let pass keeps conversations."""
    policy = info.get("maxmemory_policy", KEEPS_ALL)
    if policy != KEEPS_ALL and (expires or not policy.startswith(KEEPS_LASTING)):
        yield Diagnosis("eviction", Verdict.YELLOW, f"conversations can be evicted: maxmemory-policy is {policy}")
    else:
        yield Diagnosis("eviction", Verdict.GREEN, f"maxmemory-policy is {policy}: no conversation is evicted")
    yield _persistence(info)
    yield _replication(info)


def _persistence(info: Mapping[str, str]) -> Diagnosis:
    if info.get("aof_enabled") != "0":
        on = "appendonly is on" if "aof_enabled" in info else "the server does not say; ask whoever runs it"
        return Diagnosis("persistence", Verdict.GREEN, on)
    return Diagnosis(
        "persistence",
        Verdict.YELLOW,
        "appendonly is off: a restart of the server loses what is younger than its last snapshot, or everything",
        "set appendonly yes",
    )


def _replication(info: Mapping[str, str]) -> Diagnosis:
    replicas = info.get("connected_slaves", "0")
    if replicas == "0":
        return Diagnosis("replicas", Verdict.GREEN, "there are none, so none can be behind")
    # The field is there only where min-replicas-to-write is set.
    needed = "set" if "min_slaves_good_slaves" in info else "not set, and should be at least 1"
    if _version(info) < COUNTS_REPLICAS:
        needed += ", but Redis before 6.2.7 does not apply it to scripts"
    return Diagnosis(
        "replicas",
        Verdict.YELLOW,
        f"{replicas} connected replicas, min-replicas-to-write is {needed}: replication is asynchronous, so a"
        " failover can lose conversations begun just before it",
    )


def _version(info: Mapping[str, str]) -> tuple[int, ...]:
    """Return major, minor and patch; a server that does not say is new."""
    return tuple(int(number) for number in re.findall(r"\d+", info.get("redis_version", "99"))[:3])
