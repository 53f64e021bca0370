"""What a materialisation shows in Dagster's UI beside the rows."""

from typing import Any

from orchestration_project.model_output.computed import Computed
from orchestration_project.model_output.gate import Judgement
from orchestration_project.model_output.with_people import people_facts
from orchestration_project.stores import manifest


def shown(computed: Computed, judgement: Judgement, version: manifest.Version) -> dict[str, Any]:
    """How many rows, how fast, who decided them, and what became of the rest."""
    rows, seconds = version.rows, computed.seconds
    facts: dict[str, Any] = {
        "dagster/row_count": rows,
        "version": version.version,
        "refused": judgement.refused,
        "latency_seconds": round(seconds, 4),
        "throughput_rows_per_second": round(judgement.rows / seconds, 1) if seconds else 0.0,
        "file": version.path,
        **computed.metadata,
    }
    if computed.duplicates:
        facts["duplicates"] = computed.duplicates
    if computed.decisions is not None:
        frame = computed.decisions.frame
        total = max(1, len(frame))
        facts["accepted_share"] = round(float(frame["accepted"].sum()) / total, 4)
        facts["reused"] = computed.decisions.reused
        facts |= people_facts(computed.decisions)
        for name, count in computed.decisions.decided_by().items():
            facts[f"decided by {name}"] = f"{count} ({count / total:.0%})"
        for work in computed.decisions.work:
            facts |= work.facts()
    return facts
