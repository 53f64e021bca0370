"""The verbs about a team's own labels: `labels import`, `list`, `export`, `stats`."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestration_project.cli.printing import AsJson, note, say, say_json, say_table

if TYPE_CHECKING:
    from orchestration_project.governance.label_imports import Outcome
    from orchestration_project.stores.families import Family
    from orchestration_project.stores.home import Home
    from orchestration_project.stores.label_files import LabelFile

app = typer.Typer(help="The labels that the models learn: your own, without code.", no_args_is_help=True)

Model = Annotated[str, typer.Option("--model", metavar="NAME", help="The model that learns them.")]
AnyModel = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Only this model.")]


@app.command(name="import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, TSV, JSON Lines or Parquet.")],
    model: Model,
    replace: Annotated[bool, typer.Option("--replace", help="Start anew, instead of adding and correcting.")] = False,
    force: Annotated[str | None, typer.Option(metavar="REASON", help="Take it against the findings; say why.")] = None,
    message_id: Annotated[str, typer.Option(metavar="COLUMN", help="Made from the text if absent.")] = "message_id",
    text: Annotated[str, typer.Option(metavar="COLUMN", help="What was written.")] = "text",
    label: Annotated[str, typer.Option(metavar="COLUMN", help="Blank: that row is left out.")] = "label",
    ignore: Annotated[str, typer.Option(metavar="COLUMN,…", help="Columns that are meant for others.")] = "",
    as_json: AsJson = False,
) -> None:
    """Let a model learn your own labels.

    They are looked through first; what contradicts itself is refused with its lines. The next training learns them.

    Example: orchestrate labels import tickets.csv --model issue --replace
    """
    from orchestration_project.governance.label_imports import import_labels
    from orchestration_project.stores.families import require_family
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.label_files import read_label_file

    family = require_family(model)
    ignored = [name.strip() for name in ignore.split(",") if name.strip()]
    home = prepared_home()
    read = read_label_file(file.expanduser(), message_id=message_id, text=text, label=label, ignore=ignored)
    outcome = import_labels(home, family, read, replaces=replace, reason=force)
    following = _next_command(home, family, set(outcome.findings.labels))
    if as_json:
        say_json(_as_json(read, outcome, following))
    else:
        _say_outcome(read, outcome, following)


@app.command(name="list")
def imported(model: AnyModel = None, as_json: AsJson = False) -> None:
    """Where the labels come from.

    The file that each model ships with while it counts, then every import, oldest first.

    Example: orchestrate labels list --model issue
    """
    from orchestration_project.stores import labels
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    found: list[dict[str, Any]] = []
    for family in _families(model):
        with home.ledger.read() as connection:
            recorded = labels.imports(connection, family.name)
            is_replaced = labels.is_replaced(connection, family.name)
        entries = [] if is_replaced else [_shipped(family)]
        counted = labels.counting(recorded)
        entries += [{**asdict(entry), "counts": entry in counted} for entry in recorded]
        found += [{"model": family.name, **{name: entry[name] for name in _LISTED}} for entry in entries]
    if as_json:
        say_json(found)
        return
    rows = [(entry["model"], *(_shown(entry[name]) for name in _LISTED)) for entry in found]
    say_table(("model", *(name.replace("_", " ") for name in _LISTED)), rows)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new .csv, .tsv, .jsonl or .parquet file.")],
    model: Model,
) -> None:
    """Write what a model learns next into a file.

    With message_id, text, label and source. What was corrected in it may be imported again.

    Example: orchestrate labels export issue.csv --model issue
    """
    from orchestration_project.stores.families import require_family
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.label_files import write_label_file
    from orchestration_project.stores.labels import COLUMNS, current

    rows = current(prepared_home(), require_family(model))[list(COLUMNS)]
    write_label_file(file.expanduser(), rows)
    say(f"{len(rows):,} labels of {model} written to {file}.")


@app.command()
def stats(model: AnyModel = None, as_json: AsJson = False) -> None:
    """How many examples each label has.

    Of what the next training learns, with its sources and what is out of balance.

    Example: orchestrate labels stats --model issue
    """
    from orchestration_project.stores.home import prepared_home

    home = prepared_home()
    found = [_stats(home, family) for family in _families(model)]
    if as_json:
        say_json(found)
        return
    for one in found:
        shares = [(label, f"{n:,}", f"{one['shares'][label]:.1%}") for label, n in one["labels"].items()]
        say_table(("label", "examples", "share"), shares, title=f"{one['model']}: {one['rows']:,} labels")
        say(f"From {', '.join(f'{source} ({count:,})' for source, count in one['sources'].items())}.")
        _say_near(one["near_duplicates"])
        _say_imbalance(one["imbalance"])


_LISTED = ("imported_at", "source", "rows", "replaces", "reason", "counts")


def _families(model: str | None) -> "list[Family]":
    from orchestration_project.stores.families import families, require_family

    return families() if model is None else [require_family(model)]


def _shipped(family: "Family") -> dict[str, Any]:
    """The line of `labels list` for the file that a family ships with."""
    from orchestration_project.stores.labels import shipped

    rows = len(shipped(family))
    shared: dict[str, Any] = {"imported_at": None, "replaces": False, "reason": None, "counts": True}
    return {**shared, "source": family.labels_file, "rows": rows}


def _stats(home: "Home", family: "Family") -> dict[str, Any]:
    from orchestration_project.governance.label_findings import imbalance, near_duplicates
    from orchestration_project.stores.labels import current

    rows = current(home, family)
    counts = Counter(rows["label"].tolist())
    return {
        "model": family.name,
        "rows": len(rows),
        "labels": dict(counts.most_common()),
        "shares": {label: count / len(rows) for label, count in counts.most_common()},
        "near_duplicates": sum(len(group) - 1 for group in near_duplicates(rows["text"])),
        "imbalance": round(imbalance(counts), 2),
        "sources": dict(Counter(rows["source"].tolist())),
    }


def _next_command(home: "Home", family: "Family", labels: set[str]) -> str:
    """The training that learns them; labels other than those of the version in use ask for a reason."""
    from orchestration_project.stores.champions import champion

    with home.ledger.read() as connection:
        in_use = champion(connection, family.name)
    is_other = in_use is not None and set(in_use.labels) != labels
    return f"orchestrate train --model {family.name}" + (" --new-labels REASON" if is_other else "")


def _as_json(file: "LabelFile", outcome: "Outcome", following: str) -> dict[str, Any]:
    entry = outcome.entry
    return {
        "model": entry.family,
        "is_new": outcome.is_new,
        **{name: getattr(entry, name) for name in ("source", "rows", "replaces", "reason", "sha256")},
        "labels_in_file": dict(Counter(file.learnt["label"].tolist()).most_common()),
        "not_labelled": file.not_labelled,
        "repeated": file.repeated,
        "findings": asdict(outcome.findings),
        "next": following,
    }


def _say_outcome(file: "LabelFile", outcome: "Outcome", following: str) -> None:
    entry, findings = outcome.entry, outcome.findings
    if not outcome.is_new:
        say(f"{file.name} is what was imported last for {entry.family}. Nothing was changed.\nNext: {following}")
        return
    what = "in place of all before" if entry.replaces else "added to those before, which they correct"
    say(f"{entry.rows:,} labels of {entry.family} taken from {entry.source}: {what}.")
    inside = Counter(file.learnt["label"].tolist())
    rows = [(label, f"{inside[label]:,}", f"{count:,}") for label, count in findings.labels.items()]
    say_table(("label", "in this file", "learnt next"), rows)
    if file.not_labelled:
        say(f"{file.not_labelled:,} without a label: left out.")
    if file.repeated:
        say(f"{file.repeated:,} say again what another row says: left out.")
    for problem in findings.problems():
        note(f"{problem.wrong} {problem.forced}")
    _say_near(sum(len(lines) - 1 for lines in findings.near_duplicates))
    _say_imbalance(findings.imbalance)
    say(f"Next: {following}")


def _say_near(count: int) -> None:
    if count:
        say(f"{count:,} nearly the same as another text, but for case, punctuation, digits, links or names.")


def _say_imbalance(imbalance: float) -> None:
    from orchestration_project.governance.label_findings import TOLD_IMBALANCE

    if imbalance > TOLD_IMBALANCE:
        say(f"The most frequent label has {imbalance:,.0f} examples for one of the rarest.")


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:,}" if isinstance(value, int) else f"{value:%Y-%m-%d %H:%M}" if hasattr(value, "hour") else value
