"""What of health checks is kept on disk, and what a restart makes of it.

*Definitions* stand in the log of records, each group right before the record of its service and in the
same write, under that record's version. So a crash at any moment leaves a registration with its checks
or neither: what was cut in between belongs to a version that no record has.

*Statuses, TTL deadlines and maintenance* stand in the file `checks`, which is replaced as a whole.
Losing some seconds of it costs a check that begins anew, and no registration. Times are kept as what was
left, beside the clock that counts from the machine's boot: after a restart of the agent a TTL has what
was left of it, after a boot of the machine every check starts as if it were new, as its service does.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

from gossip.checks.state import SavedCheck
from gossip.config.checks import read_checks
from gossip.core.types import Verdict
from gossip.errors import ConfigError, LimitError
from gossip.log import note
from gossip.store import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gossip.config.checks import CheckDefinition

__all__ = ["CHECKS", "entry_of", "read_added", "read_definitions", "read_state", "state_of"]

CHECKS: Final = "checks"
"""Where a record of the log says who asked for it, a group of definitions says this."""
MAX_BYTES: Final = 49_152
"""Of all checks of one service; a frame of the log has room for 64 KiB."""


def entry_of(key: str, version: int, checks: Sequence[CheckDefinition]) -> StoredRecord:
    """The definitions that belong to a version of a service.

    Raises:
        LimitError: they are too large.
    """
    raw = json.dumps([key, version, [each.mapping() for each in checks]], separators=(",", ":")).encode()
    if len(raw) > MAX_BYTES:
        raise LimitError(f"the checks of {key!r} have {len(raw)} bytes in all: the limit is {MAX_BYTES}")
    return StoredRecord(CHECKS, raw)


def read_definitions(records: Iterable[StoredRecord]) -> dict[tuple[str, int], tuple[CheckDefinition, ...]]:
    """Definitions by service and version; what cannot be read is told and left behind."""
    found = {}
    for record in records:
        if record.source != CHECKS:
            continue
        try:
            match json.loads(record.raw):
                case [str(key), int(version), list(checks)]:
                    found[key, version] = read_checks(checks, key)
        except (ValueError, ConfigError) as problem:
            note(logging.WARNING, "data_dir", detail=f"saved checks cannot be read: {problem}")
    return found


def state_of(
    checks: Mapping[str, SavedCheck],
    maintenance: Mapping[str, str],
    boot: str,
    clock: float,
    added: Iterable[CheckDefinition] = (),
) -> dict[str, Any]:
    """The content of the file.

    Args:
        checks: by id.
        maintenance: the reason by service id.
        boot: names the machine's run.
        clock: counts its seconds.
        added: checks of the node itself that programs have added.
    """
    rows = {
        id: [each.status.label, each.remaining, each.critical_for, each.output] for id, each in checks.items()
    }
    found = {"boot": boot, "clock": clock, "checks": rows, "maintenance": dict(maintenance)}
    if tables := [each.mapping() for each in added]:
        found["added"] = tables
    return found


def read_added(content: object) -> tuple[CheckDefinition, ...]:
    """The node's own checks that programs have added; what cannot be read is told and left behind."""
    match content:
        case {"added": list(added)}:
            try:
                return read_checks(added, "")
            except ConfigError as problem:
                note(logging.WARNING, "data_dir", detail=f"saved checks cannot be read: {problem}")
    return ()


def read_state(content: object, boot: str, clock: float) -> tuple[dict[str, SavedCheck], dict[str, str]]:
    """(what was saved of each check, the reason of each maintenance) from the content of the file."""
    match content:
        case {
            "boot": str(then),
            "clock": int() | float() as at,
            "checks": dict(rows),
            "maintenance": dict(reasons),
        }:
            pass
        case _:
            return {}, {}
    maintenance = {key: reason for key, reason in reasons.items() if isinstance(reason, str)}
    if not boot or then != boot:
        return {}, maintenance
    away = max(0.0, clock - at)
    found = {}
    for id, row in rows.items():
        match row:
            case [
                ("passing" | "warning" | "critical") as word,
                left,
                int() | float() as critical_for,
                str(output),
            ]:
                remaining = max(0.0, left - away) if isinstance(left, int | float) else None
                found[id] = SavedCheck(Verdict[word.upper()], remaining, max(0.0, critical_for), output)
    return found, maintenance
