"""Who may switch what, what is written with it, and that a refused order changes nothing."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from note_workflow import CHAMPION
from reviewed_notes import SURE, Desk, acting, actions, everything

from orchestration_project.core.errors import NotEntitled, Refused, UnknownName
from orchestration_project.governance import audit
from orchestration_project.governance.policy import Learning
from orchestration_project.governance.promotion import Order, Terms, Verdict, judge_candidate, record_verdict
from orchestration_project.governance.switch_orders import Turn, turn
from orchestration_project.stores import cascades, model_versions, outbox, switches, trials
from orchestration_project.stores.cascades import KnownCascade
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT, OUTBOX

OFF = Turn("performer", "reader", "off")


@pytest.fixture
def desk(any_home: Home) -> Home:
    """A home whose `mood` was decided by a reader, people and a safe state; `topic` has no people. Olga acts."""
    Desk(any_home, {"a": SURE}).publish()
    with any_home.ledger.write() as connection:
        cascades.record(connection, KnownCascade("topic", ("finder", "unknown"), ("shop",), False))
        record_verdict(connection, CHAMPION, Verdict(True, "the first"))
    return acting(any_home, "olga")


def test_switch_comes_with_its_audit_entry_and_a_notice(desk: Home) -> None:
    found = turn(desk, OFF, "it calls every refund negative")
    with desk.ledger.read() as connection:
        assert switches.taken_out(connection) == [found]
        entry = connection.execute(sa.select(AUDIT).where(AUDIT.c.action == "switched")).mappings().one()
        assert (entry["actor"], entry["subject"]) == ("olga", "performer reader")
        title, body = connection.execute(sa.select(OUTBOX.c.title, OUTBOX.c.body)).one()
    assert title == "reader is off"
    assert body.splitlines() == [
        "- Why: it calls every refund negative",
        "- Who: olga",
        "- Before: on",
        "- What follows: nothing more is decided by it from now on, also in batches under way",
        '- Back: orchestrate switch performer "reader" on --reason TEXT',
    ]
    assert actions(desk)[-1] == "switched"


def test_every_turn_is_told_and_audited(desk: Home) -> None:
    for state in ("off", "shadow", "on"):
        turn(desk, Turn("performer", "reader", state), "because")
    assert actions(desk)[-3:] == ["switched"] * 3
    with desk.ledger.read() as connection:
        titles = connection.execute(sa.select(OUTBOX.c.title).order_by(OUTBOX.c.notice_id)).scalars().all()
    assert titles == ["reader is off", "reader is in shadow", "reader is on"]


@pytest.mark.parametrize("broken", [(switches, "put"), (audit, "append"), (outbox, "record")])
def test_switch_audit_entry_and_notice_are_one_transaction(
    desk: Home, broken: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(desk)
    module, name = broken
    whole = getattr(module, name)

    def fail_after(*arguments: Any, **named: Any) -> Any:
        whole(*arguments, **named)
        raise RuntimeError("cut off")

    monkeypatch.setattr(module, name, fail_after)
    with pytest.raises(RuntimeError, match="cut off"):
        turn(desk, OFF, "because")
    assert everything(desk) == before


@pytest.mark.parametrize(
    ("order", "error", "words"),
    [
        (Turn("performer", "raeder", "off"), UnknownName, "No performer 'raeder' .* Did you mean 'reader'?"),
        (Turn("performer", "unknown", "off"), Refused, "unknown is no performer that can be switched"),
        (Turn("performer", "person", "off"), Refused, "Switch the asset, or a performer before it"),
        (Turn("performer", "reader", "people"), Refused, "cannot be 'people'. Choose one of: on, shadow, off."),
        (Turn("performer", "reader", "on"), Refused, "reader is on, and never was switched"),
        (Turn("performer", "reader", "off", "next"), Refused, "A successor is given only to a version"),
        (Turn("asset", "modo", "people"), UnknownName, "No model output 'modo' .* Did you mean 'mood'?"),
        (Turn("asset", "mood", "off"), Refused, "cannot be 'off'. Choose one of: on, people, safe_state."),
        (Turn("asset", "topic", "people"), Refused, "The cascade of topic has no people: finder → unknown"),
        (Turn("version", "mood", "off"), UnknownName, "'mood' names no version. Write FAMILY/VERSION."),
        (Turn("version", "mood/9", "off"), UnknownName, "The model 'mood' has no one version '9'"),
        (Turn("model", "mood", "off"), UnknownName, "Nothing of the kind 'model' is switched."),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_switched_is_refused_and_nothing_changes(
    desk: Home, order: Turn, error: type[Refused], words: str
) -> None:
    before = everything(desk)
    with pytest.raises(error, match=words):
        turn(desk, order, "because")
    assert everything(desk) == before


def test_what_is_so_already_is_refused_with_who_said_so(desk: Home) -> None:
    turn(desk, OFF, "because")
    with pytest.raises(Refused, match=r"reader is off since .*, by olga: because\."):
        turn(desk, OFF, "once more")


def test_whoever_is_no_operator_may_not(desk: Home) -> None:
    before = everything(desk)
    with pytest.raises(NotEntitled, match="This takes the role operator, and anna has"):
        turn(acting(desk, "anna"), OFF, "because")
    assert everything(desk) == before


def test_version_is_known_by_the_first_characters_of_its_digest_and_has_a_successor(desk: Home) -> None:
    with desk.ledger.write() as connection:
        model_versions.record(connection, replace(CHAMPION, version="22c4f0", sha256="two"))
    found = turn(desk, Turn("version", f"mood/{CHAMPION.version}", "off", "22c4"), "learnt from wrong labels")
    assert (found.name, found.successor) == (f"mood/{CHAMPION.version}", "22c4f0")
    with desk.ledger.read() as connection:
        assert "- In its place: 22c4f0" in connection.execute(sa.select(OUTBOX.c.body)).scalar_one()


def test_trial_of_a_version_ends_when_it_is_switched_off(desk: Home) -> None:
    with desk.ledger.write() as connection:
        record_verdict(connection, CHAMPION, Verdict(False, "on trial from now on", is_on_trial=True), "anna")
    turn(desk, Turn("version", CHAMPION.name, "off"), "learnt from wrong labels")
    with desk.ledger.read() as connection:
        assert trials.of_family(connection, "mood") is None


def test_what_a_drill_switched_off_a_person_may_switch_off(desk: Home) -> None:
    drilled = turn(desk, replace(OFF, is_drill=True), "rehearsal")
    assert drilled.told().endswith(", by olga, for a drill: rehearsal")
    found = turn(desk, OFF, "it is wrong")
    assert (found.reason, found.is_drill) == ("it is wrong", False)
    with desk.ledger.read() as connection:
        assert switches.get(connection, "performer", "reader") == found


def test_a_reason_that_speaks_of_a_drill_makes_none(desk: Home) -> None:
    assert not turn(desk, OFF, "drill: the fire brigade asked for it").is_drill
    with pytest.raises(Refused, match="reader is off since"):
        turn(desk, OFF, "once more")


def test_what_nobody_asks_any_more_can_be_switched_on(desk: Home) -> None:
    turn(desk, OFF, "because")
    with desk.ledger.write() as connection:
        cascades.record(connection, KnownCascade("mood", ("newer", "person", "unknown"), ("calm",), True))
    assert turn(desk, Turn("performer", "reader", "on"), "it was renamed").state == "on"


@pytest.mark.parametrize("order", [Order(), Order("promote", "1"), Order("rollback", "1")])
def test_version_that_is_off_is_not_put_in_use(desk: Home, order: Order) -> None:
    found = turn(desk, Turn("version", CHAMPION.name, "off"), "learnt from wrong labels")
    terms = Terms(Learning(), was_in_use=True)
    verdict = judge_candidate(order, CHAMPION, None, [], labels_replaced=False, switch=found, terms=terms)
    run = f"orchestrate switch version mood {CHAMPION.version} on --reason TEXT"
    assert verdict == Verdict(False, f"{found.told()}. Run first: {run}")
    back = turn(desk, Turn("version", CHAMPION.name, "on"), "looked at again")
    assert judge_candidate(order, CHAMPION, None, [], labels_replaced=False, switch=back, terms=terms).is_promoted
