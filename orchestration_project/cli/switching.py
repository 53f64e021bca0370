"""The verbs that take something out of work: `switch performer`, `version`, `asset`, `list`."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestration_project.cli.printing import AsJson, say, say_json, say_table
from orchestration_project.cli.reasons import Reason, stated

if TYPE_CHECKING:
    from orchestration_project.governance.switch_orders import Turn

app = typer.Typer(help="Take a performer, a model version or an asset out of work.", no_args_is_help=True)


@app.command(name="list")
def switches_known(as_json: AsJson = False) -> None:
    """What is not on: since when, who said so, and why.

    Example: orchestrate switch list
    """
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.switches import IN_WORDS, taken_out

    with prepared_home().ledger.read() as connection:
        found = taken_out(connection)
    if as_json:
        say_json([switch.facts() for switch in found])
    elif not found:
        say("Everything is on.")
    else:
        rows = [
            (one.kind, one.name, IN_WORDS[one.state], one.successor, f"{one.switched_at:%F %R}", one.person, one.reason)
            for one in found
        ]
        say_table(("kind", "name", "is", "in its place", "since (UTC)", "by", "why"), rows)


@app.command()
def performer(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As the decisions call it, such as 'sentiment model'.")],
    state: Annotated[Literal["on", "shadow", "off"], typer.Argument()],
    reason: Reason,
) -> None:
    """Switch a performer off, on, or into shadow, where it is asked and its answers are only recorded.

    It holds for the next call already, in batches under way too. Its rows go to the next performer, to people or to the
    safe state. What it decided before stands.

    Example: orchestrate switch performer "sentiment model" off --reason "It calls every refund negative"
    """
    from orchestration_project.governance.switch_orders import Turn

    _turn(Turn("performer", name, state), reason)


@app.command()
def version(
    model: Annotated[str, typer.Argument(metavar="NAME", help="The model.")],
    digest: Annotated[str, typer.Argument(metavar="VERSION", help="Its digest, or the first 4 characters of it.")],
    state: Annotated[Literal["on", "off"], typer.Argument()],
    reason: Reason,
    successor: Annotated[
        str | None, typer.Option("--superseded-by", metavar="VERSION", help="The version to use in its place.")
    ] = None,
) -> None:
    """Switch a version of a model off: it is asked no more, and cannot be put in use until it is switched on.

    With a version that supersedes it, that one is judged and put in use first; if it is refused, nothing changes.

    Example: orchestrate switch version issue 3f2a off --superseded-by 77c1 --reason "Learnt from wrong labels"
    """
    from orchestration_project.cli.modelling import put_in_use
    from orchestration_project.governance import people
    from orchestration_project.governance.switch_orders import Turn, heir_of
    from orchestration_project.stores import champions
    from orchestration_project.stores.home import prepared_home

    home, why = prepared_home(), stated(reason)
    people.require(home.settings, "operator")
    order = Turn("version", f"{model}/{digest}", state, successor)
    with home.ledger.read() as connection:
        heir, used = heir_of(connection, order), champions.champion(connection, model)
    if heir is not None and (used is None or used.version != heir):
        put_in_use(home, model, heir, why)
    _turn(order, reason)


@app.command()
def asset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model output.")],
    state: Annotated[Literal["on", "people", "safe_state"], typer.Argument()],
    reason: Reason,
) -> None:
    """Send all that is new in a model output to people, who see what the performers propose, or to its safe state.

    Example: orchestrate switch asset sentiment people --reason "The campaign began; the model has not seen its words"
    """
    from orchestration_project.governance.switch_orders import Turn

    _turn(Turn("asset", name, state), reason)


def _turn(order: "Turn", reason: str) -> None:
    from orchestration_project.governance.switch_orders import turn
    from orchestration_project.stores.home import prepared_home

    switch = turn(prepared_home(), order, stated(reason))
    say(f"{switch.told()}.")
