"""The verbs about the versions of a model: `model list`, `show`, `diff`, `trial`, `promote`, `rollback`, `threshold`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration_project.cli.judgements import judgement_of
from orchestration_project.cli.printing import AsJson, complain, say, say_json, say_table
from orchestration_project.cli.reasons import Reason, stated
from orchestration_project.core.errors import Refused

if TYPE_CHECKING:
    from orchestration_project.governance.promotion import Order
    from orchestration_project.stores.home import Home
    from orchestration_project.stores.model_versions import ModelVersion

app = typer.Typer(help="The versions of the models: look at them, put one in use.", no_args_is_help=True)

METRICS = ("accuracy", "macro_f1", "ece", "accepted_share", "accepted_error", "n")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The model.")]


@app.command(name="list")
def versions(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this model.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every version that was trained, the newest first, and which is in use.

    Example: orchestrate model list issue
    """
    from orchestration_project.stores import model_versions
    from orchestration_project.stores.champions import in_use
    from orchestration_project.stores.families import families, require_family
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    names = [require_family(name).name] if name else [family.name for family in families()]
    with home.ledger.read() as connection:
        used = {(found.family, found.version, found.sha256): found for found in in_use(connection)}
        found = [entry for family in names for entry in model_versions.recorded(connection, family)]
    entries = [
        {
            "model": version.family,
            "version": version.version,
            "in_use": (version.family, version.version, version.sha256) in used,
            "recorded_at": recorded_at.isoformat(timespec="seconds"),
            "labels": len(version.labels),
            "threshold": used.get((version.family, version.version, version.sha256), version).threshold,
            **{metric: version.metrics.get(metric) for metric in METRICS},
        }
        for version, recorded_at in found
    ]
    if as_json:
        say_json(entries)
    elif not entries:
        say("No version was trained yet. Run: orchestrate train")
    else:
        rows = [
            [shown(value) for value in {**entry, "recorded_at": str(entry["recorded_at"])[:16]}.values()]
            for entry in entries
        ]
        say_table([name.replace("_", " ") for name in entries[0]], rows)


@app.command()
def show(
    name: Name,
    version: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="Without it, the one in use.")] = None,
    as_json: AsJson = False,
) -> None:
    """All that is recorded of a version: what it learnt, how good it is, what made it.

    Example: orchestrate model show issue
    """
    from orchestration_project.stores.home import prepared_home

    found = _facts(_version(prepared_home(), name, version))
    if as_json:
        say_json(found)
    else:
        say_table(("", f"{name} {found['version']}"), [(key, shown(value)) for key, value in found.items()])


@app.command()
def diff(
    name: Name,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The one to look at.")],
    other: Annotated[str | None, typer.Argument(metavar="[OTHER]", help="Without it, the one in use.")] = None,
    as_json: AsJson = False,
) -> None:
    """What differs between two versions of a model.

    Example: orchestrate model diff issue 3f2a
    """
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    one, two = (_facts(_version(home, name, wanted)) for wanted in (version, other))
    different = {key: (one.get(key), two.get(key)) for key in {**one, **two} if one.get(key) != two.get(key)}
    if as_json:
        say_json({key: {"version": values[0], "other": values[1]} for key, values in different.items()})
    elif not different:
        say(f"{one['version']} and {two['version']} are the same version.")
    else:
        rows = [(key, shown(first), shown(second)) for key, (first, second) in different.items()]
        say_table(("", str(one["version"]), str(two["version"])), rows)


@app.command()
def promote(
    name: Name,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its digest, or the first 4 characters of it.")],
    reason: Reason,
    new_labels: Annotated[bool, typer.Option("--new-labels", help="It answers another label set.")] = False,
    even_if_worse: Annotated[bool, typer.Option("--even-if-worse", help="Whatever the holdout says.")] = False,
) -> None:
    """Put a version of a model in use.

    It is compared with the one in use first. The run is seen in Dagster's UI like any other.

    Example: orchestrate model promote issue 3f2a --reason "Agreed with customer care"
    """
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    put_in_use(home, name, version, stated(reason), new_labels=new_labels, even_if_worse=even_if_worse)


