"""The verb `evaluate`: how right the version in use is on labels that it never saw."""

from pathlib import Path
from typing import Annotated, Any

import typer

from orchestration_project.cli.modelling import METRICS, shown
from orchestration_project.cli.printing import AsJson, note, say_json, say_table
from orchestration_project.core.errors import Refused


def evaluate(
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="The model whose version in use is asked.")],
    labels: Annotated[Path, typer.Option("--labels", metavar="FILE", help="CSV, TSV, JSON Lines or Parquet.")],
    text: Annotated[str, typer.Option(metavar="COLUMN", help="What was written.")] = "text",
    label: Annotated[str, typer.Option(metavar="COLUMN", help="Blank: that row is left out.")] = "label",
    as_json: AsJson = False,
) -> None:
    """Score the version in use on a file of labels that it never saw.

    Accepted are the answers whose confidence reaches the acceptance threshold.

    Example: orchestrate evaluate --model issue --labels tickets.csv
    """
    from orchestration_project.performers.model import loaded
    from orchestration_project.performers.scoring import score
    from orchestration_project.stores.champions import require_champion
    from orchestration_project.stores.families import require_family
    from orchestration_project.stores.home import prepared_home
    from orchestration_project.stores.label_files import read_label_file
    from orchestration_project.stores.labels import current

    family, home = require_family(model), prepared_home()
    with home.ledger.read() as connection:
        champion = require_champion(connection, model)
    read = read_label_file(labels.expanduser(), text=text, label=label)
    if read.rows.empty:
        raise Refused(f"{labels} has no labelled row. Fill the column '{label}'.")
    known = int(read.rows["text"].isin(current(home, family)["text"]).sum())
    if known:
        note(f"{known:,} of {len(read.rows):,} texts are among the labels of this home: it may have learnt them.")
    truth = read.rows["label"].tolist()
    found = score(loaded(home, champion).predict(read.rows["text"].tolist()), truth, champion.threshold)
    if strange := sorted(set(truth) - set(champion.labels)):
        note(f"The model cannot answer these labels: {', '.join(strange)}. Their rows count as wrong.")
    if as_json:
        say_json({name: _number(value) for name, value in found.items()})
        return
    say_table(("", f"{model} {champion.version}"), [(name, shown(found[name])) for name in METRICS])
    columns = ("precision", "recall", "f1", "n")
    rows = [(name, *(shown(own[column]) for column in columns)) for name, own in found["per_class"].items()]
    say_table(("label", *columns), rows)


def _number(value: Any) -> Any:
    """NaN is not JSON."""
    return None if isinstance(value, float) and value != value else value
