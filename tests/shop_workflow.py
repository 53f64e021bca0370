"""A small shop for tests: orders come in, parcels go out, a scripted reader tells the writers' mood."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa

from orchestration_project.core.contracts import Contract
from orchestration_project.governance import audit
from orchestration_project.model_output import governed_asset, model_output
from orchestration_project.model_output.io_manager import WarehouseIOManager
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Script, Scripted
from orchestration_project.stores import arrivals, batches, halts, manifest
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT, QUARANTINE

Row = Mapping[str, Any]

impolite: list[str] = ["damn"]
"""Words that no note may have; a test that adds one has the shop become stricter."""


class Order(Contract):
    """One order."""

    message_id: str = pa.Field(unique=True, description="Its id.")
    note: str = pa.Field(nullable=True, description="What was written on it.")
    pieces: int = pa.Field(gt=0, description="How many.")

    @pa.check("note")
    def polite(cls, note: pd.Series) -> Any:
        """note is polite"""
        return ~note.str.contains("|".join(impolite), na=False)


class Parcel(Contract):
    """What is sent for an order."""

    message_id: str
    kilograms: float


class Mood(Decision):
    """How the writer of an order feels."""


def read_orders(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(pieces=pd.to_numeric(rows["pieces"])) if "pieces" in rows else rows


@governed_asset(contract=Order, group_name="shop")
def order(arrivals: Arrivals) -> pd.DataFrame:
    """Every order."""
    return read_orders(arrivals.rows)


@governed_asset(contract=Parcel)
def parcel(order: pd.DataFrame) -> pd.DataFrame:
    """What is sent."""
    return pd.DataFrame({"message_id": order["message_id"], "kilograms": order["pieces"] * 0.5})


def send(home: Home, *lines: str, columns: str = "message_id,note,pieces") -> None:
    file = home.root / "orders.csv"
    file.write_text("\n".join([columns, *lines]) + "\n", encoding="utf-8")
    arrivals.register(home, arrivals.receive(home, file))


def send_lines(home: Home, lines: list[str]) -> None:
    file = home.root / "orders.jsonl"
    file.write_text("\n".join(lines))
    arrivals.register(home, arrivals.receive(home, file))


def run(
    home: Home,
    *assets: dg.AssetsDefinition,
    batch: str | None = "b1",
    instance: dg.DagsterInstance | None = None,
    **more: Any,
) -> dg.ExecuteInProcessResult:
    """Materialise assets on a batch, as Dagster does it; by default on an instance of their own."""
    if instance is None:
        with dg.DagsterInstance.ephemeral() as own:
            return run(home, *assets, batch=batch, instance=own, **more)
    if batch is not None:
        instance.add_dynamic_partitions("batch", [batch])
    resources = {"home": home, "io_manager": WarehouseIOManager(home)}
    return dg.materialize(
        list(assets), partition_key=batch, instance=instance, resources=resources, raise_on_error=False, **more
    )


def checks(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, bool]:
    found = [one for one in result.get_asset_check_evaluations() if one.asset_key == dg.AssetKey(asset)]
    return {one.check_name: one.passed for one in found}


def failure(result: dg.ExecuteInProcessResult, asset: str) -> str:
    """What a failed step says, its causes included."""
    (event,) = [event for event in result.all_events if event.is_step_failure and event.step_key == asset]
    said, error = [], event.step_failure_data.error
    while error is not None:
        said.append(error.message)
        error = error.cause
    return "\n".join(said)


def version(home: Home, asset: str, batch: str = "b1") -> manifest.Version | None:
    with home.ledger.read() as connection:
        return manifest.current(connection, asset, batch)


def rows(home: Home, asset: str, batch: str = "b1") -> pd.DataFrame:
    found = version(home, asset, batch)
    assert found is not None
    return home.warehouse.read(found.path).to_pandas()


def open_halts(home: Home) -> list[tuple[str, str, str]]:
    with home.ledger.read() as connection:
        return [(halt.asset, halt.partition, halt.reason) for halt in halts.open_halts(connection)]


def audited(home: Home) -> list[tuple[str, str]]:
    with home.ledger.read() as connection:
        assert audit.breaks(connection) == []
        query = sa.select(AUDIT.c.action, AUDIT.c.subject).order_by(AUDIT.c.sequence)
        return [(action, subject) for action, subject in connection.execute(query)]


def quarantined(home: Home, state: str = "open") -> list[tuple[str, str]]:
    table = QUARANTINE.c
    with home.ledger.read() as connection:
        query = sa.select(table.message_id, table.reason).where(table.state == state).order_by(table.row_id)
        return [(message_id, reason) for message_id, reason in connection.execute(query)]


def kept_raw(home: Home) -> list[dict[str, Any]]:
    """The raw rows that the ledger's open quarantine rows point at."""
    table = QUARANTINE.c
    with home.ledger.read() as connection:
        query = sa.select(table.path, table.position).where(table.state == "open").order_by(table.row_id)
        places = connection.execute(query).all()
    return [pd.read_parquet(home.warehouse.quarantine / path).iloc[position].to_dict() for path, position in places]


def counts(home: Home) -> dict[str, int]:
    with home.ledger.read() as connection:
        return {state: number for state, number in batches.count_states(connection).items() if number}


def mood_asset(script: Script) -> tuple[dg.AssetsDefinition, Scripted]:
    """The asset `mood`, and the performer that reads for it."""
    performer = Scripted("reader", script, labels=["glad", "cross"])

    @model_output(Cascade(performer, safe_state=SafeLabel("unknown")), contract=Mood)
    def mood(order: pd.DataFrame) -> pd.DataFrame:
        """How the writer feels."""
        return order[["message_id", "note"]]

    return mood, performer
