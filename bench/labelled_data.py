"""The labelled data that models are measured on, each cut into rows to learn and rows to be asked about."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from assets.models.family import is_holdout
from orchestration_project.stores.families import require_family
from orchestration_project.stores.labels import shipped

LAST_DAY = "2015-02-21"
"""Of the airline messages: it is asked about, the four days before it are learnt."""

FOLDS = 5
"""Of a random split: each is asked about, and the others learnt."""


@dataclass(frozen=True)
class Part:
    """Rows to learn and rows to be asked about, each with `text` and `label`."""

    learnt: pd.DataFrame
    asked: pd.DataFrame


@dataclass(frozen=True)
class Task:
    """What a model is measured by. Of several parts each has a model of its own, and what they answer is measured
    together.
    """

    name: str
    split: str
    parts: tuple[Part, ...]


def evaluation_data() -> Path:
    """The folder of data that the project does not hold; SystemExit with what to do where it is not set."""
    folder = os.environ.get("ORCHESTRATE_EVAL_DATA")
    if not folder:
        raise SystemExit(
            "ORCHESTRATE_EVAL_DATA is not set. Set it to the folder with airline_labels.csv and clinc150.csv."
        )
    return Path(folder)


def tasks() -> list[Task]:
    """Every task, in the order of the tables."""
    clinc = clinc150()
    in_scope = clinc[clinc["label"] != "oos"]
    official = Task(
        "clinc150, in scope",
        "its own",
        (Part(in_scope[in_scope["split"] == "train"], in_scope[in_scope["split"] == "test"]),),
    )
    return [
        *(_held_out(column) for column in ("sentiment", "issue")),
        *(task for column in ("sentiment", "issue") for task in (_by_time(column), _in_folds(column))),
        official,
        Task("clinc150, in scope", "random fifth", (_folds(in_scope)[0],)),
    ]


def out_of_scope() -> pd.Series:
    """Queries that no label of clinc150 answers."""
    clinc = clinc150()
    return clinc.loc[clinc["split"] == "oos_test", "text"]


def clinc150() -> pd.DataFrame:
    """clinc/oos-eval: split, text, label."""
    return pd.read_csv(evaluation_data() / "clinc150.csv", keep_default_na=False)


def airline(column: str) -> pd.DataFrame:
    """Twitter US Airline Sentiment, of 17 to 21 February 2015: received_at, text, label."""
    rows = pd.read_csv(evaluation_data() / "airline_labels.csv", dtype="str").dropna(subset=["text", column])
    return rows[["received_at", "text", column]].rename(columns={column: "label"}).reset_index(drop=True)


def _held_out(column: str) -> Task:
    rows = shipped(require_family(column))
    held = rows["message_id"].map(is_holdout).to_numpy(dtype="bool")
    return Task(f"shipped {column}", "by hash of the id", (Part(rows[~held], rows[held]),))


def _by_time(column: str) -> Task:
    rows = airline(column)
    is_late = rows["received_at"].str[:10] == LAST_DAY
    return Task(f"airline {column}", "last day", (Part(rows[~is_late], rows[is_late]),))


def _in_folds(column: str) -> Task:
    return Task(f"airline {column}", "random folds", _folds(airline(column)))


def _folds(rows: pd.DataFrame) -> tuple[Part, ...]:
    fold = np.random.default_rng(0).integers(FOLDS, size=len(rows))
    return tuple(Part(rows[fold != number], rows[fold == number]) for number in range(FOLDS))
