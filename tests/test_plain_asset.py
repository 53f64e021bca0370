"""A model output written twice, as `@model_output` and as plain `@dg.asset`, gives equal rows."""

from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow

from orchestration_project.core.contracts import Contract
from orchestration_project.core.settings import Settings
from orchestration_project.model_output import BATCHES, governed_asset, model_output
from orchestration_project.model_output.io_manager import WarehouseIOManager
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted
from orchestration_project.stores import arrivals, manifest
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import Home


class Feedback(Contract):
    """One message."""

    message_id: str = pa.Field(unique=True)
    text: str = pa.Field(nullable=True)


@governed_asset(contract=Feedback)
def feedback(arrivals: Arrivals) -> pd.DataFrame:
    """What came in."""
    return arrivals.rows


def by_length(rows: pd.DataFrame) -> pd.DataFrame:
    """Short texts are surely fine, long ones perhaps not, and of none nothing is known."""
    length = rows["text"].str.len()
    label = pd.Series(np.where(length > 8, "angry", "fine"), rows.index, dtype="str").where(length.notna())
    return pd.DataFrame({"label": label, "confidence": 1 / length, "reason": "by length"}, index=rows.index)


CASCADE = Cascade(Scripted("reader", by_length, labels=["fine", "angry"]), safe_state=SafeLabel("unknown"))


class Tone(Decision):
    """The tone of a message."""


@model_output(CASCADE, contract=Tone)
def tone(feedback: pd.DataFrame) -> pd.DataFrame:
    """How a message sounds."""
    return feedback[["message_id", "text"]]


@dg.asset(partitions_def=BATCHES, required_resource_keys={"home"})
def plain(context: dg.AssetExecutionContext, feedback: pd.DataFrame) -> pd.DataFrame:
    """How a message sounds, without a gate, a retry on conflict or reuse."""
    return CASCADE.decide(feedback[["message_id", "text"]], context.resources.home).frame


@governed_asset(contract=Feedback, inputs={"decided": "plain"})
def downstream(decided: pd.DataFrame) -> pd.DataFrame:
    """What reads a plain asset reads decisions like any other."""
    return decided[["message_id"]].assign(text=decided["label"])


def test_a_plain_asset_gives_the_rows_of_a_model_output(tmp_path: Path):
    home = Home(Settings(home=tmp_path))
    home.prepare()
    file = tmp_path / "messages.csv"
    file.write_text("message_id,text\na,x\nb,hello\nc,something long\nd,\ne,ÿ 😀\n", encoding="utf-8")
    arrivals.register(home, arrivals.receive(home, file))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("batch", ["b1"])
        result = dg.materialize(
            [feedback, tone, plain, downstream],
            partition_key="b1",
            instance=instance,
            resources={"home": home, "io_manager": WarehouseIOManager(home)},
        )
    assert result.success
    tables: dict[str, pyarrow.Table] = {}
    with home.ledger.read() as connection:
        for version in manifest.all_current(connection, "b1"):
            tables[version.asset] = home.warehouse.read(version.path)
    assert tables["plain"].to_pylist() == tables["tone"].to_pylist()
    decided = tables["plain"].to_pandas()
    assert decided["decided_by"].tolist() == ["model", "model", "model", "safe_state", "model"]
    assert decided["accepted"].tolist() == [True, False, False, False, False]
    assert tables["downstream"].column("text").to_pylist() == decided["label"].tolist()
