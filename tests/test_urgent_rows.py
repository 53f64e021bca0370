"""Rows that cannot wait for a person: they go on with the surest answer, and a person looks at them meanwhile."""

import pandas as pd
from reviewed_notes import (
    SILENT,
    SURE,
    UNSURE,
    Desk,
    all_reviews,
    decide,
    let_time_pass,
    review_of,
    states,
    with_policy,
)

from orchestration_project.governance.overdue_reviews import expire
from orchestration_project.performers.person import URGENT_TOLD
from orchestration_project.stores.home import Home


def begins_with_u(rows: pd.DataFrame) -> pd.Series:
    return rows["message_id"].str.startswith("u")


def desk_of(home: Home, **more: tuple[str | None, float | None]) -> Desk:
    desk = Desk(home, more, at_once=begins_with_u)
    desk.publish()
    return desk


def test_what_cannot_wait_goes_on_with_the_surest_answer_not_accepted(any_home: Home) -> None:
    desk = desk_of(any_home, u1=UNSURE, a=UNSURE, u2=SURE)
    assert desk.column("state") == {"u1": "decided", "a": "pending", "u2": "decided"}
    row = desk.row("u1")
    assert (row["label"], row["accepted"], row["performer"]) == (UNSURE[0], False, "reader")
    assert row["reason"].endswith(URGENT_TOLD)
    assert states(any_home) == [("a", "unsure", "open"), ("u1", "urgent", "open")]


def test_what_nobody_could_answer_has_the_safe_states_answer_meanwhile(home: Home) -> None:
    desk = desk_of(home, u1=SILENT)
    assert (desk.row("u1")["decided_by"], states(home)) == ("safe_state", [("u1", "urgent", "open")])


def test_it_has_one_review_however_often_its_batch_runs(home: Home) -> None:
    desk = desk_of(home, u1=UNSURE, u2=SILENT)
    for rescore in (False, True):
        desk.publish(rescore=rescore)
    assert states(home) == [("u1", "urgent", "open"), ("u2", "urgent", "open")]


def test_a_verdict_on_it_stands_and_opens_nothing_anew(home: Home) -> None:
    desk = desk_of(home, u1=UNSURE)
    decide(home, "u1", "angry")
    desk.publish()
    assert (desk.row("u1")["label"], desk.row("u1")["decided_by"]) == ("angry", "person")
    assert states(home) == [("u1", "urgent", "decided")]


def test_it_takes_no_room_from_rows_that_wait(home: Home) -> None:
    narrow = with_policy(home, "most_open = 1")
    desk_of(narrow, u1=UNSURE, u2=UNSURE, a=UNSURE)
    assert [cause for _, cause, _ in states(home)].count("urgent") == 2
    assert ("a", "unsure", "open") in states(home)


def test_nobody_in_time_the_answer_stands_and_the_review_is_closed(any_home: Home) -> None:
    desk = desk_of(any_home, u1=UNSURE)
    let_time_pass(any_home, review_of(any_home, "u1").review_id)
    assert [one.message_id for one in expire(any_home)] == ["u1"]
    assert [one.state for one in all_reviews(any_home)] == ["closed"]
    desk.publish()
    assert desk.row("u1")["label"] == UNSURE[0]
    assert states(any_home) == [("u1", "urgent", "closed")]
