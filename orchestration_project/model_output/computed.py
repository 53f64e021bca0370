"""What a step computed for a partition; of what came in, the messages that are the batch's own."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from orchestration_project.governance import audit
from orchestration_project.performers.cascade import Decisions
from orchestration_project.stores import claims, erasures, manifest
from orchestration_project.stores.arrivals import Arrivals, keyed_id
from orchestration_project.stores.home import Home
from orchestration_project.stores.quarantine import left_with_file


@dataclass
class Computed:
    """What a step's function gave, and what it cost. `raw` has a row for each of `frame`, as it came in, `origin` its
    file and line; `message_ids` the ids under which arrivals were claimed, of which the batch holds `claimed`.
    """

    frame: pd.DataFrame
    raw: pd.DataFrame
    message_ids: pd.Series | None = None
    origin: pd.DataFrame | None = None
    unparsable: pd.DataFrame = field(default_factory=pd.DataFrame)
    duplicates: int = 0
    claimed: int | None = None
    seconds: float = 0.0
    decisions: Decisions | None = None
    facts: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    metadata: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())


def of_own_messages(asset: str, home: Home, partition: str, arrivals: Arrivals, frame: pd.DataFrame) -> Computed:
    """Claim the messages of a batch, and keep the rows of those that it holds.

    Rows that repeat one of this batch, or belong to another, are dropped and counted; those that left it, replayed or
    discarded, are dropped. One without an id, which the gate will refuse, is claimed under an id made from its file and
    line, as an unparsable line is. A message that was erased has nothing left in any file: it keeps the row that was
    published last.
    """
    if "message_id" not in frame:
        return Computed(frame, arrivals.rows, origin=arrivals.origin, unparsable=arrivals.unparsable)
    ids = frame["message_id"].astype("str")
    nameless = arrivals.origin[ids.isna()]
    places = zip(nameless["file_sha256"], nameless["line"], strict=True)
    made = [keyed_id(arrivals.secret, [digest, int(line)]) for digest, line in places]
    ids = ids.fillna(pd.Series(made, nameless.index, dtype="str"))
    with home.ledger.write() as connection:
        left = left_with_file(connection, partition)
        wanted = {*ids, *arrivals.unparsable["message_id"]} - left
        claim = claims.claim_messages(connection, home, partition, wanted, asset=asset)
        for old, assets in claim.withdrawn.items():
            detail = {"partition": old, "withdrawn": assets, "successor": partition}
            audit.append(connection, "messages taken over", old, detail)
    keep = (ids.isin(claim.held) & ~ids.duplicated()).to_numpy()
    unread = arrivals.unparsable["message_id"]
    own = (unread.isin(claim.held) & ~unread.duplicated()).to_numpy()
    gone = len(left.intersection([*ids, *arrivals.unparsable["message_id"]]))
    computed = Computed(
        frame[keep],
        arrivals.rows[keep],
        message_ids=ids[keep],
        origin=arrivals.origin[keep],
        unparsable=arrivals.unparsable[own],
        duplicates=int((~keep).sum() + (~own).sum()) - gone,
        facts={"took_over": claim.replaced} if claim.replaced else {},
        claimed=len(claim.held),
    )
    missing = claim.held - left - set(ids[keep])
    return _with_erased(computed, _erased_rows(asset, home, partition, missing, len(frame)))


def _with_erased(computed: Computed, rows: pd.DataFrame) -> Computed:
    """The same with the rows of erased messages, of which no file has anything any more."""
    if rows.empty:
        return computed
    frame, raw, origin = computed.frame, computed.raw, computed.origin
    own = rows.reindex(columns=frame.columns)
    nowhere = pd.DataFrame(None, rows.index, None if origin is None else origin.columns, dtype="object")
    return replace(
        computed,
        frame=pd.concat([frame, own]) if len(frame) else own,
        raw=pd.concat([raw.astype("object"), rows.reindex(columns=raw.columns).astype("object")]),
        message_ids=pd.concat([found, rows["message_id"]]) if (found := computed.message_ids) is not None else None,
        origin=pd.concat([origin.astype("object"), nowhere]) if origin is not None else None,
    )


def _erased_rows(asset: str, home: Home, partition: str, missing: Collection[str], first: int) -> pd.DataFrame:
    """Of these messages those that were erased, as the batch last published them; their index begins at `first`.
    ArtifactRefused where that file is gone: without it they would be lost.
    """
    with home.ledger.read() as connection:
        wanted = erasures.of_batch(connection, partition) & set(missing)
        last = manifest.latest(connection, asset, partition) if wanted else None
    if last is None:
        return pd.DataFrame()
    known = home.warehouse.read(last.path).to_pandas()
    rows = known[known["message_id"].isin(wanted)]
    return rows.set_axis(range(first, first + len(rows)))
