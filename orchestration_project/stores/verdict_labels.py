"""What people decided, as labels: the text of each message that somebody decided on, with the label that stands."""

from typing import TYPE_CHECKING

import sqlalchemy as sa

from orchestration_project.stores import cascades, manifest, verdicts
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home
from orchestration_project.stores.label_files import LABEL, MESSAGE_ID, SOURCE, TEXT
from orchestration_project.stores.schema import ERASURES, VERDICTS
from orchestration_project.stores.verdicts import Verdict
from orchestration_project.stores.warehouse import by_asset

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

NAMED = "verdict of "
"""What the source of such a label is called, before the person's name."""


def verdicts_of(
    connection: sa.Connection, family: Family, since: "datetime | None" = None, *, after: int = 0
) -> list[Verdict]:
    """The verdicts that stand on the model outputs whose cascade asks the family's model, the oldest first; without those
    on messages that were erased. `since` and `after` leave out what was decided before a moment, and up to the verdict of
    a number.
    """
    assets = [known.asset for known in cascades.every(connection) if family.performer in known.asked]
    later = [] if since is None else [VERDICTS.c.decided_at > since]
    erased = sa.select(ERASURES.c.message_id)
    its = (VERDICTS.c.asset.in_(assets), VERDICTS.c.is_current, VERDICTS.c.message_id.not_in(erased))
    later.append(VERDICTS.c.verdict_id > after)
    return verdicts.select(connection, *its, *later)


def labels_from_verdicts(home: Home, family: Family, since: "datetime | None" = None) -> "pd.DataFrame":
    """A row for each message that people decided on since a moment (None: ever), the oldest first: message_id, text,
    label, source, decided_at.

    The text is that of the version in use of whatever took the message in (its column `text`); a message that no
    version has any more, as one of a batch that was given up, has no row.
    """
    import pandas as pd
    import pyarrow

    columns = [MESSAGE_ID, TEXT, LABEL, SOURCE, "decided_at"]
    with home.ledger.read() as connection:
        said = verdicts_of(connection, family, since)
        batches = sorted({verdict.partition for verdict in said})
        sources = manifest.sources(connection)
        wanted = set(batches)
        current = [version for version in manifest.all_current(connection) if version.partition in wanted]
    files = by_asset((one.asset, one.path) for one in current if sources.get(one.partition) == one.asset)
    if not files:
        return pd.DataFrame(columns=columns)
    frames: list[pd.DataFrame] = []
    with home.warehouse.connect(files) as warehouse:
        for asset in files:
            if TEXT not in {name for name, *_ in warehouse.execute(f'DESCRIBE "{asset}"').fetchall()}:
                continue
            warehouse.register("said", pyarrow.table({"message_id": [verdict.message_id for verdict in said]}))
            query = f'SELECT batch, message_id, text FROM "{asset}" SEMI JOIN said USING (message_id)'
            found = warehouse.execute(query).fetchall()
            frames.append(pd.DataFrame(found, columns=["batch", MESSAGE_ID, TEXT], dtype="str"))
    decided = pd.DataFrame(
        {
            "batch": [one.partition for one in said],
            MESSAGE_ID: [one.message_id for one in said],
            LABEL: [one.label for one in said],
            SOURCE: [f"{NAMED}{one.person}" for one in said],
            "decided_at": [one.decided_at for one in said],
        }
    )
    texts = pd.concat([pd.DataFrame(columns=["batch", MESSAGE_ID, TEXT], dtype="str"), *frames])
    rows = decided.merge(texts, on=["batch", MESSAGE_ID])[columns]
    rows = rows.drop_duplicates(MESSAGE_ID, keep="last").drop_duplicates(TEXT, keep="last")
    return rows.reset_index(drop=True)
