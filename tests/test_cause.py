"""Why a step failed: our own sentences are quoted; of any other error its type and place are told, never its text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from shop_workflow import Mood, Parcel, order, run, send

from orchestration_project.core.errors import Conflict, MissingInput, OrchestrationError, Refused
from orchestration_project.dispatch.cause import cause_of
from orchestration_project.model_output import BATCHES, governed_asset, model_output
from orchestration_project.performers.cascade import Cascade
from orchestration_project.performers.scripted import Script, Scripted, same_answer
from orchestration_project.stores.home import Home

SECRET = "my card 4111-1111 was stolen"
REST = "; the run's log in Dagster has the rest"


def failure_of(result: dg.ExecuteInProcessResult) -> dg.DagsterEvent:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event


def cause(result: dg.ExecuteInProcessResult) -> str:
    """Why the one failed step failed, whose whole error stands in Dagster's log."""
    event = failure_of(result)
    assert SECRET in str(event.step_failure_data.error)
    return cause_of(event)


def line_of(function: Callable[..., Any], text: str) -> str:
    """The place of a line of a function in this file, as a cause names it."""
    start = function.__code__.co_firstlineno
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    number = next(number for number in range(start, len(lines)) if text in lines[number - 1])
    return f"tests/test_cause.py:{number}"


def failing_asset(function: Callable[[], object], **arguments: Any) -> dg.AssetsDefinition:
    @dg.asset(name="failing", partitions_def=BATCHES, **arguments)
    def failing() -> None:
        function()

    return failing


def quote() -> None:
    raise ValueError(f"cannot read {SECRET!r}")


def quote_in_a_chain() -> None:
    try:
        quote()
    except ValueError as error:
        raise RuntimeError(f"no sense in {SECRET}") from error


def quote_in_a_library() -> None:
    pd.Series([SECRET]).astype("float64")


def quote_in_a_failure() -> None:
    raise dg.Failure(f"cannot read {SECRET!r}")


class Conflicted(Exception):
    """Not ours, whatever its name and its text."""


Conflicted.__name__ = Conflicted.__qualname__ = "Conflict"


def quote_under_our_name() -> None:
    raise Conflicted(f"orchestration_project.core.errors.Conflict: {SECRET}")


@pytest.mark.parametrize(
    ("function", "kind", "raised_in", "line"),
    [
        (quote, "ValueError", quote, "raise"),
        (quote_in_a_chain, "ValueError", quote, "raise"),
        (quote_in_a_library, "ValueError", quote_in_a_library, "astype"),
        (quote_in_a_failure, "Failure", quote_in_a_failure, "raise"),
        (quote_under_our_name, "Conflict", quote_under_our_name, "raise"),
    ],
)
@pytest.mark.parametrize("arguments", [{}, {"retry_policy": dg.RetryPolicy(max_retries=0)}])
def test_error_that_is_not_ours_is_told_by_type_and_place(
    home: Home,
    function: Callable[[], None],
    kind: str,
    raised_in: Callable[[], None],
    line: str,
    arguments: dict[str, Any],
) -> None:
    told = cause(run(home, failing_asset(function, **arguments)))
    assert told == f"{kind} in {line_of(raised_in, line)}{REST}"


def test_function_of_a_governed_asset_is_the_place(home: Home) -> None:
    @governed_asset(contract=Parcel)
    def heavy(order: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"message_id": order["message_id"], "kilograms": order["note"].astype("float64")})

    send(home, f"a,{SECRET},1")
    told = cause(run(home, order, heavy))
    assert told == f"ValueError in {line_of(test_function_of_a_governed_asset_is_the_place, 'astype')}{REST}"


@pytest.mark.parametrize("kind", [OrchestrationError, Refused, Conflict, MissingInput])
def test_sentence_of_ours_is_quoted_without_what_others_noted_or_caused(
    home: Home, kind: type[OrchestrationError]
) -> None:
    def refuse() -> None:
        error = kind("The table is empty: fill it. Then start again.")
        error.add_note(SECRET)
        raise error from ValueError(SECRET)

    assert cause(run(home, failing_asset(refuse))) == "The table is empty: fill it. Then start again."


def test_failure_of_ours_is_quoted(home: Home) -> None:
    def refuse(order: pd.DataFrame) -> pd.DataFrame:
        raise Refused("The table is empty. Fill it.") from ValueError(SECRET)

    send(home, "a,x,1")
    assert cause(run(home, order, governed_asset(contract=Parcel, name="refusing")(refuse))) == (
        "The table is empty. Fill it."
    )


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (lambda rows: rows["note"].astype("float64"), "last failed: ValueError"),
        (
            lambda rows: same_answer("glad", 0.9)(rows).assign(label=rows["note"]),
            "last answered 1 of 1 rows with none of its labels.",
        ),
    ],
)
def test_safe_state_that_fails_is_told_without_its_error_and_its_answer(home: Home, script: Script, told: str) -> None:
    last = Scripted("last", script, labels=["glad"], kind="safe_state")

    @model_output(Cascade(safe_state=last), contract=Mood)
    def mood(order: pd.DataFrame) -> pd.DataFrame:
        return order[["message_id", "note"]]

    send(home, f"a,{SECRET},1")
    assert cause_of(failure_of(run(home, order, mood))) == told
