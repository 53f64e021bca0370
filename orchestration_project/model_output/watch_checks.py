"""The checks of a watch in Dagster: one for each limit, with its value, what is usual, the limit and a picture of the
batches before.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from orchestration_project.core.outliers import Judged, Measured, stability_index
from orchestration_project.model_output.gate import NOT_TRIED
from orchestration_project.model_output.history_plot import bars, plot
from orchestration_project.model_output.measures import LEVEL, MEASURES, MIX, SHARE, UNITS
from orchestration_project.model_output.partitions import BATCHES
from orchestration_project.model_output.watch import Found, Limit, Watch, in_unit, said


def watch_specs(asset: str, watch: Watch | None) -> list[dg.AssetCheckSpec]:
    """A check for each limit of an asset that is partitioned by batch."""
    return [
        dg.AssetCheckSpec(limit.name, asset=asset, partitions_def=BATCHES, description=limit.meaning)
        for limit in (watch.of(asset) if watch else ())
    ]


def watch_results(asset: str, watch: Watch | None, found: Found | None) -> Iterator[dg.AssetCheckResult]:
    """How each limit stands, with value, limit and the values of the window as bars and as a picture. Where the columns drifted,
    nothing was found, and each says so.
    """
    for limit in watch.of(asset) if watch else ():
        if found is None:
            yield dg.AssetCheckResult(
                asset_key=asset,
                check_name=limit.name,
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description=NOT_TRIED,
            )
            continue
        judged, values = found.judged[limit.name], _values(limit, found)
        yield dg.AssetCheckResult(
            asset_key=asset,
            check_name=limit.name,
            passed=not judged.is_anomaly,
            severity=dg.AssetCheckSeverity.ERROR if limit.level == "halt" else dg.AssetCheckSeverity.WARN,
            description=f"Not judged: {judged.unjudged}."
            if judged.unjudged
            else f"{said(limit, judged)}. {bars(values)}",
            metadata=_facts(limit, judged, values),
        )


def _facts(limit: Limit, judged: Judged, values: Sequence[float]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "value": round(in_unit(limit, judged.value), 4),
        "usual": round(in_unit(limit, judged.usual), 4),
        "distance": round(judged.distance, 4),
        "limit": round(judged.limit, 4),
        "batches": max(0, len(values) - 1),
        "level": limit.level,
        "why this limit": limit.reason,
    }
    if limit.measure in UNITS:
        facts["unit"] = UNITS[limit.measure]
    if values:
        picture = plot(values, _boundaries(limit, judged), UNITS.get(limit.measure, ""))
        facts["history"] = dg.MarkdownMetadataValue(picture)
    return facts


def _values(limit: Limit, found: Found) -> list[float]:
    """What is drawn of each batch, this one last: a share, a level in its unit, or how far its mix lies from that of the
    window. Nothing where this one could not be measured.
    """
    if limit.name not in found.measured:
        return []
    kind, window = MEASURES[limit.measure][0], found.window.get(limit.name, ())
    measured: list[Measured] = [*window, found.measured[limit.name]]
    if kind == SHARE:
        return [one["hits"] / one["rows"] if one["rows"] else 0.0 for one in measured]
    if kind == LEVEL:
        return [in_unit(limit, math.exp(one["value"])) for one in measured]
    usual: Counter[str] = Counter()
    for one in window or measured:
        usual.update(one["counts"])
    return [stability_index(one["counts"], usual) for one in measured]


def _boundaries(limit: Limit, judged: Judged) -> list[float]:
    """The values from which on the batch would be an anomaly; none where it was not judged, or lies exactly where it
    usually does, which says nothing about how far is far.
    """
    kind = MEASURES[limit.measure][0]
    if judged.unjudged:
        return []
    if kind == MIX:
        return [judged.limit]
    if not judged.distance:
        return []
    if kind == SHARE:
        error = (judged.value - judged.usual) / judged.distance
        return [judged.usual + max(error * judged.limit, limit.least)]
    sd = abs(math.log(judged.value / judged.usual)) / judged.distance
    factor = max(math.exp(sd * judged.limit), limit.least)
    return [in_unit(limit, judged.usual * factor), in_unit(limit, judged.usual / factor)]
