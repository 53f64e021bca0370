"""The verbs that only look: status, alerts, sql, people, where."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration_project.cli.printing import AsJson, complain, say, say_counts, say_json, say_notices, say_table
from orchestration_project.core.errors import Refused

if TYPE_CHECKING:
    from orchestration_project.stores.breakers import Breaker


def status(as_json: AsJson = False) -> None:
    """Where each message is.

    Every one is counted once, so that the numbers add up to what was sent. Below stands what needs somebody: halts,
    batches set aside, circuits that are not closed (with --json: `circuits`, where there are any), notices on their way.

    Example: orchestrate status --json
    """
    from orchestration_project.serving.backlog import backlog_trouble
    from orchestration_project.stores import batches, breakers, deliveries, reviews, switches
    from orchestration_project.stores.halts import open_halts
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.outbox import targets_of

    home = prepared_home()
    with home.ledger.read() as connection:
        counts = batches.count_states(connection)
        halts = open_halts(connection)
        aside = batches.set_aside(connection)
        circuits = breakers.not_closed(connection)
        backlog = backlog_trouble(connection, home.settings.inbox_backlog_rows)
        undelivered = deliveries.troubles(connection, targets_of(home))
        for_people = reviews.open_count(connection)
        taken_out = switches.taken_out(connection)
    if as_json:
        more = {"circuits": [vars(one) for one in circuits], "switches": [one.facts() for one in taken_out]}
        say_json({**counts, **{name: found for name, found in more.items() if found}})
        return
    say_counts(counts)
    if for_people:
        say(f"Reviews that wait for people: {for_people:,}. See: orchestrate review next")
    if backlog:
        complain(backlog)
    for switch in taken_out:
        complain(f"{switch.told()}.")
    for halt in halts:
        complain(f"{halt.told}. {halt.reason}")
    for batch in aside:
        complain(f"Batch {batch.batch} was set aside. {batch.cause}")
    for circuit in circuits:
        complain(_told(circuit))
    for trouble in undelivered:
        complain(trouble)


def _told(circuit: "Breaker") -> str:
    since, probe_at = (
        moment and moment.isoformat(timespec="seconds") for moment in (circuit.opened_at, circuit.probe_at)
    )
    what = f"{circuit.performer} is away: circuit open since {since}, after {circuit.failures} failures."
    if circuit.state == "half_open":
        return f"{what} A batch is probing it; if that one died, another does from {probe_at}."
    return f"{what} The first batch from {probe_at} probes it."


def alerts(as_json: AsJson = False) -> None:
    """The alerts, oldest first.

    Example: orchestrate alerts --json
    """
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.outbox import recorded

    home = prepared_home()
    with home.ledger.read() as connection:
        notices = recorded(connection)
    if as_json:
        say_json(notices)
    elif not notices:
        say("No alert was raised so far.")
    else:
        say_notices(notices)


def sql(
    query: Annotated[str | None, typer.Argument(metavar="[QUERY]", help="One SELECT; without it, the tables.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask the asset tables with SQL.

    DuckDB's, with one view for each asset over the current rows of all batches. One SELECT; nothing can be changed. What
    the answer was read from although a later run was halted is named on standard error.

    Example: orchestrate sql "SELECT label, count(*) FROM sentiment GROUP BY ALL"
    """
    import duckdb

    from orchestration_project.stores import manifest
    from orchestration_project.stores.halts import halted_since
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.warehouse import by_asset, has_read

    home = prepared_home()
    with home.ledger.read() as connection:
        current = manifest.all_current(connection)
        halted = halted_since(connection)
    asked = (query or "").lower()  # a view costs a look into each of its files, so only those that are named
    named = [version for version in current if version.asset.lower() in asked] or current
    with home.warehouse.connect(by_asset((version.asset, version.path) for version in named)) as warehouse:
        try:
            statements = warehouse.extract_statements(query or _TABLES)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise Refused("The query is not one SELECT. Ask one question at a time; nothing can be changed here.")
            answer = warehouse.execute(statements[0])
            columns = [column[0] for column in answer.description or ()]
            rows = answer.fetchall()
            views = {version.asset for version in named} & {halt.asset for halt in halted}
            read = {asset for asset in views if has_read(warehouse, statements[0].query, asset)}
        except duckdb.Error as error:
            raise Refused(f"DuckDB: {error} See the tables with: orchestrate sql") from error
    if as_json:
        say_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        say_table(columns, rows)
    for halt in halted:
        if halt.asset in read:
            complain(f"{halt.told}. The table holds its last good version. See: orchestrate halt list")


_TABLES = """
SELECT table_name AS "table", list(column_name ORDER BY column_index) AS columns
FROM duckdb_columns() WHERE schema_name = 'main' AND NOT internal GROUP BY table_name ORDER BY table_name
"""


def people(as_json: AsJson = False) -> None:
    """Who may do what, and who you are.

    Example: orchestrate people
    """
    from orchestration_project.core.settings import Settings
    from orchestration_project.governance.people import acting, read_people

    settings = Settings.from_environment()
    you, known = acting(settings), read_people(settings.people).persons
    found = [{**vars(person), "is_you": person.name == you.name} for person in known]
    if you not in known:
        found.append({**vars(you), "is_you": True})
    if as_json:
        say_json(found)
        return
    columns = ("name", "users", "roles", "skills")
    say_table(("person", *columns[1:]), [tuple(_listed(one[name]) for name in columns) for one in found])
    say(f"You are {you.name}.")


def where(as_json: AsJson = False) -> None:
    """Every path and URL in use.

    Example: orchestrate where --json
    """
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    places: dict[str, Any] = {
        "home": home.root,
        "ledger": home.ledger_url,
        "warehouse": home.warehouse.root,
        "quarantine": home.warehouse.quarantine,
        "inbox": home.inbox,
        "inbox_url": f"http://127.0.0.1:{home.settings.inbox_port}/inbox",
        "archive": home.archive,
        "refused": home.refused,
        "notices": home.notices,
        "registry": home.registry_url,
        "artifacts": home.artifacts,
        "dagster_home": home.dagster,
        "ui": f"http://127.0.0.1:{home.settings.port}",
    }
    shown = {name: str(place) for name, place in places.items()}
    if as_json:
        say_json(shown)
    else:
        say_table(("what", "where"), list(shown.items()))


def _listed(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(value)
