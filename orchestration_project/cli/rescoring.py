"""The verb `rescore`: has batches decided again by what is in use now, or shows what that would change."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration_project.cli.moments import moment
from orchestration_project.cli.printing import AsJson, complain, note, say, say_counts, say_json, say_table
from orchestration_project.cli.reasons import stated
from orchestration_project.cli.workflow_processes import outcome_on_a_copy
from orchestration_project.core.errors import Refused

if TYPE_CHECKING:
    from orchestration_project.governance.rescore_orders import Chosen, Wanted
    from orchestration_project.stores.home import Home

MOST_NAMED = 20
"""Changed messages that are named, of each model output."""

MOST_BATCHES = 40
"""Batches that are told one by one."""

_COUNTS = (
    "rows",
    "labels_changed",
    "newly_accepted",
    "no_longer_accepted",
    "still_waiting",
    "no_longer_waiting",
    "newly_waiting",
    "verdicts",
    "erased",
    "degraded",
)


def rescore(
    batches: Annotated[
        str | None, typer.Option("--batches", metavar="B1,B2", help="These, with commas between them.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Those opened from then on, as ISO 8601; UTC.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    model_output: Annotated[
        str | None, typer.Option("--model-output", metavar="NAME", help="Only what this model output decides.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; it goes into the audit log.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decide batches again: every performer is asked anew, and new versions of the partitions take the place of the old.

    Verdicts of people and erased messages stay as they are; earlier versions stay readable. With --dry-run nothing is
    written: each model output decides in memory, on what it reads now. Audited.

    Example: orchestrate rescore --model-output sentiment --since 2026-03-01 --dry-run
    """
    from orchestration_project.governance.rescore_orders import Wanted
    from orchestration_project.stores.home import prepared_home

    keys = tuple(filter(None, (key.strip() for key in (batches or "").split(","))))
    wanted = Wanted(keys, moment("--since", since), everything, model_output)
    if dry_run and reason is not None:
        raise Refused("A dry run changes nothing and takes no reason. Leave out --dry-run or --reason.")
    if dry_run:
        _preview(prepared_home(), wanted, as_json=as_json)
    elif reason is None:
        raise Refused("Say why with --reason TEXT, or look at what would change first with --dry-run.")
    else:
        _rescore(prepared_home(), wanted, stated(reason), as_json=as_json)


def _preview(home: "Home", wanted: "Wanted", *, as_json: bool) -> None:
    from orchestration_project.governance.rescore_orders import choose

    with home.ledger.read() as connection:
        chosen = choose(connection, wanted)
    order = {"batches": chosen.batches, "model_output": wanted.model_output}
    found = outcome_on_a_copy(home, "dry_rescore", "Deciding again", [], order)["previews"]
    if as_json:
        say_json({"previews": found, "left_out": chosen.left_out})
        return
    for name in dict.fromkeys(one["model_output"] for one in found):
        _say_preview(name, [one for one in found if one["model_output"] == name])
    _tell_left_out(chosen)
    say("Nothing was changed.")


def _say_preview(name: str, found: list[dict[str, Any]]) -> None:
    """What would change in one model output's batches."""
    total = {count: sum(one[count] for one in found) for count in _COUNTS}
    shown = [count for count in _COUNTS if total[count] or count in _COUNTS[:2]]
    rows = [(one["batch"], one["version"], *(one[count] for count in shown)) for one in found[:MOST_BATCHES]]
    if len(found) > 1:
        rows.append((f"all {len(found)}", "", *(total[count] for count in shown)))
    say_table(("batch", "version", *(count.replace("_", " ") for count in shown)), rows, title=name)
    changes: Counter[tuple[str | None, str | None]] = Counter()
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for one in found:
        changes.update({(change["was"], change["would_be"]): change["rows"] for change in one["changes"]})
        before.update({who: counts[0] for who, counts in one["answered"].items()})
        after.update({who: counts[1] for who, counts in one["answered"].items()})
    if changes:
        pairs = [(was or "no label", would_be or "no label", rows) for (was, would_be), rows in changes.most_common()]
        say_table(("was", "would be", "rows"), pairs)
    say_table(("answered by", "before", "after"), [(who, before[who], after[who]) for who in sorted({*before, *after})])
    changed = [message_id for one in found for message_id in one["message_ids"]]
    if changed:
        say(f"Changed, the first: {', '.join(changed[:MOST_NAMED])}")
    if total["degraded"]:
        complain(f"{total['degraded']:,} rows of {name} would be answered behind a failure. See: orchestrate status")


def _rescore(home: "Home", wanted: "Wanted", reason: str, *, as_json: bool) -> None:
    from orchestration_project.cli.work import run_unless_project_does
    from orchestration_project.governance import rescore_orders
    from orchestration_project.stores.batches import count_states

    chosen = rescore_orders.rescore(home, wanted, reason)
    is_done = bool(run_unless_project_does(home))
    keys = set(chosen.batches)
    with home.ledger.read() as connection:
        states = {state: count for state, count in count_states(connection, only=keys).items() if count}
        versions = rescore_orders.versions(connection, keys)
    if as_json:
        told = {"batches": chosen.batches, "left_out": chosen.left_out, "is_done": is_done}
        say_json({**told, "messages": states, "versions": versions})
        return
    _tell_left_out(chosen)
    if is_done:
        say_table(("model output", "batch", "version"), [tuple(one.values()) for one in versions[:MOST_BATCHES]])
        say_counts(states)
    else:
        number = len(chosen.batches)
        one = "1 run is requested; the running project does it."
        say(one if number == 1 else f"{number:,} runs are requested; the running project does them.")


def _tell_left_out(chosen: "Chosen") -> None:
    for why in list(chosen.left_out.values())[:MOST_BATCHES]:
        note(f"Left out: {why}")
    if len(chosen.left_out) > MOST_BATCHES:
        note(f"{len(chosen.left_out):,} batches are left out; --json names all.")
