"""How a step ends: a version, its audit entry, its quarantine and its notices become visible in one ledger transaction,
or a halt does.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow
import sqlalchemy as sa

from orchestration_project.core.contracts import Checked, Contract, arrow_schema, records
from orchestration_project.core.errors import Conflict
from orchestration_project.governance import audit
from orchestration_project.model_output.gate import Judgement
from orchestration_project.model_output.inputs import refuse_halted
from orchestration_project.stores import batches, claims, halts, manifest, outbox, quarantine
from orchestration_project.stores.home import Home
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.quarantine import RefusedRow
from orchestration_project.stores.warehouse import StoredFile


@dataclass(frozen=True)
class Outcome:
    """A step's result before it is published. `raw` has one row for each row that was checked, as it came in;
    `unparsable` are lines of the batch's files that could not be read as rows; `claimed` is how many messages the batch
    held when they were claimed (None: none were); `message_ids` the ids of the rows where the rows themselves may lack
    them; `origin` the file, file_sha256 and line of each, where they came in with one; `contract` is the version of what
    they were held to.
    """

    asset: str
    partition: str
    run_id: str
    judgement: Judgement
    raw: pd.DataFrame
    unparsable: pd.DataFrame
    duplicates: int
    takes_arrivals: bool
    claimed: int | None
    facts: Mapping[str, Any]
    message_ids: pd.Series | None = None
    origin: pd.DataFrame | None = None
    contract: str = ""


def publish(
    home: Home,
    outcome: Outcome,
    contract: type[Contract],
    *,
    replaces: int,
    inputs: Mapping[str, int],
    notices: Sequence[Notice] = (),
    record: Callable[[sa.Connection, Sequence[Mapping[str, Any]]], None] | None = None,
) -> manifest.Version:
    """Make the outcome's good rows the current version.

    Raises, leaving nothing visible, Conflict when another run was first and HaltedInput when an input was halted
    meanwhile.
    """
    good = outcome.judgement.checked.good
    table = pyarrow.Table.from_pandas(good, schema=arrow_schema(contract), preserve_index=False)
    file = home.warehouse.write(outcome.asset, outcome.partition, outcome.run_id, table)
    refused_file, refused = _keep_refused(home, outcome)
    with home.ledger.write() as connection:
        refuse_halted(connection, outcome.partition, inputs.keys())
        _require_claims(connection, outcome)
        version = manifest.publish(
            connection,
            asset=outcome.asset,
            partition=outcome.partition,
            run_id=outcome.run_id,
            file=file,
            replaces=replaces,
            inputs=inputs,
        )
        closed = halts.close_halts(
            connection, asset=outcome.asset, partition=outcome.partition, closed_by=outcome.run_id
        )
        _record_refused(connection, outcome, refused_file, refused)
        if record is not None:
            record(connection, records(good))
        outbox.record(connection, asset=outcome.asset, partition=outcome.partition, notices=notices)
        detail = {**_detail(outcome), **version.facts()}
        detail |= {"halts_closed": closed, "notices": [notice.key for notice in notices]}
        audit.append(connection, "published", _subject(outcome), detail)
    return version


def halt(home: Home, outcome: Outcome, reason: str, *, replaces: int, inputs: Mapping[str, int]) -> None:
    """Record why nothing is published: the halt, the refused rows and the audit entry together.

    Raises Conflict, leaving nothing visible, when what was judged is no longer current.
    """
    refused_file, refused = _keep_refused(home, outcome)
    with home.ledger.write() as connection:
        manifest.require_current(
            connection, asset=outcome.asset, partition=outcome.partition, version=replaces, inputs=inputs
        )
        _require_claims(connection, outcome)
        halts.record_halt(
            connection, asset=outcome.asset, partition=outcome.partition, run_id=outcome.run_id, reason=reason
        )
        _record_refused(connection, outcome, refused_file, refused)
        audit.append(connection, "halted", _subject(outcome), {**_detail(outcome), "reason": reason})


def _require_claims(connection: sa.Connection, outcome: Outcome) -> None:
    """Raise Conflict when another batch took messages over since this one claimed them."""
    if outcome.claimed not in (None, claims.number_claimed(connection, outcome.partition)):
        raise Conflict(f"Messages of {outcome.partition} were sent again and taken over by another batch meanwhile.")


def _keep_refused(home: Home, outcome: Outcome) -> tuple[StoredFile | None, list[RefusedRow]]:
    """Write the refused rows as they came in, unparsable lines last, and say why each was refused."""
    checked = outcome.judgement.checked
    positions = sorted(checked.refused)
    kept = _as_texts(outcome.raw.iloc[positions])
    reasons = _reasons(checked)
    ids = checked.frame.get("message_id") if outcome.message_ids is None else outcome.message_ids
    origin = [{}] * len(positions) if outcome.origin is None else _places(outcome.origin.iloc[positions])
    rows = [
        RefusedRow(_message_id(ids, position), number, reasons[position], **place)
        for number, (position, place) in enumerate(zip(positions, origin, strict=True))
    ]
    broken = outcome.unparsable
    if len(broken):
        rows += [
            RefusedRow(message_id, len(positions) + number, f"unparsable: {error}", **place)
            for number, (message_id, error, place) in enumerate(
                zip(broken["message_id"], broken["error"], _places(broken), strict=True)
            )
        ]
        kept = pd.concat([kept, _as_texts(broken)], ignore_index=True)
    if not rows:
        return None, []
    return home.warehouse.write_quarantine(outcome.asset, outcome.partition, outcome.run_id, kept), rows


def _places(origin: pd.DataFrame) -> list[dict[str, Any]]:
    """Where each row came in: file, file_sha256, line."""
    return records(origin[["file", "file_sha256", "line"]])


def _as_texts(rows: pd.DataFrame) -> pd.DataFrame:
    """Every value as text, whatever it is; what is no UTF-8 is escaped."""
    texts = rows.astype("object").map(
        lambda value: str(value).encode("utf-8", "backslashreplace").decode(), na_action="ignore"
    )
    return texts.astype("str")


def _record_refused(
    connection: sa.Connection, outcome: Outcome, file: StoredFile | None, rows: list[RefusedRow]
) -> None:
    quarantine.replace_refused(
        connection,
        asset=outcome.asset,
        partition=outcome.partition,
        run_id=outcome.run_id,
        path=file.path if file else "",
        rows=rows,
        contract=outcome.contract,
    )
    if outcome.takes_arrivals:
        batches.set_duplicates(connection, outcome.partition, outcome.duplicates)


def _reasons(checked: Checked) -> dict[int, str]:
    found: defaultdict[int, list[str]] = defaultdict(list)
    for refusal in checked.refusals:
        found[refusal.position].append(refusal.rule)
    return {position: ", ".join(names) for position, names in found.items()}


def _message_id(ids: pd.Series | None, position: int) -> str | None:
    value = None if ids is None else ids.iloc[position]
    return None if pd.isna(value) else str(value)


def _subject(outcome: Outcome) -> str:
    return f"{outcome.asset}/{outcome.partition}" if outcome.partition else outcome.asset


def _detail(outcome: Outcome) -> dict[str, Any]:
    judgement = outcome.judgement
    counts = {"rows": judgement.rows, "refused": judgement.refused, "duplicates": outcome.duplicates}
    return {**counts, **outcome.facts, "run_id": outcome.run_id}
