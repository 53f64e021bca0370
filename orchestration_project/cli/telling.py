"""A message's story as lines of text: what came in, what each asset made of it, what followed."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

WIDTH = 100
"""Most columns of a line, unless a single word is longer."""

NAME_WIDTH = 24
"""Most columns for the name of a value."""

MOST_SHOWN = 160
"""Characters of a value of a row that may speak of other messages too."""

Row = Mapping[str, Any]


def lines_of(story: Row) -> Iterator[str]:
    """The lines of a story (see `stores.story.whole_story`)."""
    message, marks = story["message"], _marks(story)
    yield f"{message['message_id']} is {_worded(story['state'])}"
    yield from _block("What came in", _came_in(story, marks))
    for decision in story["decisions"]:
        yield from _block(_headline(story, decision, marks), _decided(story, decision))
    for record in story["records"]:
        yield from _block(_titled(record["asset"], marks), [*_values(record), *_version(story, record["asset"])])
    for row in story["mentions"]:
        yield from _block(
            f"{row['asset']}, which speaks of it", [*_values(row, MOST_SHOWN), *_version(story, row["asset"])]
        )
    for refusal in story["quarantined"]:
        yield from _block("Refused", _wrapped(f"at {refusal['asset']}, batch {refusal['batch']}: {refusal['reason']}"))
    for notice in story["notices"]:
        yield from _block(f"Alert: {notice['title']}", _delivered(notice))
    if story["withheld"]:
        yield from _block("Kept back", _wrapped(withheld_told(story["withheld"])))


def withheld_told(withheld: Row) -> str:
    """What is kept back, and until when."""
    numbers = ", ".join(map(str, withheld["reviews"]))
    return (
        f"What {', '.join(withheld['assets'])} say, and what was alerted: it is told when the check is over that has to "
        f"be decided without knowing it (review {numbers})."
    )


def place_told(place: Row) -> str:
    """Where a message came in.

    >>> place_told({"file": "day.csv", "line": 7, "registered_at": None})
    'day.csv, line 7'
    """
    line = f", line {place['line']}" if place["line"] is not None else ""
    return f"{place['file']}{line}" + (f", {moment(place['registered_at'])}" if place["registered_at"] else "")


def outcome_told(place: Row) -> str:
    """What became of a message at a place."""
    batch, successor = place["batch"], place["successor"]
    told = {
        "waiting": "waits for its batch",
        "working": f"in batch {batch}, which is worked on",
        "published": f"taken in with batch {batch}",
        "quarantined": f"in quarantine, batch {batch}",
        "halted": f"in batch {batch}, which is halted",
        "set_aside": f"in batch {batch}, which was set aside",
        "replayed": f"refused in batch {batch}, and replayed in {successor}",
        "taken_over": f"came in with batch {batch}, and was sent again with {successor}, which took it over",
        "duplicate": f"sent again with batch {batch}: a duplicate, left out",
        "discarded": f"discarded, batch {batch}",
    }[place["outcome"]]
    return f"{told}: {place['reason']}" if place["reason"] else told


def answer_told(answer: Row) -> str:
    """What a performer answered, without why.

    >>> answer_told({"outcome": "accepted", "label": "late", "confidence": 0.91, "threshold": 0.7})
    'late 0.910, accepted from 0.700'
    """
    outcome, threshold = answer["outcome"], answer["threshold"]
    if answer["label"] is None:
        return outcome
    limits = {
        "accepted": "accepted" if threshold is None else f"accepted from {threshold:.3f}",
        "kept": "kept, not accepted",
        "proposed": "proposed",
        "not accepted": "not accepted",
    }
    accepts = f" (accepts from {threshold:.3f} on)" if threshold is not None and outcome != "accepted" else ""
    return f"{labelled(answer)}, {limits[outcome]}{accepts}"


def labelled(answer: Row) -> str:
    """A label with its confidence, as far as it is known."""
    confidence = answer["confidence"]
    return f"{answer['label']}" if confidence is None else f"{answer['label']} {confidence:.3f}"


def delivery_told(delivery: Row) -> str:
    """How it stands with the delivery of a notice to a target."""
    attempts = f"{delivery['attempts']} attempt{'' if delivery['attempts'] == 1 else 's'}"
    if delivery["state"] == "delivered":
        return f"delivered {moment(delivery['delivered_at'])}, after {attempts}"
    error = f": {delivery['last_error']}" if delivery["last_error"] else ""
    if delivery["state"] == "failed":
        return f"never arrived, after {attempts}{error}"
    following = f", the next from {moment(delivery['next_attempt_at'])}" if delivery["next_attempt_at"] else ""
    return f"waits, after {attempts}{following}{error}"


def moment(value: datetime) -> str:
    """A moment to the second, in UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


def _came_in(story: Row, marks: Mapping[str, str]) -> Iterator[str]:
    for place in story["came_in"]:
        yield from _wrapped(place_told(place))
        yield from _wrapped(f"{outcome_told(place)}; sha256 {place['file_sha256'][:16]}", 4)
    if not story["came_in"]:
        yield "  from which file is not known any more"
    if story["unread_files"]:
        yield f"  {story['unread_files']:,} files more were not looked through"
    yield from _batch(story["batch"])
    message = {name: value for name, value in story["message"].items() if name != "batch"}
    if len(message) == 1 and story["came_in"]:  # it is no row of any asset, so the row that came in is shown
        message |= story["came_in"][-1]["row"]
    source = story["source"]
    if source and len(message) > 1:
        yield from _wrapped(f"row of {_titled(source, marks)}")
    yield from _values(message)
    yield from _version(story, source)


