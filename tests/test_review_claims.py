"""Who is shown which review: claims, and reviews that are skipped, assigned, escalated and reopened."""

from datetime import timedelta

import pytest
from reviewed_notes import (
    UNSURE,
    acting,
    actions,
    decide,
    desk_of,
    everything,
    number,
    review_of,
    set_review,
    with_policy,
)

from orchestration_project.core.errors import NotEntitled, Refused, UnknownName
from orchestration_project.governance import audit, review_orders
from orchestration_project.governance.review_orders import next_review
from orchestration_project.stores.home import Home
from orchestration_project.stores.ledger import now


def shown(home: Home, name: str, asset: str | None = None) -> str | None:
    """Message of the review that a person is shown next."""
    found = next_review(acting(home, name), asset)
    return found.message_id if found else None


def test_next_is_the_most_pressing_and_in_hand_of_one(home: Home) -> None:
    desk_of(home)
    set_review(home, number(home, "b"), respond_by=now() + timedelta(minutes=5))
    assert shown(home, "anna") == "b"
    assert shown(home, "anna") == "b", "it is hers already"
    assert shown(home, "ben") == "a"
    assert shown(home, "lea") is None
    before = everything(home)
    with pytest.raises(Refused, match=r"anna has review 2 in hand until 20.*Take another."):
        decide(home, "b", "angry", "ben")
    assert everything(home) == before
    decide(home, "b", "angry", "anna")


def test_claim_expires(home: Home) -> None:
    desk_of(home, a=UNSURE)
    assert (shown(home, "anna"), shown(home, "ben")) == ("a", None)
    set_review(home, number(home), claimed_until=now() - timedelta(seconds=1))
    assert shown(home, "ben") == "a"
    with pytest.raises(Refused, match=r"ben has review 1 in hand"):
        decide(home, "a", "angry", "anna")


def test_claim_ends_when_the_clock_was_set_back(home: Home) -> None:
    desk_of(home, a=UNSURE)
    assert shown(home, "anna") == "a"
    set_review(home, number(home), claimed_until=now() + timedelta(days=400))
    assert shown(home, "ben") == "a"


def test_claim_lasts_as_long_as_the_policy_says(home: Home) -> None:
    desk_of(home, a=UNSURE)
    before = now()
    found = next_review(with_policy(acting(home, "anna"), "claim_minutes = 2"))
    assert found is not None and found.claimed_until is not None
    assert 120 <= (found.claimed_until - before).total_seconds() <= 120 + (now() - before).total_seconds()


def test_next_of_an_asset_is_only_its_own(home: Home) -> None:
    desk_of(home)
    assert shown(home, "anna", "mood") == "a"
    with pytest.raises(UnknownName, match=r"No model output 'moon' .*Did you mean 'mood'"):
        next_review(acting(home, "lea"), "moon")
    with pytest.raises(NotEntitled, match="takes the skill mood"):
        next_review(acting(home, "carl"), "mood")
    assert shown(home, "carl") is None, "nothing of his assets waits"


def test_who_skips_a_review_is_not_shown_it_again(home: Home) -> None:
    desk_of(home, a=UNSURE)
    assert shown(home, "anna") == "a"
    review_orders.skip(acting(home, "anna"), number(home))
    assert (shown(home, "anna"), shown(home, "ben")) == (None, "a")
    review_orders.skip(acting(home, "anna"), number(home))
    assert review_of(home, "a").passed_by == ["anna"]
    assert review_of(home, "a").claimed_by == "ben", "what another has in hand stays there"


def test_assigned_review_is_shown_to_that_person_first_and_to_nobody_else(home: Home) -> None:
    desk_of(home)
    review_orders.skip(acting(home, "ben"), number(home, "b"))
    review_orders.assign(acting(home, "lea"), number(home, "b"), "ben")
    assert (shown(home, "anna"), shown(home, "lea")) == ("a", None)
    assert shown(home, "ben") == "b"
    review_orders.skip(acting(home, "ben"), number(home, "b"))
    assert shown(home, "lea") == "b", "who skips it gives it back"
    assert actions(home) == ["review assigned"]


@pytest.mark.parametrize(("name", "told"), [("bem", "Did you mean 'ben'"), ("carl", "There are: anna, ben, lea")])
def test_review_is_assigned_to_nobody_who_may_not_decide_it(home: Home, name: str, told: str) -> None:
    desk_of(home)
    before = everything(home)
    with pytest.raises(UnknownName, match=rf"Nobody called '{name}' may decide review 1 of mood.*{told}"):
        review_orders.assign(acting(home, "lea"), number(home), name)
    assert everything(home) == before


def test_lead_who_is_no_reviewer_assigns_to_others_and_not_to_itself(home: Home) -> None:
    desk_of(home)
    review_orders.assign(acting(home, "olga"), number(home), "anna")
    assert review_of(home, "a").assigned_to == "anna"
    with pytest.raises(UnknownName, match="Nobody called 'olga' may decide"):
        review_orders.assign(acting(home, "olga"), number(home), "olga")


def test_lead_whom_no_person_names_assigns_to_itself(home: Home) -> None:
    desk_of(home)
    review_orders.assign(home, number(home), audit.system_user())
    found = next_review(home)
    assert found is not None and found.assigned_to == audit.system_user()


def test_escalated_review_is_shown_and_assigned_to_leads_alone(home: Home) -> None:
    desk_of(home, a=UNSURE)
    assert shown(home, "anna") == "a"
    review_orders.escalate(acting(home, "anna"), number(home), "it may become a legal case")
    assert (shown(home, "anna"), shown(home, "ben"), shown(home, "lea")) == (None, None, "a")
    with pytest.raises(UnknownName, match="Nobody called 'ben' may decide review 1"):
        review_orders.assign(acting(home, "lea"), number(home), "ben")
    review_orders.assign(acting(home, "olga"), number(home), "lea")
    assert shown(home, "lea") == "a"
    assert actions(home) == ["review escalated", "review assigned"]


def test_reopened_review_is_anybodys_again(home: Home) -> None:
    desk_of(home, a=UNSURE)
    assert shown(home, "anna") == "a"
    review_orders.skip(acting(home, "ben"), number(home))
    decide(home, "a", "angry")
    review_orders.reopen(acting(home, "lea"), number(home), "a doubt")
    assert review_of(home, "a").respond_by > now() + timedelta(hours=23)
    assert shown(home, "ben") == "a"
