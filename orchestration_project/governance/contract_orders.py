"""What people order about a contract: take a column in that it does not name, under another name or not at all."""

import sqlalchemy as sa

from orchestration_project.core.errors import UnknownName, did_you_mean
from orchestration_project.governance import audit, people
from orchestration_project.stores import accepted_columns, manifest
from orchestration_project.stores.batches import columns_seen
from orchestration_project.stores.halts import open_halts
from orchestration_project.stores.home import Home


def accept_column(home: Home, asset: str, column: str, name: str | None, reason: str) -> list[str]:
    """Accept a column of inbound files under another name, or (None) to be left out; returns the batches that are halted
    at the asset, which may go on now.

    It is written into the file of accepted columns, and audited. Takes the role operator. UnknownName for an asset that
    never ran here, a column that never came in, and a name that neither the asset's rows nor any file knows.
    """
    person = people.require(home.settings, "operator")
    with home.ledger.read() as connection:
        _require_asset(connection, asset)
        seen = columns_seen(connection)
        if column not in seen:
            raise UnknownName(f"No file that came in has a column '{column}'.{did_you_mean(column, seen)}")
        if name is not None:
            _require_name(connection, home, asset, name)
    with home.ledger.write() as connection:
        accepted_columns.accept(
            home.settings.accepted_columns, asset=asset, column=column, name=name or "", reason=reason
        )
        audit.append(
            connection, "column accepted", asset, {"column": column, "name": name, "reason": reason}, person.name
        )
        return [halt.partition for halt in open_halts(connection) if halt.asset == asset]


def _require_asset(connection: sa.Connection, asset: str) -> None:
    """What it published, or where it halted, shows that an asset ran."""
    known = {found.asset for found in [*manifest.all_current(connection), *open_halts(connection)]}
    if asset not in known:
        raise UnknownName(f"No asset '{asset}' has published or halted here.{did_you_mean(asset, known)}")


def _require_name(connection: sa.Connection, home: Home, asset: str, name: str) -> None:
    versions = [version for version in manifest.all_current(connection) if version.asset == asset]
    if not versions:
        return  # nothing was published yet that could say its columns
    known = {*home.warehouse.read(versions[-1].path).column_names, *columns_seen(connection)}
    if name not in known:
        raise UnknownName(f"{asset} has no column '{name}'.{did_you_mean(name, known)}")
