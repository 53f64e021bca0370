"""The version in use of a model, and why it is in use: what the evaluation shows, or what a person ordered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pandera.pandas as pa
import sqlalchemy as sa

from assets.models.evaluation import compare, differences_of, held_out
from orchestration_project.core.contracts import Contract
from orchestration_project.governance.policy import read_policy
from orchestration_project.governance.promotion import (
    Order,
    Terms,
    Verdict,
    by_whom,
    has_lost_trial,
    judge_candidate,
    record_verdict,
    require_role,
)
from orchestration_project.governance.trial_results import TrialResult, result_of
from orchestration_project.model_output import Run
from orchestration_project.performers.model import loaded
from orchestration_project.stores import champions, labels, model_versions, switches, trials
from orchestration_project.stores.home import Home
from orchestration_project.stores.model_versions import ModelVersion

BeforePromotion = Callable[[Sequence[str]], None]
"""Gets a candidate's labels and raises where something in use does not fit them."""


class InUse(Contract):
    """The version in use after this step, and why: one row."""

    family: str = pa.Field(description="Model family.")
    version: str = pa.Field(description="Version in use.")
    candidate: str = pa.Field(description="Version that was judged.")
    is_new: bool = pa.Field(description="Whether this step put the candidate in use.")
    is_on_trial: bool = pa.Field(description="Whether the candidate is asked in shadow, beside the one in use.")
    even_if_worse: bool = pa.Field(description="Whether a person wants it in use whatever is measured.")
    reason: str = pa.Field(description="Why it was promoted, or why the older one stays.")
    ordered_by: str = pa.Field(description="Person who ordered it; empty: nobody did, a schedule trained.")
    record: str = pa.Field(description="JSON of the candidate's record.")


def choose_champion(
    challenger: ModelVersion,
    evaluation: pd.DataFrame,
    labelled: pd.DataFrame,
    home: Home,
    run: Run,
    before_promotion: BeforePromotion | None,
) -> pd.DataFrame:
    """Judge the challenger, or the version that the run's tags name; say why it is promoted or not.

    The registry's alias is for people who look there; what a run loads is the ledger's record, written when this is
    published. A version to be promoted is loaded first: a file that is lost or changed is refused.
    """
    order = by_whom(home.settings, Order.from_tags(run.tags), run.tags)
    require_role(home.settings, order)
    with home.ledger.read() as connection:
        incumbent = champions.champion(connection, challenger.family)
        replaced = labels.is_replaced(connection, challenger.family)
        named = model_versions.find(connection, challenger.family, order.version) if order.version else None
    if named is None:
        candidate, differences = with_metrics(challenger, evaluation), differences_of(evaluation)
    else:
        candidate, differences = named, compare(named, held_out(labelled), home)
    with home.ledger.read() as connection:
        switch = switches.get(connection, "version", candidate.name)
    terms = _terms(home, candidate)
    verdict = judge_candidate(
        order, candidate, incumbent, differences, labels_replaced=replaced, switch=switch, terms=terms
    )
    if verdict.is_promoted:
        loaded(home, candidate)
        if before_promotion is not None:
            before_promotion(candidate.labels)
        _tell_registry(candidate, home)
    in_use = candidate if verdict.is_promoted or incumbent is None else incumbent
    row = {"family": candidate.family, "version": in_use.version, "candidate": candidate.version}
    return pd.DataFrame(
        [
            {
                **row,
                "is_new": verdict.is_promoted,
                "is_on_trial": verdict.is_on_trial,
                "even_if_worse": verdict.even_if_worse,
                "reason": verdict.reason,
                "ordered_by": order.person,
                "record": candidate.to_json(),
            }
        ]
    )


def with_metrics(challenger: ModelVersion, evaluation: pd.DataFrame) -> ModelVersion:
    """The challenger's record with what the evaluation found over all."""
    overall = evaluation[evaluation["label"] == "all"].iloc[0]
    names = ("precision", "recall", "accuracy", "ece", "accepted_share", "accepted_error", "n")
    found = {"macro_f1": overall["f1"], **overall[list(names)].dropna()}
    return replace(challenger, metrics={**challenger.metrics, **{name: float(value) for name, value in found.items()}})


def record_promotion(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Record what was judged, in the transaction that publishes the champion's row."""
    for row in rows:
        verdict = Verdict(row["is_new"], row["reason"], row["is_on_trial"], row["even_if_worse"])
        record_verdict(connection, ModelVersion.from_json(row["record"]), verdict, row["ordered_by"])


def _terms(home: Home, candidate: ModelVersion) -> Terms:
    """What it takes until the candidate is in use."""
    with home.ledger.read() as connection:
        trial = trials.of_family(connection, candidate.family)
        was_in_use = candidate.name in {found.name for found in champions.history(connection, candidate.family)}
        used = champions.champion(connection, candidate.family)
        last = switches.get(connection, "version", used.name) if used else None
        has_lost = has_lost_trial(connection, candidate)
    is_tried = trial is not None and trial.is_of(candidate)
    result = result_of(home, trial) if trial is not None and is_tried else TrialResult()
    return Terms(
        read_policy(home.settings.policy).learning,
        trial,
        result,
        was_in_use,
        is_replaced=last is not None and last.state == "off",
        has_lost=has_lost,
    )


def _tell_registry(candidate: ModelVersion, home: Home) -> None:
    from orchestration_project.stores.registry import Registry

    if candidate.number is not None:  # a version that an older ledger recorded
        Registry(home.registry_url, home.artifacts).promote(candidate.family, candidate.number)
