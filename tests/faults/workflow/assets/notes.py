"""A small workflow that trains nothing and starts fast: notes → mood → complaint, by a scripted performer."""

import time
from pathlib import Path

import dagster as dg
import pandas as pd
import pandera.pandas as pa

from orchestration_project.core.contracts import Contract, empty_frame
from orchestration_project.dispatch.sensor import arrivals_sensor
from orchestration_project.model_output import governed_asset, model_output
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.decision import Decision
from orchestration_project.performers.safe_label import SafeLabel
from orchestration_project.performers.scripted import Scripted
from orchestration_project.stores.arrivals import Arrivals
from orchestration_project.stores.outbox import Notice
from orchestration_project.stores.run_requests import WORKFLOW

WAIT_FOR = "wait for "


class Note(Contract):
    """One note."""

    message_id: str = pa.Field(unique=True, description="Stable id.")
    text: str = pa.Field(str_length={"min_value": 1}, description="What was written.")


class Mood(Decision):
    """How each note sounds."""


class Complaint(Contract):
    """An angry note."""

    key: str = pa.Field(unique=True, description="The note's id.")
    text: str = pa.Field(description="What was written.")


def by_words(rows: pd.DataFrame) -> pd.DataFrame:
    """angry where the text says so; unsure of questions; calm otherwise. A note may ask to wait for a file."""
    for text in rows["text"]:
        while text.startswith(WAIT_FOR) and not Path(text.removeprefix(WAIT_FOR)).exists():
            time.sleep(0.05)
    is_angry = rows["text"].str.contains("angry")
    confidence = pd.Series(0.9, rows.index).mask(rows["text"].str.endswith("?"), 0.2)
    label = pd.Series("calm", rows.index, dtype="str").mask(is_angry, "angry")
    return pd.DataFrame({"label": label, "confidence": confidence, "reason": ""})


WORDS = Scripted("words", by_words, labels=("angry", "calm"))


@governed_asset(contract=Note, group_name="notes")
def note(arrivals: Arrivals) -> pd.DataFrame:
    """Every note of the batch, once."""
    ids = arrivals.identify(arrivals.rows, by=("text",))
    return arrivals.rows.assign(message_id=ids)[["message_id", "text"]]


@model_output(Cascade(WORDS, safe_state=SafeLabel("unknown")), contract=Mood, group_name="notes")
def mood(note: pd.DataFrame) -> pd.DataFrame:
    """How each note sounds."""
    return note


@governed_asset(
    contract=Complaint,
    announce=lambda row: Notice(f"complaint/{row['key']}", f"Complaint {row['key']}", str(row["text"])),
    output_required=False,
    group_name="notes",
)
def complaint(note: pd.DataFrame, mood: pd.DataFrame) -> pd.DataFrame:
    """What somebody should answer."""
    angry = note[note["message_id"].isin(mood.loc[mood["label"] == "angry", "message_id"])]
    found = angry.rename(columns={"message_id": "key"}).reset_index(drop=True)
    return found if len(found) else empty_frame(Complaint)


workflow = dg.define_asset_job(WORKFLOW, selection=dg.AssetSelection.groups("notes"))
notes_arrived = arrivals_sensor("notes_arrived", workflow, default_status=dg.DefaultSensorStatus.RUNNING)
