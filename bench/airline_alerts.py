"""A team of another trade: airline messages go through a copy of the checkout in which only the decision tables are
other ones, and the alerts are held against those that the true labels call for.

`airline_alerts(data, folder)` does all of it; `data` is the folder that ORCHESTRATE_EVAL_DATA names.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchestration_project.core.settings import PROJECT

DAY = "2015-02-21"
"""The day whose messages are sent; labels of the days before it are learnt."""

SENT = 500

TABLES = {
    "route.csv": r"""rule,issue,decided_by,text,team,priority,respond_within_hours
law,,,"~(?i)\b(lawyers?|attorneys?|lawsuit|sue|suing|legal action)\b",Escalations,1,1
delays,Late Flight|Cancelled Flight|longlines,,,Operations,2,2
baggage,Lost Luggage|Damaged Luggage,,,Baggage,2,4
people,Customer Service Issue|Flight Attendant Complaints,,,Customer care,3,8
sales,Flight Booking Problems,,,Sales,3,8
default,,,,Triage,4,24
""",
    "alert.csv": """rule,issue,window_hours,volume,change,share,priority,severity
urgent-message,,,,,,1,critical
flood,!Can't Tell,24,>=50,,,,critical
many,!Can't Tell,24,>=20,,,,high
""",
    "issue_rules.csv": r"""rule,text,label
bag-gone,"~(?i)\b(lost|missing|delayed|find) (my |our |the )?(bags?|luggage|baggage|suitcases?)\b",Lost Luggage
cancelled,"~(?i)\b(cancell?ed flight|flight (was |is |has been |got )?cancell?ed)\b",Cancelled Flight
on-hold,"~(?i)\b(on hold|hold time|hung up)\b",Customer Service Issue
""",
}
"""File of `assets/feedback/` → what an airline writes into it."""

Window = tuple[str, str]
"""Issue and calendar day."""


@dataclass(frozen=True)
class Judged:
    """The alerts; the windows that they told, and those that the true labels call for; every issue that people named."""

    alerts: list[dict[str, Any]]
    told: frozenset[Window]
    due: frozenset[Window]
    issues: frozenset[str]

    @property
    def precision(self) -> float:
        """Share of the told alerts that were due."""
        return len(self.told & self.due) / len(self.told)

    @property
    def recall(self) -> float:
        """Share of the due alerts that were told."""
        return len(self.told & self.due) / len(self.due)


def airline_alerts(data: Path, folder: Path) -> Judged:
    """Import the labels, train, send the day's messages, and judge the alerts; all of it happens below `folder`."""
    copy = airline_checkout(folder)
    labels = folder / "airline_labels.csv"
    truth = write_labels(data / labels.name, labels)
    sent = folder / "messages.jsonl"
    messages = write_messages(data / "airline_feedback.jsonl", sent)
    for model, other in (("sentiment", "issue"), ("issue", "sentiment")):
        ignored = f"received_at,sentiment_agreement,issue_agreement,{other}"
        named = ["--model", model, "--label", model, "--ignore", ignored]
        orchestrate(copy, "labels", "import", str(labels), *named, "--replace", "--force", "People disagree.")
    orchestrate(copy, "train")
    counts = orchestrate(copy, "send", str(sent), "--json")
    assert counts["done"] == len(messages), counts
    alerts = [alert["facts"] for alert in orchestrate(copy, "alerts", "--json")]
    windows = frozenset((alert["issue"], alert["day"]) for alert in alerts if alert["window_hours"])
    unhappy = [(issue, time) for message_id, time in messages.items() if (issue := truth[message_id])]
    issues = frozenset(issue for issue in truth.values() if issue)
    return Judged(alerts, windows, alerts_due(unhappy, TABLES["alert.csv"]), issues)


