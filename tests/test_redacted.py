"""What a step shows in Dagster, redacted: results of checks, materialisations, and errors with those behind them."""

import dagster as dg

from orchestration_project.core.redaction import ACCOUNT, CARD, E_MAIL, PHONE
from orchestration_project.model_output.redacted import redact_error, redacted


def table(text: str) -> dg.TableMetadataValue:
    return dg.MetadataValue.table([dg.TableRecord({"text": text, "n": 1})])


def test_words_lists_and_objects_of_a_result_are_redacted_and_everything_else_of_it_stays() -> None:
    check = dg.AssetCheckResult(
        passed=False,
        asset_key="order",
        check_name="gate",
        severity=dg.AssetCheckSeverity.WARN,
        description="The columns drifted: unknown column 'jane@example.com'.",
        metadata={
            "ids": ["123456789", "987654321"],
            "rows": 4111111111111111,
            "path": dg.MetadataValue.path("/a@b.co"),
        },
    )
    shown = redacted(
        dg.MaterializeResult(
            asset_key="order",
            metadata={
                "table": dg.MarkdownMetadataValue("| 415-555-2671 |"),
                "word": "a@b.co",
                "n": 2,
                "none": None,
                "all": table("a@b.co"),
            },
            check_results=[check],
            data_version=dg.DataVersion("abc"),
            tags={"a": "b"},
        ),
        keep=["123456789"],
    )
    (result,) = shown.check_results
    assert result.description == f"The columns drifted: unknown column '{E_MAIL}'."
    assert {name: value.value for name, value in result.metadata.items()} == {
        "ids": ["123456789", ACCOUNT],
        "rows": 4111111111111111,
        "path": "/a@b.co",
    }
    assert (result.passed, result.severity, result.check_name) == (False, check.severity, "gate")
    markdown = dg.MarkdownMetadataValue(f"| {PHONE} |")
    assert shown.metadata == {"table": markdown, "word": E_MAIL, "n": 2, "none": None, "all": table(E_MAIL)}
    assert (shown.data_version, shown.tags) == (dg.DataVersion("abc"), {"a": "b"})
    assert redacted("any other event: a@b.co") == "any other event: a@b.co"


def test_error_is_redacted_with_its_notes_and_those_behind_it_and_keeps_its_type() -> None:
    behind = KeyError("jane@example.com", 7)
    error = ValueError("could not convert string to float: '4111 1111 1111 1111'")
    error.add_note("of 415-555-2671")
    error.__context__, behind.__cause__ = behind, error  # also where they stand in a circle
    failure = dg.Failure("About jane@example.com", {"refusal": "Refused"})
    failure.__cause__ = ExceptionGroup("two", [error])
    redact_error(failure)
    assert failure.description == f"About {E_MAIL}"
    assert str(error) == f"could not convert string to float: '{CARD}'"
    assert error.__notes__ == [f"of {PHONE}"]
    assert behind.args == (E_MAIL, 7)
