"""The verbs `drill faults` and `drill switch-off`: what the project does when a performer fails, or is taken out."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration_project.cli.printing import AsJson, complain, progress, say, say_json, say_table
from orchestration_project.cli.reasons import Reason, stated
from orchestration_project.cli.workflow_processes import outcome, outcome_on_a_copy

if TYPE_CHECKING:
    from orchestration_project.stores.home import Home

app = typer.Typer(help="Try what the project does when something fails or is switched off.", no_args_is_help=True)

_COLUMNS = ("performer", "fault", "calls", "retries", "answered", "accepted", "not accepted", "safe state", "circuit")


@app.command(name="faults")
def drill_faults(
    model_output: Annotated[
        str | None, typer.Option("--model-output", metavar="NAME", help="Only this model output.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let every performer fail in every way, and see who answers.

    Works on a copy of the home and its newest batch. Exit status 1 if a row was lost or not answered, a faulty answer
    was kept, or a call took longer than its limit.

    Example: orchestrate drill faults --model-output sentiment
    """
    from orchestration_project.stores.home import prepared_home

    drills = _drilled(prepared_home(), model_output)
    broken = [(one, promise) for one in drills for promise in one["broken"]]
    if as_json:
        say_json(drills)
    else:
        for name, batch in dict.fromkeys((one["model_output"], one["batch"]) for one in drills):
            rows = [_row(one) for one in drills if one["model_output"] == name]
            say_table(_COLUMNS, rows, title=f"{name}, batch {batch}")
        say(f"{len(drills)} drills. Every row was answered once, and no faulty answer was kept." if not broken else "")
    for one, promise in broken:
        complain(f"{one['model_output']}, {one['performer']}, {one['fault']}: {promise}.")
    if broken:
        raise typer.Exit(1)


@app.command(name="switch-off")
def drill_switch_off(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The performer, such as 'sentiment model'.")],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Switch a performer off and back, on the project as it is, and measure the time to the safe state.

    Its newest batch is decided again and again meanwhile, and published by nobody; what else runs goes on without the
    performer for that long. Exit status 1 if a call began later than a second after the switch. Audited.

    Example: orchestrate drill switch-off "sentiment model" --reason "Rehearsal of the first quarter"
    """
    from orchestration_project.cli.dagster_commands import LOCATION
    from orchestration_project.stores.home import prepared_home

    home, why = prepared_home(), stated(reason)
    with tempfile.TemporaryDirectory(prefix="drill-") as folder, progress(f"Switching {name} off and back"):
        answer = Path(folder) / "drill.json"
        named = {"ORCHESTRATE_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
        drills = outcome("switch_drill", [LOCATION, str(answer), name, why], answer, folder, named)["drills"]
    late = [one for one in drills if not one["is_in_time"]]
    if as_json:
        say_json(drills)
    else:
        for one in drills:
            answered = ", ".join(f"{count:,} {who}" for who, count in one["answered"].items())
            say(
                f"{one['model_output']}, batch {one['batch']}: {one['calls_before']} calls before the switch; the last "
                f"began {one['last_call_seconds']:.3f} s after it. After {one['safe_seconds']:.3f} s all "
                f"{one['rows']:,} rows were answered without {name}: {answered}. It is on again."
            )
    for one in late:
        complain(f"A call of {name} began {one['last_call_seconds']:.3f} s after it was switched off.")
    if late:
        raise typer.Exit(1)


def _drilled(home: "Home", name: str | None) -> list[dict[str, Any]]:
    found = outcome_on_a_copy(home, "drill", "Letting performers fail", [name] if name else [])
    return found["drills"]


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    answered = ", ".join(f"{count} {who}" for who, count in one["answered"].items())
    names = ("calls", "retries", "accepted", "not_accepted", "safe_state", "circuit")
    calls, retries, *counts = (one[name] for name in names)
    return (one["performer"], one["fault"], calls, retries, answered, *counts)
