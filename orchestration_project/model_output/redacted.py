"""What a step shows in Dagster, without the addresses and numbers that a row may hold: checks, materialisations and
errors pass through here before they reach its pages and its log.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from orchestration_project.core.redaction import redact, redact_values


def redacted(event: Any, keep: Iterable[str] = ()) -> Any:
    """A check's result or a materialisation with its words redacted; any other event as it is. `keep` are message ids."""
    if isinstance(event, dg.MaterializeResult):
        return dg.MaterializeResult(
            asset_key=event.asset_key,
            metadata=redacted_metadata(event.metadata or {}, keep),
            check_results=[redacted(result, keep) for result in event.check_results or ()],
            data_version=event.data_version,
            tags=event.tags,
            value=event.value,
        )
    if isinstance(event, dg.AssetCheckResult):
        return dg.AssetCheckResult(
            passed=event.passed,
            asset_key=event.asset_key,
            check_name=event.check_name,
            metadata=redacted_metadata(event.metadata, keep),
            severity=event.severity,
            description=redact(event.description, keep) if event.description else event.description,
        )
    return event


def redacted_metadata(metadata: Mapping[str, Any], keep: Iterable[str] = ()) -> dict[str, Any]:
    """Metadata whose texts, lists, objects and tables are redacted; names, numbers, paths and addresses of pages stay."""
    return {name: _redacted_value(value, keep) for name, value in metadata.items()}


def _redacted_value(value: Any, keep: Iterable[str]) -> Any:
    if isinstance(value, dg.TextMetadataValue):
        return dg.TextMetadataValue(redact(value.text or "", keep))
    if isinstance(value, dg.MarkdownMetadataValue):
        return dg.MarkdownMetadataValue(redact(value.md_str or "", keep))
    if isinstance(value, dg.JsonMetadataValue):
        return dg.JsonMetadataValue(redact_values(value.data, keep))
    if isinstance(value, dg.TableMetadataValue):
        records = [dg.TableRecord(redact_values(record.data, keep)) for record in value.records]
        return dg.TableMetadataValue(records, value.schema)
    if isinstance(value, dg.MetadataValue):
        return value
    return redact_values(value, keep)


def redact_error(error: BaseException | None) -> None:
    """Redact what an error says, and those behind it, in place: Dagster's log holds the words of each.

    An error of a library that makes its sentence of something else than its arguments keeps it.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.args = tuple(redact(argument) if isinstance(argument, str) else argument for argument in one.args)
        if notes := getattr(one, "__notes__", None):
            one.__notes__ = [redact(note) for note in notes]
        if isinstance(one, dg.Failure) and one.description:
            one.description = redact(one.description)
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
