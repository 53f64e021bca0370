"""What people do about refused rows: set values right, replay them in a batch of their own, or discard them.

Each is one ledger transaction with its audit entries, which name rows and columns and never a value.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from orchestration_project.core.errors import Refused
from orchestration_project.governance import audit, people
from orchestration_project.governance.people import Person
from orchestration_project.stores import batches, claims, departures, manifest, quarantine, replays
from orchestration_project.stores.home import Home
from orchestration_project.stores.quarantine import QuarantinedRow, Selection

if TYPE_CHECKING:
    import pandas as pd

ROW = "quarantine row"
REASON = "quarantine reason"
SOURCE = "quarantine source"
UNREAD = "quarantine text"
"""Columns that an export adds: number of the row, why it was refused, file and line, and a line that could not be read."""

_OF_UNREAD = {"message_id", "file", "file_sha256", "line", "registered_at", "error", "raw"}
_ADDED = (ROW, REASON, SOURCE, UNREAD)


def export(home: Home, selection: Selection) -> "pd.DataFrame":
    """Open rows as they came in, as text, behind the columns that say which they are; to be corrected and read back by
    `fix`. What was corrected before shows corrected. Rows of several assets have the columns of all.
    """
    import pandas as pd

    with home.ledger.read() as connection:
        rows = selection.find(connection)
    raw = raw_rows(home, rows)
    names = list(dict.fromkeys(name for row in rows for name in {**raw[row.row_id], **(row.correction or {})}))
    lines = [
        {
            ROW: str(row.row_id),
            REASON: row.reason,
            SOURCE: f"{row.file}, line {row.line}" if row.file else None,
            UNREAD: unread_text(home, row),
            **raw[row.row_id],
            **(row.correction or {}),
        }
        for row in rows
    ]
    return pd.DataFrame(lines, columns=[*_ADDED, *names], dtype="str")


def raw_rows(home: Home, rows: Sequence[QuarantinedRow]) -> dict[int, dict[str, str | None]]:
    """Row number → column → the value as it came in, as text; nothing of a line that could not be read."""
    found: dict[int, dict[str, str | None]] = {}
    by_path: defaultdict[str, list[QuarantinedRow]] = defaultdict(list)
    for row in rows:
        by_path[row.path].append(row)
    for path, own in by_path.items():
        table = home.warehouse.read_quarantine(path)
        values = table.take([row.position for row in own]).to_pylist()
        for row, line in zip(own, values, strict=True):
            found[row.row_id] = {} if _is_unread(row) else _own_values(line)
    return found


def unread_text(home: Home, row: QuarantinedRow) -> str | None:
    """The text of a line that could not be read as a row; None of any other row."""
    if not _is_unread(row):
        return None
    return home.warehouse.read_quarantine(row.path).slice(row.position, 1)["raw"][0].as_py()


def fix(home: Home, corrections: "pd.DataFrame", reason: str) -> int:
    """Keep what a table of corrections sets right; returns how many rows it changes.

    `corrections` has the column `quarantine row` and columns of the rows, all text: a value that differs from what came
    in is a correction, null empties it. The columns that `export` adds are not read. Refused for a row that is not open
    any more, UnknownName for a number that no row has.
    """
    person = people.require(home.settings, "operator")
    if ROW not in corrections:
        raise Refused(f"The corrections have no column '{ROW}'. Begin with: orchestrate quarantine export FILE")
    wanted = {_number(text): line for text, line in zip(corrections[ROW], _records(corrections), strict=True)}
    rows = _open_rows(home, Selection(rows=tuple(wanted)))
    raw = raw_rows(home, rows)
    changes = {row.row_id: _differences(raw[row.row_id], row, wanted[row.row_id]) for row in rows}
    return _correct(home, rows, changes, reason, person)


def rename(home: Home, selection: Selection, old: str, new: str, reason: str) -> int:
    """Set the column right in which rows came: what stands under `old` belongs under `new`. Returns how many rows.

    Refused when none of the open rows has a value there.
    """
    person = people.require(home.settings, "operator")
    rows = _open_rows(home, selection)
    raw = raw_rows(home, rows)
    changes = {row.row_id: {new: value, old: None} for row in rows if (value := raw[row.row_id].get(old)) is not None}
    if not changes:
        names = sorted({name for own in raw.values() for name in own})
        raise Refused(f"None of the rows has a value in column '{old}'. They have: {', '.join(names) or 'none'}.")
    return _correct(home, rows, changes, reason, person)


def replay(home: Home, selection: Selection, reason: str) -> list[str]:
    """Send open rows through the workflow again, in batches of their own that their run is requested for; returns
    these.

    The rows leave their batch with the claims on their messages, so that none is a duplicate of itself, and keep file
    and line. Behind a halt a version may stand that has one of them: it is in use no more, and the batch runs again. Rows that a later asset computed are refused: their batch runs again instead. All rows go, or none.
    """
    person = people.require(home.settings, "operator")
    rows = _open_rows(home, selection)
    for row in rows:
        if row.file is None:
            again = f"run its batch again: orchestrate batch retry {row.partition}"
            again = again if row.partition else f"materialise {row.asset} again in the UI"
            raise Refused(
                f"Row {row.row_id} was computed by {row.asset} and did not come in with a file. "
                f"Mend what it was made from, and {again}."
            )
    by_batch: defaultdict[str, list[QuarantinedRow]] = defaultdict(list)
    for row in rows:
        by_batch[row.partition].append(row)
    staged: list[tuple[str, replays.Staged]] = []
    try:
        for batch, own in by_batch.items():
            staged += [(batch, entry) for entry in replays.stage(home, batch, own)]
        with home.ledger.write() as connection:
            return _replay(connection, home, staged, {row.row_id: row for row in rows}, reason, person)
    except BaseException:
        replays.withdraw(home, [entry for _, entry in staged])
        raise


def discard(home: Home, selection: Selection, reason: str) -> int:
    """Give open rows up; returns how many. The claim on a message that came in with a file ends: whoever sends it again
    sends a new message, and a version that holds it is in use no more.

    Refused for a computed row behind whose halt a version stands that has it: what becomes of that is decided first.
    """
    person = people.require(home.settings, "operator")
    rows = _open_rows(home, selection)
    with home.ledger.write() as connection:
        _require_open(connection, rows, "discarded")
        for (asset, batch), own in _grouped(rows).items():
            _refuse_standing(connection, home, asset, batch, own)
            arrived = {row.message_id for row in own if row.file and row.message_id}
            claims.move(connection, arrived, batch, None)
            withdrawn = departures.leave(connection, home, batch, arrived, asset=asset, because_of="discard")
            _audit(connection, "rows discarded", own, reason, person, withdrawn=withdrawn)
    return len(rows)


def _replay(
    connection: sa.Connection,
    home: Home,
    staged: Sequence[tuple[str, replays.Staged]],
    rows: Mapping[int, QuarantinedRow],
    reason: str,
    person: Person,
) -> list[str]:
    together: defaultdict[tuple[str, str], list[replays.Staged]] = defaultdict(list)
    for batch, entry in staged:
        together[batch, entry.arrival["columns"]].append(entry)
    opened: list[str] = []
    for (batch, _), entries in together.items():
        own = [rows[row_id] for entry in entries for row_id in entry.rows]
        successor = batches.open_with(connection, [entry.arrival for entry in entries], cause="replay")
        _require_open(connection, own, "replayed", successor)
        kept = {found for entry in entries for found in entry.message_ids}
        ended = {found for entry in entries for found in entry.ended}
        claims.move(connection, kept, batch, successor)
        claims.move(connection, ended, batch, None)
        for (asset, _), refused in _grouped(own).items():
            withdrawn = departures.leave(connection, home, batch, kept | ended, asset=asset, because_of=successor)
            more = {"successor": successor, "withdrawn": withdrawn}
            _audit(connection, "rows replayed", refused, reason, person, **more)
        opened.append(successor)
    return opened


def _refuse_standing(
    connection: sa.Connection, home: Home, asset: str, batch: str, rows: Sequence[QuarantinedRow]
) -> None:
    """Raise Refused when the version in use of an asset that computed these rows has one of them."""
    computed = [row for row in rows if row.file is None]
    standing = manifest.current(connection, asset, batch) if computed else None
    if standing is None:
        return
    held = home.warehouse.message_ids(standing.path)
    for row in computed:
        if row.message_id in held:
            raise Refused(
                f"{asset} of batch {batch} refuses row {row.row_id} by now, and has it in version {standing.version}, "
                f"which is in use. Let that stand: orchestrate halt discard {batch} "
                f"Or mend the cause: orchestrate halt retry {batch}"
            )


def _correct(
    home: Home,
    rows: Sequence[QuarantinedRow],
    changes: Mapping[int, Mapping[str, str | None]],
    reason: str,
    person: Person,
) -> int:
    changed = [row for row in rows if changes.get(row.row_id)]
    with home.ledger.write() as connection:
        still = {row.row_id for row in Selection(rows=tuple(row.row_id for row in changed)).find(connection)}
        for row in changed:
            if row.row_id not in still:
                raise _not_open(row)
            quarantine.correct(connection, row.row_id, changes[row.row_id])
        for own in _grouped(changed).values():
            columns = sorted({name for row in own for name in changes[row.row_id]})
            _audit(connection, "rows corrected", own, reason, person, columns=columns)
    return len(changed)


def _open_rows(home: Home, selection: Selection) -> list[QuarantinedRow]:
    """The selected rows that are open; Refused when one that was named is not, or when there is none."""
    with home.ledger.read() as connection:
        found = selection.find(connection, state=None if selection.rows else "open")
    for row in found:
        if row.state != "open":
            raise _not_open(row)
    if not found:
        raise Refused("No open row is meant by that. See what waits: orchestrate quarantine list")
    return found


def _not_open(row: QuarantinedRow) -> Refused:
    where = f" in batch {row.successor}" if row.successor else ""
    return Refused(f"Row {row.row_id} is {row.state}{where} and waits no more. See: orchestrate quarantine list")


def _require_open(
    connection: sa.Connection, rows: Sequence[QuarantinedRow], state: str, successor: str | None = None
) -> None:
    if quarantine.settle(connection, [row.row_id for row in rows], state, successor) != len(rows):
        raise Refused("Some of these rows were settled by somebody else meanwhile. See: orchestrate quarantine list")


def _differences(
    raw: Mapping[str, str | None], row: QuarantinedRow, wanted: Mapping[str, str | None]
) -> dict[str, str | None]:
    present = {**raw, **(row.correction or {})}
    return {name: value for name, value in wanted.items() if name not in _ADDED and value != present.get(name)}


def _grouped(rows: Collection[QuarantinedRow]) -> dict[tuple[str, str], list[QuarantinedRow]]:
    grouped: defaultdict[tuple[str, str], list[QuarantinedRow]] = defaultdict(list)
    for row in rows:
        grouped[row.asset, row.partition].append(row)
    return dict(grouped)


def _audit(
    connection: sa.Connection,
    action: str,
    rows: Sequence[QuarantinedRow],
    reason: str,
    person: Person,
    **more: Any,
) -> None:
    subject = f"{rows[0].asset}/{rows[0].partition}"
    detail = {"rows": [row.row_id for row in rows], "reason": reason, "partition": rows[0].partition, **more}
    audit.append(connection, action, subject, detail, person.name)


def _is_unread(row: QuarantinedRow) -> bool:
    return row.reason.startswith("unparsable:")


def _own_values(line: Mapping[str, str | None]) -> dict[str, str | None]:
    """The values of a row that was read, without the columns that only lines have which were not."""
    return {name: value for name, value in line.items() if name not in _OF_UNREAD or value is not None}


def _records(frame: "pd.DataFrame") -> list[dict[str, str | None]]:
    texts = frame.astype("object").where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in texts.to_dict("records")]


def _number(text: object) -> int:
    if not str(text).isdecimal():
        raise Refused(f"'{text}' is no number of a refused row. Give the column '{ROW}' as it was exported.")
    return int(str(text))