def _batch(batch: Row | None) -> Iterator[str]:
    if batch is None:
        return
    cause = f": {batch['cause']}" if batch["cause"] else ""
    yield from _wrapped(
        f"batch {batch['batch']}, opened {moment(batch['opened_at'])}, {_worded(batch['state'])}{cause}"
    )
    for run in batch["runs"]:
        by = f" by run {run['run_id']}" if run["run_id"] else ""
        why = f": {run['cause']}" if run["cause"] else ""
        yield from _wrapped(f"{run['key'].partition('/')[2]} {run['state']}{by}{why}", 4)


def _headline(story: Row, decision: Row, marks: Mapping[str, str]) -> str:
    asset = _titled(decision["asset"], marks)
    if decision["label"] is None and decision["accepted"] is None:
        return f"{asset}: kept back"
    if decision["label"] is None:
        return f"{asset}: waits for a person"
    version = f" {decision['version']}" if decision["version"] else ""
    answer = f"{labelled(decision)}, by {decision['performer']}{version}"
    if decision["decided_by"] != "person" and any(
        answer["outcome"] == "proposed"
        for output in story["model_outputs"]
        for answer in output["asked"]
        if output["asset"] == decision["asset"]
    ):
        return f"{asset}: waits for a person; proposed is {answer}"
    return f"{asset}: {answer}" + ("" if decision["accepted"] else ", not accepted")


def _decided(story: Row, decision: Row) -> Iterator[str]:
    for output in story["model_outputs"]:
        if output["asset"] != decision["asset"]:
            continue
        for number, answer in enumerate(output["asked"], 1):
            who = f"{answer['performer']} {answer['version'] or ''}".strip()
            yield from _wrapped(f"{number}. {who}: {answer_told(answer)}")
            yield from _wrapped(answer["why"], 5)
        for told in output["besides"]:
            yield from _wrapped(told)
        for answer in output["shadow"]:
            accepted = "would have been accepted" if answer["accepted"] else "would not have been accepted"
            who = f"{answer['performer']} {answer['version']}"
            yield from _wrapped(f"in shadow, {who}: {labelled(answer)}, {accepted}")
        for review in output["reviews"]:
            yield from _review(review)
    yield from _version(story, decision["asset"])


def _review(review: Row) -> Iterator[str]:
    told = f"review {review['review_id']}, {moment(review['opened_at'])}: {review['why_here']}"
    ended = f"closed {moment(review['closed_at'])}" if review["closed_at"] and review["state"] == "closed" else None
    default = review["proposed"].get("default")
    states = {
        "open": f"open, to be decided by {moment(review['respond_by'])}",
        "overdue": f"nobody decided by {moment(review['respond_by'])}, so {_default_told(default)}",
        "closed": f"{ended or 'closed'}, nobody need decide",
    }
    yield from _wrapped(f"{told}; {states.get(review['state'], review['state'])}")
    if review["why"]:
        yield from _wrapped(f"because: {review['why']}", 4)
    for verdict in review["verdicts"]:
        corrected = "" if verdict["is_current"] else ", corrected since"
        yield from _wrapped(f"{verdict['person']}: {verdict['label']}, {moment(verdict['decided_at'])}{corrected}", 4)
        yield from _wrapped(verdict["note"] or "", 6)


def _default_told(default: str | None) -> str:
    return "the safe state answers" if default == "safe_state" else "the surest answer stands, not accepted"


def _delivered(notice: Row) -> Iterator[str]:
    yield f"  recorded {moment(notice['recorded_at'])} by {notice['asset']} of batch {notice['batch']}"
    told = f"told {moment(notice['delivered_at'])}" if notice["delivered_at"] else "not told yet"
    yield f"  this home's notices: {told}"
    for delivery in notice["deliveries"]:
        yield from _wrapped(f"{delivery['target']}: {delivery_told(delivery)}")


def _version(story: Row, asset: str | None) -> Iterator[str]:
    for version in story["versions"]:
        if version["asset"] == asset:
            read = ", ".join(f"{name} {number}" for name, number in version["inputs"].items())
            of = f", from {read}" if read else ""
            published = f"version {version['version']}, {moment(version['published_at'])}{of}"
            yield from _wrapped(f"{published}, by run {version['run_id']}")


def _values(row: Row, most: int | None = None) -> Iterator[str]:
    """A line or more for each value, behind its name; nothing for what is empty."""
    shown = {name: value for name, value in row.items() if value is not None and name != "asset"}
    width = min(NAME_WIDTH, max(map(len, shown), default=0))
    for name, value in shown.items():
        text = f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        if most is not None and len(text) > most:
            text = f"{text[: most - 1]}…"
        yield from _filled(text, f"  {name:<{width}}  ", " " * (width + 4))


def _block(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield from _filled(title, "", "  ")
    yield from lines


def _wrapped(text: str, indent: int = 2) -> list[str]:
    return _filled(text, " " * indent, " " * (indent + 2)) if text else []


def _filled(text: str, first: str, others: str) -> list[str]:
    """Lines of at most WIDTH columns; the text's own lines stay lines."""
    found: list[str] = []
    for line in text.splitlines() or [""]:
        before = others if found else first
        wrapped = textwrap.wrap(line, WIDTH, initial_indent=before, subsequent_indent=others, break_on_hyphens=False)
        found += wrapped or [before.rstrip()]
    return found


def _marks(story: Row) -> dict[str, str]:
    return {halt["asset"]: f"halted since run {halt['run_id']}" for halt in story["halted"]}


def _titled(asset: str, marks: Mapping[str, str]) -> str:
    return f"{asset} ({marks[asset]})" if asset in marks else asset


def _worded(state: str) -> str:
    return state.replace("_", " ")
