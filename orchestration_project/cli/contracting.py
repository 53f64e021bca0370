"""The verbs about contracts: `contract list`, `contract accept`."""

from typing import TYPE_CHECKING, Annotated

import typer

from orchestration_project.cli.printing import AsJson, say, say_json, say_table
from orchestration_project.cli.reasons import Reason, stated
from orchestration_project.core.errors import Refused, UnknownName, did_you_mean

if TYPE_CHECKING:
    import sqlalchemy as sa

app = typer.Typer(help="What inbound files may hold besides the columns of a contract.", no_args_is_help=True)

Asset = Annotated[str, typer.Argument(metavar="ASSET", help="The asset that takes the files in, such as feedback.")]


@app.command(name="list")
def accepted(as_json: AsJson = False) -> None:
    """The columns that were accepted: under which name, or left out.

    Example: orchestrate contract list
    """
    from orchestration_project.stores.accepted_columns import read_accepted
    from orchestration_project.stores.home import prepared_home

    file = prepared_home().settings.accepted_columns
    found = [
        {"asset": asset, "column": column, "name": name or None}
        for asset, columns in read_accepted(file).items()
        for column, name in columns.items()
    ]
    if as_json:
        say_json(found)
    elif not found:
        say("No column was accepted besides those of the contracts.")
    else:
        rows = [(entry["asset"], entry["column"], entry["name"] or "left out") for entry in found]
        say_table(("asset", "column", "taken in as"), rows)


@app.command()
def accept(
    asset: Asset,
    column: Annotated[str, typer.Argument(metavar="COLUMN", help="As the files call it.")],
    reason: Reason,
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="The contract's name for it.")] = None,
    ignore: Annotated[bool, typer.Option("--ignore", help="It is left out.")] = False,
) -> None:
    """Accept a column that halted a batch: under another name, or to be left out.

    It is written into a file of the checkout, to be reviewed and committed; then `orchestrate halt retry` goes on.

    Example: orchestrate contract accept feedback kanal --as channel --reason "The German shop calls it so"
    """
    from orchestration_project.governance import audit, people
    from orchestration_project.stores import accepted_columns
    from orchestration_project.stores.halts import open_halts
    from orchestration_project.stores.home import prepared_home

    if (name is None) != ignore:
        raise Refused("Say either --as NAME or --ignore.")
    home, why = prepared_home(), stated(reason)
    person = people.require(home.settings, "operator")
    with home.ledger.read() as connection:
        _require_column(connection, column)
        if name is not None:
            _require_name(connection, asset, name)
    file = home.settings.accepted_columns
    with home.ledger.write() as connection:
        accepted_columns.accept(file, asset=asset, column=column, name=name or "", reason=why)
        detail = {"column": column, "name": name, "reason": why}
        audit.append(connection, "column accepted", asset, detail, person.name)
        halted = [halt.partition for halt in open_halts(connection) if halt.asset == asset]
    say(f"{column} of {asset} is {f'taken in as {name}' if name else 'left out'} from now on: {file}. Commit it.")
    for batch in halted:
        say(f'Next: orchestrate halt retry {batch} --reason "{why}"')


def _require_column(connection: "sa.Connection", column: str) -> None:
    """UnknownName for a column that never came in."""
    from orchestration_project.stores.batches import columns_seen

    seen = columns_seen(connection)
    if column not in seen:
        raise UnknownName(f"No file that came in has a column '{column}'.{did_you_mean(column, seen)}")


def _require_name(connection: "sa.Connection", asset: str, name: str) -> None:
    """UnknownName for a name that neither the asset's published rows nor any file knows."""
    from orchestration_project.stores import manifest
    from orchestration_project.stores.batches import columns_seen
    from orchestration_project.stores.home import current_home

    versions = [version for version in manifest.all_current(connection) if version.asset == asset]
    if not versions:
        return  # nothing was published yet that could say its columns
    known = {*current_home().warehouse.read(versions[-1].path).column_names, *columns_seen(connection)}
    if name not in known:
        raise UnknownName(f"{asset} has no column '{name}'.{did_you_mean(name, known)}")
