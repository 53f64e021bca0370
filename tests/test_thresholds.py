"""From which confidence on a model's answers are accepted: which checks count, what they change, and what a person may set."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from learning_home import check, in_use
from note_workflow import CHAMPION
from reviewed_notes import actions, sharing

from orchestration_project.core.errors import Conflict, NotEntitled, Refused
from orchestration_project.core.live_threshold import Outcome
from orchestration_project.governance import thresholds
from orchestration_project.governance.audit_verification import verify
from orchestration_project.governance.promotion import Verdict, record_verdict
from orchestration_project.governance.thresholds import Rechoice, raise_threshold, rechoices, set_threshold
from orchestration_project.stores import champions
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now
from orchestration_project.stores.model_versions import ModelVersion
from orchestration_project.stores.schema import AUDIT, OUTBOX, REVIEWS

PEOPLE = """
[people.anna]
users = ["*"]
roles = ["approver"]

[people.olga]
users = ["*"]
roles = ["operator"]
"""


@pytest.fixture
def home(any_home: Home) -> Home:
    """A home whose model `mood` accepts from 0.5 on, as it was trained to; Anna acts."""
    in_use(any_home)
    return acting(any_home, "anna")


def acting(home: Home, name: str) -> Home:
    (home.root / "people.toml").write_text(PEOPLE)
    return sharing(home, people=home.root / "people.toml", person=name)


def under_policy(home: Home, text: str) -> Home:
    (home.root / "checks.toml").write_text(f"[checks]\n{text}\n")
    return sharing(home, policy=home.root / "checks.toml")


def right(number: int, wrong: int = 0) -> Sequence[bool]:
    return [False] * wrong + [True] * (number - wrong)


def said(home: Home) -> tuple[Outcome, float | None]:
    (found,) = rechoices(home)
    return found.choice.outcome, found.choice.threshold


def used(home: Home) -> ModelVersion:
    with home.ledger.read() as connection:
        return champions.require_champion(connection, "mood")


def write(home: Home, found: Rechoice) -> None:
    with home.ledger.write() as connection:
        raise_threshold(connection, found.version, found.choice.threshold, found.told())


def test_few_checks_are_too_thin_and_change_nothing(home: Home) -> None:
    check(home, right(29, wrong=29))
    (found,) = rechoices(home)
    assert (found.choice.outcome, found.told()) == ("too thin", "0.5 stands, too thin: 29 checks of 30")
    assert not found.is_applied


def test_checks_that_keep_the_stated_error_leave_the_threshold(home: Home) -> None:
    check(home, right(60, wrong=3))
    (found,) = rechoices(home)
    assert found.choice.outcome == "stands"
    assert found.told().startswith("0.5 stands: live error 5.0 % (1.0 to 13.9 %) of 60 checks; stated at most 5 %")


def test_checks_that_break_the_stated_error_raise_the_threshold(home: Home) -> None:
    check(home, right(60, wrong=20), confidence=0.62)
    check(home, right(60, wrong=1), confidence=0.91)
    (found,) = rechoices(home)
    assert (found.choice.outcome, found.choice.threshold, found.is_applied) == ("raised", 0.7, True)
    assert used(home).threshold == 0.5, "nothing is changed by looking"
    write(home, found)
    assert used(home) == replace(CHAMPION, threshold=0.7)
    with home.ledger.read() as connection:
        entry = connection.execute(sa.select(AUDIT).where(AUDIT.c.action == "threshold set")).mappings().one()
        title, body = connection.execute(sa.select(OUTBOX.c.title, OUTBOX.c.body)).one()
    assert (entry["actor"], entry["subject"]) == ("policy", "mood/1")
    assert title == "The mood model accepts from 0.7"
    assert body.splitlines() == [
        "- Why: raised from 0.5 to 0.7, where it is 1.7 % (0.0 to 8.9 %) of 60 checks: "
        "live error 17.5 % (11.2 to 25.5 %) of 120 checks; stated at most 5 %",
        "- Who: policy",
        "- Before: from 0.5",
        "- What follows: less sure answers go to the next performer, to people or to the safe state",
        "- Back: orchestrate model threshold mood 0.5 --reason TEXT",
    ]


def test_checks_count_from_the_last_revision_on(home: Home) -> None:
    check(home, right(60, wrong=20), confidence=0.62)
    check(home, right(60, wrong=1))
    write(home, rechoices(home)[0])
    assert said(home) == ("too thin", 0.7)
    check(home, right(30))
    assert said(home) == ("stands", 0.7)


def test_where_no_threshold_keeps_it_nothing_is_accepted(home: Home) -> None:
    check(home, right(60, wrong=20))
    (found,) = rechoices(home)
    assert (found.choice.outcome, found.choice.threshold) == ("accepts nothing", None)
    write(home, found)
    assert used(home).threshold is None
    assert rechoices(home)[0].told() == "no confidence stands, too thin: 0 checks of 30"
    set_threshold(home, "mood", 0.5, "looked at again")
    assert used(home).threshold == 0.5


def test_checks_of_another_version_or_beyond_the_days_of_the_policy_do_not_count(home: Home) -> None:
    check(home, right(60, wrong=60), version="of before")
    assert said(home) == ("too thin", 0.5)
    check(home, right(60, wrong=60))
    with home.ledger.write() as connection:
        connection.execute(sa.update(REVIEWS).values(opened_at=now() - timedelta(days=29)))
    assert said(home) == ("too thin", 0.5)


def test_policy_that_wants_nothing_raised_is_told_what_the_checks_say(home: Home) -> None:
    check(home, right(60, wrong=20))
    (found,) = rechoices(under_policy(home, 'thresholds = "nothing"'))
    assert (found.choice.is_new, found.is_applied) == (True, False)
    assert found.told().startswith(
        "0.5 stands, as the policy says, though the stated error is broken: live error 33.3 %"
    )


def test_checks_of_what_is_in_use_no_more_change_nothing(home: Home) -> None:
    check(home, right(60, wrong=20))
    (found,) = rechoices(home)
    set_threshold(home, "mood", 0.95, "two wrong alerts")
    before = actions(home)
    with pytest.raises(
        Conflict, match=r"mood/1 accepts from 0\.95 by now, .* for mood/1 from 0\.5 on\. Run it again\."
    ):
        write(home, found)
    with home.ledger.write() as connection:
        record_verdict(connection, replace(CHAMPION, version="2", sha256="two"), Verdict(True, "no worse"))
    with pytest.raises(Conflict, match=r"mood/2 accepts from 0\.5 by now"):
        write(home, found)
    assert (actions(home), used(home).threshold) == ([*before, "promoted"], 0.5)


def test_person_sets_a_threshold_and_puts_it_back(home: Home) -> None:
    assert set_threshold(home, "mood", 0.95, "two wrong alerts") == CHAMPION
    assert used(home).threshold == 0.95
    assert set_threshold(home, "mood", 0.5, "they were right").threshold == 0.95
    assert used(home) == CHAMPION
    with home.ledger.read() as connection:
        assert connection.execute(
            sa.select(AUDIT.c.actor).where(AUDIT.c.action == "threshold set")
        ).scalars().all() == [
            "anna",
            "anna",
        ]
    found: list[str] = []
    verify(home, found.append, [])
    assert [one for one in found if "Champion" in one] == []


@pytest.mark.parametrize(
    ("threshold", "told"),
    [
        (0.49, r"mood/1 cannot accept from 0\.49: .* stated error from 0\.5 on\. Give a number from 0\.5 to 1\."),
        (1.1, r"mood/1 cannot accept from 1\.1: "),
        (float("nan"), "mood/1 cannot accept from nan: "),
        (0.5, r"mood/1 accepts from 0\.5 already\."),
    ],
)
def test_threshold_that_was_not_proven_is_refused(home: Home, threshold: float, told: str) -> None:
    before = actions(home)
    with pytest.raises(Refused, match=told):
        set_threshold(home, "mood", threshold, "because")
    assert (actions(home), used(home)) == (before, CHAMPION)


def test_version_that_proved_nothing_cannot_be_made_to_accept(home: Home) -> None:
    with home.ledger.write() as connection:
        unproven = replace(CHAMPION, version="2", sha256="two", threshold=None)
        record_verdict(connection, unproven, Verdict(True, "no worse"))
    with pytest.raises(Refused, match=r"mood/2 accepts nothing: .* run: orchestrate train"):
        set_threshold(home, "mood", 0.9, "because")


def test_who_is_no_approver_sets_none(home: Home) -> None:
    with pytest.raises(NotEntitled, match="approver"):
        set_threshold(acting(home, "olga"), "mood", 0.9, "because")
    assert used(home) == CHAMPION


@pytest.mark.parametrize("broken", [(champions, "revise"), (thresholds.audit, "append"), (thresholds.outbox, "record")])
def test_what_breaks_off_leaves_the_threshold(
    home: Home, broken: tuple[object, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left")

    before = actions(home)
    with monkeypatch.context() as patch:
        patch.setattr(*broken, fail)
        with pytest.raises(OSError, match="no space left"):
            set_threshold(home, "mood", 0.9, "because")
    assert (actions(home), used(home)) == (before, CHAMPION)