@app.command()
def trial(name: Name, as_json: AsJson = False) -> None:
    """What the version on trial has shown in shadow, beside the version in use.

    How often both answered alike, label by label, and how right each was on what people decided.

    Example: orchestrate model trial issue
    """
    from orchestration_project.governance.policy import read_policy
    from orchestration_project.governance.trial_results import result_of, trouble
    from orchestration_project.stores import trials
    from orchestration_project.stores.families import require_family
    from orchestration_project.stores.home import prepared_home

    family, home = require_family(name).name, prepared_home()
    with home.ledger.read() as connection:
        found = trials.of_family(connection, family)
    if found is None:
        raise Refused(f"No version of '{name}' is on trial. See: orchestrate model list {name}")
    result = result_of(home, found)
    if as_json:
        say_json({**found.facts(), **asdict(result)})
        return
    policy = read_policy(home.settings.policy).learning
    say(f"{name} {found.version.version}, on trial since {found.started_at:%F %R} UTC")
    say(f"{result.told(policy.shadow_rows)}. Approval: {policy.approval.replace('_', ' ')}.")
    if told := trouble(home, found):
        complain(told)
    shares = [
        (one.label, f"{one.alike:,} of {one.rows:,}", f"{one.share:.1%}", f"{one.low:.1%} to {one.high:.1%}")
        for one in result.agreements
    ]
    say_table(("the version in use answered", "alike", "share", "95 %"), shares)
    differences = [
        (one.label, f"{one.difference:+.3f}", f"{one.low:+.3f} to {one.high:+.3f}") for one in result.differences
    ]
    if differences:
        say_table(
            ("label", "F1, against the version in use", "95 %"),
            differences,
            title=f"On {result.decided:,} rows that people decided",
        )
    else:
        say("People have decided on none of these rows.")


@app.command()
def rollback(name: Name, reason: Reason) -> None:
    """Put the version back in use that was in use before.

    Example: orchestrate model rollback issue --reason "Too many false alerts"
    """
    from orchestration_project.governance import people
    from orchestration_project.governance.promotion import Order
    from orchestration_project.stores.champions import history, require_champion
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.switches import taken_out

    home = prepared_home()
    person = people.require(home.settings, "approver").name
    with home.ledger.read() as connection:
        used = require_champion(connection, name)
        off = {found.name for found in taken_out(connection) if found.kind == "version"}
        earlier = [found for found in history(connection, name) if found.name not in {used.name, *off}]
    if not earlier:
        raise Refused(
            f"No other version of '{name}' that is not off was ever in use. See: orchestrate model list {name}"
        )
    _run(home, name, Order("rollback", earlier[0].version, stated(reason), person=person))


@app.command()
def threshold(
    name: Name,
    confidence: Annotated[
        float, typer.Argument(metavar="CONFIDENCE", min=0, max=1, help="From which answers are accepted.")
    ],
    reason: Reason,
) -> None:
    """Have the version in use accept answers from another confidence on: higher, or back to what its training proved.

    It holds for what is decided from now on. Random checks raise it once a week, where they break the stated error.

    Example: orchestrate model threshold issue 0.95 --reason "Two wrong alerts this week"
    """
    from orchestration_project.governance.thresholds import in_words, set_threshold
    from orchestration_project.stores.families import require_family
    from orchestration_project.stores.home import prepared_home

    family = require_family(name).name
    before = set_threshold(prepared_home(), family, confidence, stated(reason))
    say(f"{before.name} accepts from {confidence:g} on, before from {in_words(before.threshold)}.")


def put_in_use(
    home: "Home", name: str, version: str, reason: str, *, new_labels: bool = False, even_if_worse: bool = False
) -> None:
    """Have a version judged and put in use, as whoever acts; Refused with the reason when it stays out."""
    from orchestration_project.governance import people
    from orchestration_project.governance.promotion import Order

    person = people.require(home.settings, "approver").name
    wanted = _version(home, name, version).version
    _run(home, name, Order("promote", wanted, reason, new_labels, even_if_worse, person))


def shown(value: Any) -> str:
    """A recorded value as a table shows it."""
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".") if value == value else ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(own)}" for key, own in value.items())
    return "" if value is None else str(value)


def _run(home: "Home", name: str, order: "Order") -> None:
    """Let Dagster judge a version and put it in use; Refused with the reason when it stays out."""
    from orchestration_project.cli.dagster_commands import run_job
    from orchestration_project.cli.work import run_unless_project_does

    run_job(home, f"promote_{name}", f"Judging {name} {order.version}", order.to_tags())
    judged = judgement_of(home, name)
    if not judged.is_new:
        raise Refused(f"{name} {order.version} is not put in use: {judged.reason}.")
    say(judged.told())
    run_unless_project_does(home)


def _version(home: "Home", name: str, version: str | None) -> "ModelVersion":
    from orchestration_project.stores import model_versions
    from orchestration_project.stores.champions import require_champion
    from orchestration_project.stores.families import require_family

    require_family(name)
    with home.ledger.read() as connection:
        if version is None:
            return require_champion(connection, name)
        return model_versions.find(connection, name, version)


def _facts(version: "ModelVersion") -> dict[str, Any]:
    """A version's record, metrics and libraries each on a line of their own."""
    found = dict(vars(version))
    metrics, libraries, rules = found.pop("metrics"), found.pop("libraries"), found.pop("rules")
    found["rules"] = {name: rule["confidence"] for name, rule in rules.get("rules", {}).items()}
    return {**found, **metrics, **libraries}
