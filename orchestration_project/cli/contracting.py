"""The verbs about contracts: `contract list`, `contract accept`."""

from typing import Annotated

import typer

from orchestration_project.cli.printing import AsJson, say, say_json, say_table
from orchestration_project.cli.reasons import Reason, stated
from orchestration_project.core.errors import Refused

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
    from orchestration_project.governance.contract_orders import accept_column
    from orchestration_project.stores.home import prepared_home

    if (name is None) != ignore:
        raise Refused("Say either --as NAME or --ignore.")
    home, why = prepared_home(), stated(reason)
    halted = accept_column(home, asset, column, name, why)
    file = home.settings.accepted_columns
    say(f"{column} of {asset} is {f'taken in as {name}' if name else 'left out'} from now on: {file}. Commit it.")
    for batch in halted:
        say(f'Next: orchestrate halt retry {batch} --reason "{why}"')
