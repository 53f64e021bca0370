"""The labels of this home: those that the checkout ships, what people imported since, and what they decided.

An import is an immutable Parquet file that the ledger names. One that replaces starts the labels of its family anew, and
what was decided before it counts no more; any other adds to them, and corrects what it names again. So does a verdict,
if its label is among those that the family knows: no model learns a label from one message.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from orchestration_project.core.errors import ArtifactRefused, FileRefused
from orchestration_project.stores.families import Family
from orchestration_project.stores.files import write_file
from orchestration_project.stores.home import Home
from orchestration_project.stores.label_files import LABEL, MESSAGE_ID, SOURCE, TEXT, read_label_file
from orchestration_project.stores.ledger import now
from orchestration_project.stores.schema import LABEL_IMPORTS
from orchestration_project.stores.verdict_labels import labels_from_verdicts

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

COLUMNS = (MESSAGE_ID, TEXT, LABEL, SOURCE)

FIRST_ID = "first_id"
"""The message id with which a label's text came first."""
"""Of `current`."""


@dataclass(frozen=True)
class Import:
    """One import, as the ledger knows it. `path` is relative to the home; `reason` is why it was taken against the
    findings, None where there were none.
    """

    import_id: int
    family: str
    source: str
    path: str
    sha256: str
    rows: int
    replaces: bool
    reason: str | None
    imported_at: datetime

    def facts(self) -> dict[str, Any]:
        """What the audit log keeps of it."""
        return {**vars(self), "imported_at": self.imported_at.isoformat()}


def imports(connection: sa.Connection, family: str) -> list[Import]:
    """Every import of a family, oldest first."""
    columns = [LABEL_IMPORTS.c[entry.name] for entry in fields(Import)]
    query = sa.select(*columns).where(LABEL_IMPORTS.c.family == family).order_by(LABEL_IMPORTS.c.import_id)
    return [Import(*row) for row in connection.execute(query)]


def counting(recorded: Sequence[Import]) -> list[Import]:
    """Those of a family's imports that still count: from the last one on that replaced what was before."""
    starts = [position for position, entry in enumerate(recorded) if entry.replaces]
    return list(recorded[starts[-1] :] if starts else recorded)


def latest_replacement(connection: sa.Connection, family: str) -> int | None:
    """Id of the import that started the family's labels anew last; None: the shipped ones count."""
    query = sa.select(sa.func.max(LABEL_IMPORTS.c.import_id))
    return connection.execute(query.where(LABEL_IMPORTS.c.family == family, LABEL_IMPORTS.c.replaces)).scalar()


def is_replaced(connection: sa.Connection, family: str) -> bool:
    """Whether an import started the family's labels anew, so that the shipped ones count no more."""
    return latest_replacement(connection, family) is not None


def to_parquet(rows: "pd.DataFrame") -> bytes:
    """The rows of an import (message_id, text, label) as the Parquet file that is stored."""
    import pyarrow
    import pyarrow.parquet

    stream = io.BytesIO()
    schema = pyarrow.schema([(name, pyarrow.string()) for name in (MESSAGE_ID, TEXT, LABEL)])
    table = pyarrow.Table.from_pandas(rows, schema, preserve_index=False).replace_schema_metadata()
    pyarrow.parquet.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def digest_of(content: bytes) -> str:
    """sha256 of an import's file, in hex."""
    return hashlib.sha256(content).hexdigest()


def path_of(home: Home, family: str, content: bytes) -> str:
    """The path, below the home, of an import's Parquet file, which is named by its digest."""
    return home.below(home.labels / family / f"{digest_of(content)[:16]}.parquet")


def store(home: Home, family: str, content: bytes) -> str:
    """Write an import's Parquet file; returns its path below the home."""
    path = path_of(home, family, content)
    write_file(home.root / path, content)
    return path


def table_of(home: Home, entry: Import) -> "pyarrow.Table | None":
    """The rows of an import as they are stored, unchecked; None where the file is gone."""
    import pyarrow.parquet

    file = home.root / entry.path
    return pyarrow.parquet.ParquetFile(file).read() if file.is_file() else None


