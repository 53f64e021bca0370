"""The gate: holds an asset's rows to its contract and the batch to its limits, and says in Dagster's checks what it
found.

- Drift (unknown, missing or retyped column, a rule that the batch as a whole breaks) halts.
- A refused row is quarantined and the good rows go on, unless too many are refused: more than the quarantine share and
  at least the quarantine rows (both settings), or every row. Then the batch halts. A batch of one row goes on without
  it; an asset that belongs to no batch halts, for nothing would be left of it.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pandas as pd

from orchestration_project.core.contracts import Checked, Contract, Rule, rules
from orchestration_project.core.settings import Settings
from orchestration_project.model_output.partitions import BATCHES

GATE = "gate"
SHOWN_IDS = 20
NOT_TRIED = "Not tried: the columns drifted."


@dataclass(frozen=True)
class Judgement:
    """What the gate decides of a frame: why it halts (None: it does not), and how many rows were refused of how
    many.
    """

    checked: Checked
    rows: int
    refused: int
    halt: str | None

    @property
    def message_ids(self) -> list[str]:
        """Ids of the first refused rows, where the rows have ids."""
        frame = self.checked.frame
        if "message_id" not in frame:
            return []
        ids = frame["message_id"].iloc[sorted(self.checked.refused)[:SHOWN_IDS]]
        return [str(value) for value in ids if not pd.isna(value)]


def judge(checked: Checked, settings: Settings, unparsable: int = 0, *, has_batches: bool = True) -> Judgement:
    """Decide whether a checked frame may pass. `unparsable` lines count as refused rows of the batch."""
    rows, refused = len(checked.frame) + unparsable, len(checked.refused) + unparsable
    halt = None
    if checked.drift:
        halt = f"The columns drifted: {'; '.join(checked.drift)}."
    elif refused == rows and refused >= (2 if has_batches else 1):
        halt = f"{f'All {rows} rows were' if rows > 1 else 'The only row was'} refused{_most_frequent(checked)}."
    elif refused >= settings.quarantine_rows and refused / rows > settings.quarantine_share:
        halt = f"{refused} of {rows} rows were refused, more than {settings.quarantine_share:.0%}{_most_frequent(checked)}."
    return Judgement(checked, rows, refused, halt)


def check_specs(asset: str, contract: type[Contract], is_partitioned: bool) -> list[dg.AssetCheckSpec]:
    """The gate, which blocks, and one check for each rule of the contract, by its name.

    The gate itself speaks for presence.
    """
    partitions = BATCHES if is_partitioned else None
    gate = dg.AssetCheckSpec(
        GATE,
        asset=asset,
        blocking=True,
        partitions_def=partitions,
        description="Halts on schema drift, or when too many rows break the contract; refused rows go to quarantine.",
    )
    named = [
        dg.AssetCheckSpec(rule.name, asset=asset, partitions_def=partitions, description=rule.meaning)
        for rule in _shown_rules(contract)
    ]
    return [gate, *named]


def check_results(
    asset: str, contract: type[Contract], judgement: Judgement, batch: str, *, takes_arrivals: bool
) -> Iterator[dg.AssetCheckResult]:
    """The outcome of the gate and of each rule. A rule's refused rows are a warning; only the gate stops a batch. Where
    the columns drifted, no rule was tried, and each says so.
    """
    checked = judgement.checked
    yield dg.AssetCheckResult(
        asset_key=asset,
        check_name=GATE,
        passed=judgement.halt is None,
        description=judgement.halt or f"{judgement.rows - judgement.refused} of {judgement.rows} rows pass.",
        metadata={
            **({"what to do": _what_to_do(asset, checked, batch, takes_arrivals)} if judgement.halt else {}),
            "rows": judgement.rows,
            "refused": judgement.refused,
            "columns": list(checked.frame.columns),
            "drift": list(checked.drift),
            "refused_message_ids": judgement.message_ids,
            "refused_by_rule": dict(Counter(refusal.rule for refusal in checked.refusals)),
        },
    )
    counts = Counter(refusal.rule for refusal in checked.refusals)
    for rule in _shown_rules(contract):
        refused = counts[rule.name]
        yield dg.AssetCheckResult(
            asset_key=asset,
            check_name=rule.name,
            passed=refused == 0 and not checked.drift,
            severity=dg.AssetCheckSeverity.WARN,
            description=NOT_TRIED if checked.drift else _kept(counts[rule.name], judgement.rows),
            metadata={"refused": refused, "rows": judgement.rows},
        )


def _kept(refused: int, rows: int) -> str:
    return (
        f"{refused} of {rows} rows break it, and wait in quarantine." if refused else f"None of {rows} rows breaks it."
    )


def _what_to_do(asset: str, checked: Checked, batch: str, takes_arrivals: bool) -> str:
    """The commands by which what is halted goes on."""
    if not batch:
        return f"Mend the cause, and materialise {asset} again"
    retry = f"then: orchestrate halt retry {batch} --reason TEXT"
    if not takes_arrivals and (checked.drift or checked.refused):
        seen = f"orchestrate quarantine list --batch {batch}; " if checked.refused else ""
        return f"{seen}mend {asset}, its contract, or what these rows were made from; {retry}"
    names = [found[1] for drift in checked.drift if (found := re.fullmatch(r"unknown column '(.*)'", drift))]
    if names:
        accept = [f"orchestrate contract accept {asset} {shlex.quote(name)} --as NAME (or --ignore)" for name in names]
        return f"{' and '.join(accept)}, with --reason TEXT; {retry}"
    if checked.drift:
        return f"Correct the contract, or send the file again as it should be; {retry}"
    if checked.refused:
        return f"orchestrate quarantine list --batch {batch}; correct and replay, or discard these rows; {retry}"
    return f"Look at the batch. If it is as it should be: orchestrate halt pass {batch} --reason TEXT"


def _shown_rules(contract: type[Contract]) -> list[Rule]:
    return [rule for rule in rules(contract) if not rule.is_presence]


def _most_frequent(checked: Checked) -> str:
    counts = Counter(refusal.rule for refusal in checked.refusals)
    if not counts:
        return ""
    (name, number), *others = counts.most_common()
    is_only = not others and number == len(checked.frame)
    return f" by the rule {name}" if is_only else f", most of them by the rule {name}"