def airline_checkout(folder: Path) -> Path:
    """A copy of the checkout with the airline's tables, of which a team that writes no Python edits nothing else."""
    copy = folder / "checkout"
    copy_checkout(copy)
    for name, content in TABLES.items():
        (copy / "assets" / "feedback" / name).write_text(content, encoding="utf-8")
    code = "import assets, orchestration_project as own; print(assets.__file__, own.__file__)"
    found = run(copy, "-c", code)
    assert found.count(str(copy)) == 2, f"The copy's packages must win over those that are installed: {found}"
    return copy


def orchestrate(copy: Path, *arguments: str) -> Any:
    """Run the copy's command line on a home beside the copy; returns what it printed, parsed if it is JSON."""
    printed = run(copy, "-m", "orchestration_project.cli.main", *arguments)
    return json.loads(printed) if "--json" in arguments else printed


def run(copy: Path, *arguments: str) -> str:
    """Run Python in the copy, without what this process's environment names; returns what it printed."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATE_", "DAGSTER_"))}
    named = {"ORCHESTRATE_HOME": str(copy.with_name("home")), "PYTHONPATH": str(copy)}
    policy = copy.with_name("policy.toml")
    policy.write_text("[reviews]\nmost_open = 0\n")  # nobody is there to be asked
    named["ORCHESTRATE_POLICY"] = str(policy)
    command = [sys.executable, *arguments]
    ended = subprocess.run(
        command, cwd=copy, env={**outside, **named}, capture_output=True, text=True, timeout=900, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def copy_checkout(target: Path) -> None:
    """Copy the files of the checkout that git knows or would take in, as they are now."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():  # one that was deleted is listed until that is committed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, target / name)


def write_labels(source: Path, target: Path) -> Mapping[str, str]:
    """Write the labels of the days before; returns issue by message id of every message, empty where it is no
    complaint.
    """
    with source.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(row for row in rows if row["received_at"] < DAY)
    return {row["message_id"]: row["issue"] if row["sentiment"] == "negative" else "" for row in rows}


def write_messages(source: Path, target: Path) -> Mapping[str, datetime]:
    """Write the first messages of the day in order of time; returns when each came in."""
    lines = [(json.loads(line), line) for line in source.read_text(encoding="utf-8").splitlines()]
    of_day = [(message["received_at"], message["message_id"], line) for message, line in lines]
    chosen = sorted(found for found in of_day if found[0].startswith(DAY))[:SENT]
    target.write_text("".join(f"{line}\n" for _, _, line in chosen), encoding="utf-8")
    return {message_id: datetime.fromisoformat(time) for time, message_id, _ in chosen}


def alerts_due(unhappy: Iterable[tuple[str, datetime]], table: str) -> frozenset[Window]:
    """Issue and day (UTC) of which some trailing window breaches a rule of an `alert.csv`, by the issues given.

    Of its cells `a|b` and `!a` for issues, hours, and `>=n` for volumes are known; rules of a priority speak of single
    messages and are left out. ValueError for rules that need more than these messages.
    """
    times: dict[str, list[datetime]] = {}
    for issue, time in unhappy:
        times.setdefault(issue, []).append(time)
    due: set[Window] = set()
    for rule in csv.DictReader(table.splitlines()):
        if rule["priority"]:
            continue
        if rule["change"] or rule["share"]:
            raise ValueError(f"The rule '{rule['rule']}' needs a change or share. Judge it by volumes only.")
        span, least = timedelta(hours=int(rule["window_hours"])), int(rule["volume"].removeprefix(">="))
        for issue, own in times.items():
            if _is_named(issue, rule["issue"]):
                due |= {(issue, day) for day in _days_over(own, span, least)}
    return frozenset(due)


def _is_named(issue: str, cell: str) -> bool:
    return issue != cell[1:] if cell.startswith("!") else not cell or issue in cell.split("|")


def _days_over(times: Sequence[datetime], span: timedelta, least: int) -> set[str]:
    """Days with a moment up to which so many came in within the span."""
    full = [end for end in times if sum(end - span < time <= end for time in times) >= least]
    return {f"{end.astimezone(UTC):%Y-%m-%d}" for end in full}
