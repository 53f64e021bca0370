"""A workflow for tests of erasure: letters, how each writer feels, and a recap that quotes them in every place it can."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pandera.pandas as pa
from dagster._core.definitions.reconstruct import ReconstructableRepository

from orchestration_project.core.contracts import Contract
from orchestration_project.dispatch.executor import ledger_executor
from orchestration_project.model_output import Result, Run, governed_asset, model_output
from orchestration_project.model_output.decorators import HOME
from orchestration_project.model_output.with_people import VERDICTS
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.person import Person
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.home import current_home
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.run_requests import WORKFLOW

mishaps: list[str] = []
"""What the next runs of `recap` fail with."""


class Letter(Contract):
    """One letter."""

    message_id: str = pa.Field(unique=True, description="Its id.")
    text: str = pa.Field(description="What was written.")
    account: str = pa.Field(nullable=True, description="Who wrote it.")
    metadata: str = pa.Field(description="JSON.")
    pieces: int = pa.Field(gt=0, description="How many.")


class Mood(Decision):
    """How the writer feels."""


class Recap(Contract):
    """What a batch is about."""

    key: str = pa.Field(unique=True)
    volume: int
    themes: str
    quotes: str
    message_ids: str


@governed_asset(contract=Letter)
def letter(arrivals: Arrivals) -> pd.DataFrame:
    """Every letter of the batch."""
    rows = arrivals.rows.assign(pieces=pd.to_numeric(arrivals.rows["pieces"]))
    rows["metadata"] = rows["account"].map(lambda account: json.dumps({"from": account}))
    return rows


def _read(rows: pd.DataFrame) -> pd.DataFrame:
    sure = rows["text"].str.contains("word")
    return pd.DataFrame(
        {"label": "calm", "confidence": sure.map({True: 0.9, False: 0.3}), "reason": "sounds like " + rows["text"]},
        index=rows.index,
    )


@model_output(
    Cascade(Scripted("reader", _read, labels=["calm", "angry"]), Person(), safe_state=SafeLabel("unknown")),
    contract=Mood,
)
def mood(letter: pd.DataFrame) -> pd.DataFrame:
    """How each writer feels."""
    return letter[["message_id", "text"]]


def announce(row: dict[str, Any]) -> Notice:
    quoted = "\n\n".join(f"> {quote['text']}\n>\n> — {quote['message_id']}" for quote in json.loads(row["quotes"]))
    facts = {name: json.loads(row[name]) for name in ("themes", "quotes", "message_ids")}
    return Notice(f"recap/{row['key']}", f"{row['volume']} letters", quoted, {**facts, "volume": row["volume"]})


@governed_asset(contract=Recap, announce=announce)
def recap(letter: pd.DataFrame, run: Run) -> Result:
    """What the batch is about."""
    if mishaps:
        raise ValueError(mishaps.pop())
    said = letter[["message_id", "text"]].to_dict("records")
    themes = [theme for theme in ("Zanzibar pier", "garden") if letter["text"].str.contains(theme).any()]
    for row in said:
        run.log(f"Read {row['text']}")
        print("Printed", row["text"])
    row = {"key": letter["message_id"].iloc[0], "volume": len(letter), "quotes": json.dumps(said, ensure_ascii=False)}
    row |= {
        "themes": json.dumps(themes),
        "message_ids": json.dumps(list(letter["message_id"])),
    }
    first = {"first": dg.TextMetadataValue(str(letter["text"].iloc[-1])), "rows": dg.JsonMetadataValue(said)}
    return Result(pd.DataFrame([row], columns=list(Recap.to_schema().columns)), first)


def definitions() -> dg.Definitions:
    return dg.Definitions(
        assets=[letter, mood, recap, VERDICTS],
        jobs=[
            dg.define_asset_job(WORKFLOW, selection=["letter", "mood", "recap"]),
            dg.define_asset_job("verdicts_on_mood", selection=["mood"]),
        ],
        resources={HOME: dg.ResourceDefinition(lambda _: current_home())},
        executor=ledger_executor,
    )


REPOSITORY = ReconstructableRepository.for_module(__name__, "definitions", str(Path(__file__).parent))
