"""Who may do what: which person an operating-system user acts as, and which role and skill an order takes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from orchestration_project.core.errors import FileRefused, NotEntitled
from orchestration_project.core.settings import PROJECT, Settings
from orchestration_project.dispatch import delivery
from orchestration_project.governance import batch_orders, mending, rescore_orders
from orchestration_project.governance.audit import system_user
from orchestration_project.governance.label_imports import import_labels
from orchestration_project.governance.people import ROLES, acting, read_people, require
from orchestration_project.governance.promotion import Order, require_role
from orchestration_project.governance.rescore_orders import Wanted
from orchestration_project.stores.families import Family
from orchestration_project.stores.home import Home
from orchestration_project.stores.label_files import LabelFile
from orchestration_project.stores.quarantine import Selection
from orchestration_project.stores.schema import AUDIT

TWO = """
[people.anna]
users = ["{user}"]
roles = ["reviewer", "lead"]
skills = ["issue"]

[people.ben]
users = ["{user}", "nobody-else"]
roles = ["operator"]
"""


@pytest.fixture
def listing(tmp_path: Path) -> Callable[[str], Settings]:
    """Settings whose file of people has this text; `{user}` is who runs the test."""

    def write(text: str) -> Settings:
        file = tmp_path / "people.toml"
        file.write_text(text.replace("{user}", system_user()))
        return Settings(people=file)

    return write


Listing = Callable[[str], Settings]


def test_laptop_user_has_every_role_and_skill_as_itself() -> None:
    person = acting(Settings())
    assert person.name == system_user()
    assert set(person.roles) == set(ROLES)
    assert person.has_skill("issue")


def test_user_of_one_person_acts_as_that_person(listing: Listing) -> None:
    settings = listing('[people.carl]\nusers = ["{user}"]\nroles = ["auditor"]')
    assert acting(settings).name == "carl"
    assert acting(replace(settings, person="carl")).roles == ("auditor",)


def test_user_of_several_persons_says_which(listing: Listing) -> None:
    settings = listing(TWO)
    with pytest.raises(NotEntitled, match=r"may act as anna, ben. Set ORCHESTRATE_PERSON to one of them"):
        acting(settings)
    assert acting(replace(settings, person="ben")).name == "ben"
    with pytest.raises(NotEntitled, match=r"may not act as 'ana'. Did you mean 'anna'?"):
        acting(replace(settings, person="ana"))


def test_user_whom_nobody_names_acts_as_anyone_or_not_at_all(listing: Listing) -> None:
    others = '[people.eve]\nusers = ["somebody-else"]\nroles = ["operator"]\n'
    with pytest.raises(NotEntitled, match=rf"User '{system_user()}' is nobody in people.toml"):
        acting(listing(others))
    person = acting(listing(others + '[anyone]\nroles = ["reviewer"]'))
    assert (person.name, person.roles) == (system_user(), ("reviewer",))


def test_user_does_not_pass_for_a_person_of_its_name_that_others_are(listing: Listing) -> None:
    with pytest.raises(NotEntitled):
        acting(listing('[people.{user}]\nusers = ["somebody-else"]\nroles = []\n[anyone]\nroles = ["operator"]'))


def test_star_stands_for_every_user(listing: Listing) -> None:
    assert acting(listing('[people.desk]\nusers = ["*"]\nroles = []')).name == "desk"


def test_missing_role_names_who_has_it(listing: Listing) -> None:
    settings = replace(listing(TWO), person="anna")
    with pytest.raises(NotEntitled, match=r"takes the role operator, and anna has the roles reviewer, lead. Ask ben."):
        require(settings, "operator")
    with pytest.raises(NotEntitled, match=r"takes the role auditor, .* Give it to somebody in people.toml."):
        require(settings, "auditor")


def test_missing_skill_is_refused(listing: Listing) -> None:
    settings = replace(listing(TWO), person="anna")
    assert require(settings, "reviewer", skill="issue").name == "anna"
    with pytest.raises(NotEntitled, match=r"takes the skill sentiment, and anna has the skills issue."):
        require(settings, "reviewer", skill="sentiment")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("people = [", "is not TOML"),
        ("", "lists nobody"),
        ("[person.anna]", "gives a table 'person'. There are: anyone, people."),
        ("people = 3", "gives people as 3"),
        ("[people]\nanna = 3", "gives people.anna as 3"),
        ('[people.anna]\nuser = ["a"]', "gives people.anna the key 'user'. Did you mean 'users'?"),
        ('[people.anna]\nusers = "anna"', "gives people.anna 'anna' as users. Write a list of names."),
        ('[people.anna]\nroles = ["lead"]', "gives people.anna no users"),
        ('[people.anna]\nusers = ["a"]\nroles = ["leed"]', "the role 'leed'. Did you mean 'lead'?"),
        ('[anyone]\nusers = ["a"]', "gives anyone the key 'users'"),
    ],
)
def test_file_that_cannot_be_used_is_refused(listing: Listing, text: str, told: str) -> None:
    settings = listing(text)
    with pytest.raises(FileRefused) as refusal:
        acting(settings)
    assert told in str(refusal.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match=r"There is no list of people"):
        read_people(tmp_path / "none.toml")


def test_shipped_list_can_be_used() -> None:
    assert read_people(PROJECT / "assets" / "people.toml").anyone is not None


LABELLED = LabelFile("f.csv", pd.DataFrame(), 0, 0, (), (), ())

ORDERS: dict[str, Callable[[Home], object]] = {
    "batch retry": lambda home: batch_orders.retry_batch(home, "b", "why"),
    "batch discard": lambda home: batch_orders.discard_batch(home, "b", "why"),
    "rescore": lambda home: rescore_orders.rescore(home, Wanted(("b",)), "why"),
    "halt retry": lambda home: batch_orders.retry_batch(home, "b", "why"),
    "halt pass": lambda home: batch_orders.pass_halt(home, "b", None, "why"),
    "halt discard": lambda home: batch_orders.discard_halt(home, "b", None, "why"),
    "quarantine fix": lambda home: mending.fix(home, pd.DataFrame({mending.ROW: ["1"]}, dtype="str"), "why"),
    "quarantine rename": lambda home: mending.rename(home, Selection(), "old", "new", "why"),
    "quarantine replay": lambda home: mending.replay(home, Selection(), "why"),
    "quarantine discard": lambda home: mending.discard(home, Selection(), "why"),
    "deliveries retry": lambda home: delivery.retry(home, None, "why"),
    "labels import": lambda home: import_labels(home, Family("issue", "x", "label"), LABELLED),
    "model promote": lambda home: require_role(home.settings, Order("promote")),
    "train": lambda home: require_role(home.settings, Order(person="anna")),
}


@pytest.mark.parametrize("order", ORDERS)
def test_order_without_its_role_changes_nothing(home: Home, listing: Listing, order: str) -> None:
    people = listing('[people.anna]\nusers = ["{user}"]\nroles = ["auditor"]').people
    theirs = Home(replace(home.settings, people=people))
    with pytest.raises(NotEntitled, match=r"anna has the roles auditor"):
        ORDERS[order](theirs)
    with home.ledger.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(AUDIT)).scalar_one() == 0


def test_schedule_trains_without_a_role(listing: Listing) -> None:
    settings = listing('[people.anna]\nusers = ["{user}"]\nroles = []')
    require_role(settings, Order())
    with pytest.raises(NotEntitled):
        require_role(settings, Order("rollback"))
