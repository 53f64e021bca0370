"""The errors a person can meet: their tree, and the closing sentence that names what is near."""

import inspect
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.core import errors
from orchestration_project.core.errors import (
    Conflict,
    LedgerUnavailable,
    OrchestrationError,
    PerformerFailed,
    Refused,
    did_you_mean,
)


def drawn() -> Iterator[tuple[str, str]]:
    """(class, its base) for each line of the tree in the module's docstring."""
    above: list[str] = []
    for line in inspect.getdoc(errors).splitlines()[2:]:  # type: ignore[union-attr]
        name = line.lstrip("│├└─ ").split()[0]
        depth = line.index(name) // 4
        above[depth:] = [name]
        yield name, above[depth - 1] if depth else "Exception"


def defined() -> list[tuple[str, str]]:
    """(class, its base) in the order of the module."""
    return [
        (name, found.__base__.__name__)
        for name, found in vars(errors).items()
        if inspect.isclass(found) and found.__module__ == errors.__name__
    ]


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert sorted(drawn()) == sorted(defined())
    assert [name for name, _ in drawn()] == [name for name, _ in defined()]


def test_every_error_says_what_it_means() -> None:
    for name, _ in defined():
        assert getattr(errors, name).__doc__, f"{name} has no docstring of its own"


def test_what_may_pass_is_no_refusal() -> None:
    for found in (Conflict, LedgerUnavailable, PerformerFailed):
        assert issubclass(found, OrchestrationError)
        assert not issubclass(found, Refused)


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("biling", ["billing", "delivery"], " Did you mean 'billing'?"),
        ("billing", ["billing", "billings"], " Did you mean 'billing'?"),
        ("xyz", ["billing", "account"], " There are: account, billing."),
        ("xyz", [], ""),
        ("", ["account"], " There are: account."),
    ],
)
def test_the_nearest_known_name_is_offered_or_else_those_there_are(name: str, known: list[str], said: str) -> None:
    assert did_you_mean(name, known) == said


def test_of_many_names_the_first_twelve_are_listed() -> None:
    known = [f"name-{number:02}" for number in range(40)]
    assert did_you_mean("xyz", reversed(known)) == f" There are: {', '.join(known[:12])}."


@given(st.text(max_size=20), st.lists(st.text(min_size=1, max_size=20), max_size=20))
def test_whatever_is_known_a_sentence_follows_or_nothing(name: str, known: list[str]) -> None:
    said = did_you_mean(name, iter(known))
    assert (said == "") == (known == [])
    if name in known:
        assert said == f" Did you mean '{name}'?"
    elif known:
        assert said.startswith((" Did you mean '", " There are: "))
        assert said.endswith(("'?", "."))
