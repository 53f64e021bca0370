"""Rules that decide: a decision table with one output, `label`. Each rule is as trustworthy as it was on the labels."""

from pathlib import Path
from typing import Any

import pandas as pd

from orchestration_project.core.decision_table import DecisionTable
from orchestration_project.core.statistics import acceptance_threshold, precision_lower_bound
from orchestration_project.performers.performer import Kind, Performer, Prepared
from orchestration_project.stores.champions import require_champion
from orchestration_project.stores.home import Home


class Rules(Performer):
    """The first rule that matches a row answers it; where none does, there is no answer.

    A rule's confidence was measured when its family was trained: the lower bound of its precision on the labels.
    Without a family, or with a table that has changed since, no confidence is known and nothing is accepted.
    """

    kind: Kind = "rules"

    def __init__(self, table: Path, *, on: tuple[str, ...] = ("text",), family: str | None = None) -> None:
        self.name = f"{table.stem} rules" if not table.stem.endswith("rules") else table.stem.replace("_", " ")
        self.families = (family,) if family else ()
        self.table = table
        self.on = on

    def prepare(self, home: Home) -> Prepared:
        table = self.read()
        measured: dict[str, Any] = {}
        if self.families:
            with home.ledger.read() as connection:
                measured = require_champion(connection, self.families[0]).rules
        is_measured = measured.get("digest") == table.digest
        confidence = {name: found["confidence"] for name, found in measured["rules"].items()} if is_measured else {}
        doubt = "" if is_measured else " (not measured since the table changed; run: orchestrate train)"

        def answer(rows: pd.DataFrame) -> pd.DataFrame:
            found = table.apply(rows)
            matched = found["rule"].notna()
            reason = ("rule " + found["rule"] + doubt).where(matched, "no rule matches")
            sure = found["rule"].map(confidence).astype("float64")
            return pd.DataFrame({"label": found["label"], "confidence": sure, "reason": reason})

        threshold = measured.get("threshold") if is_measured else None
        return Prepared(table.digest[:12], threshold, frozenset(row.then["label"] for row in table.rows), answer)

    def read(self) -> DecisionTable:
        """The table as it stands in its file."""
        return DecisionTable.read(self.table, inputs=self.on, outputs=("label",), default_required=False)

    def measure(self, rows: pd.DataFrame, labels: pd.Series, target_error: float) -> dict[str, Any]:
        """How right each rule is on labelled rows, as a champion records it.

        The confidence of a rule is the one-sided 95 % lower bound of its precision; the threshold is the lowest fixed
        one at which the rows that the rules would accept keep the target error, or null.
        """
        table = self.read()
        found = table.apply(rows)
        right = (found["label"] == labels).fillna(False).astype("bool")
        rules: dict[str, dict[str, Any]] = {}
        for row in table.rows:
            hits = right[(found["rule"] == row.rule).fillna(False)]
            bound = precision_lower_bound(int(hits.sum()), len(hits))
            rules[row.rule] = {"asked": len(hits), "right": int(hits.sum()), "confidence": bound}
        sure = found["rule"].map({name: rule["confidence"] for name, rule in rules.items()}).astype("float64")
        threshold = acceptance_threshold(sure.to_numpy(), right.to_numpy(), target_error)
        return {"digest": table.digest, "threshold": threshold, "rules": rules}