def record(
    connection: sa.Connection,
    *,
    family: str,
    source: str,
    path: str,
    sha256: str,
    rows: int,
    replaces: bool,
    reason: str | None,
) -> Import:
    """Make an import count, in the caller's transaction."""
    values: dict[str, Any] = {"family": family, "source": source, "path": path, "sha256": sha256, "rows": rows}
    values |= {"replaces": replaces, "reason": reason, "imported_at": now()}
    key = connection.execute(sa.insert(LABEL_IMPORTS).values(**values)).inserted_primary_key
    assert key is not None  # an insert of one row has one
    return Import(import_id=key[0], **values)


def current(home: Home, family: Family) -> "pd.DataFrame":
    """What the next training of a family learns: message_id (unique), text (unique), label, source, first_id; by message_id.

    `source` is the family's own file as `families.toml` writes it, the name of the file that was imported, or whose
    verdict it is. Never what a model answered and nobody looked at.
    FileRefused for a family's own file that cannot be used, ArtifactRefused for an import that is lost or was changed.
    """
    import pandas as pd

    with home.ledger.read() as connection:
        counted = counting(imports(connection, family.name))
    is_replaced = bool(counted) and counted[0].replaces
    said = labels_from_verdicts(home, family, counted[0].imported_at if is_replaced else None)
    parts = [] if is_replaced else [shipped(family)]
    for entry in counted:
        is_earlier = said["decided_at"] <= entry.imported_at
        parts += [said[is_earlier], read(home, entry).assign(source=entry.source)]
        said = said[~is_earlier]
    parts.append(said)
    known = {label for part in parts if "decided_at" not in part for label in part[LABEL]}
    learnt = [part.loc[part[LABEL].isin(known), list(COLUMNS)] for part in parts if len(part)]
    first = pd.concat(learnt).drop_duplicates(TEXT).set_index(TEXT)[MESSAGE_ID]
    rows = reduce(merged, learnt).sort_values(MESSAGE_ID).reset_index(drop=True)
    return rows.assign(**{FIRST_ID: rows[TEXT].map(first)}).astype("str")


def merged(earlier: "pd.DataFrame", later: "pd.DataFrame") -> "pd.DataFrame":
    """Labels with others added: a later row takes the place of earlier ones with its message id or its text."""
    import pandas as pd

    is_corrected = earlier[MESSAGE_ID].isin(later[MESSAGE_ID]) | earlier[TEXT].isin(later[TEXT])
    return pd.concat([earlier[~is_corrected], later], ignore_index=True)


def shipped(family: Family) -> "pd.DataFrame":
    """The labels that a family ships with, with their source; rows without a label are left out.

    FileRefused for a file that is not there, or holds a row that no training could use.
    """
    if not family.path.is_file():
        raise FileRefused(
            f"There is no label file {family.path}. Put it there, or name another for {family.name} in families.toml."
        )
    file = read_label_file(family.path, label=family.column)
    for line, cause in file.unreadable.items():
        raise FileRefused(f"Line {line} of {family.labels_file} cannot be read: {cause}")
    for line in file.empty_texts:
        raise FileRefused(f"Line {line} of {family.labels_file} has a label and no text. Write the text.")
    repeated = file.rows[file.rows[MESSAGE_ID].duplicated()]
    for message_id, line in zip(repeated[MESSAGE_ID], repeated["line"], strict=True):
        raise FileRefused(
            f"Line {line} of {family.labels_file} has the message id '{message_id}' of another. Give it its own."
        )
    return file.learnt.assign(source=family.labels_file)


def read(home: Home, entry: Import) -> "pd.DataFrame":
    """The rows of an import: message_id, text, label. ArtifactRefused if they are not those that were recorded."""
    import pyarrow
    import pyarrow.parquet

    try:
        content = (home.root / entry.path).read_bytes()
    except FileNotFoundError as error:
        raise ArtifactRefused(f"{entry.path} is named in the ledger and is not in {home.root}. Put it back.") from error
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise ArtifactRefused(
            f"{entry.path} is not the file that was imported from {entry.source}. Put it back, or import it again."
        )
    return pyarrow.parquet.read_table(pyarrow.BufferReader(content)).to_pandas()[[MESSAGE_ID, TEXT, LABEL]]
