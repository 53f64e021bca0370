"""Who may do what: the persons, roles and skills of `people.toml`, and which of them acts now.

1. The operating-system user says who acts: the person whose `users` name it, or have `*`.
2. A user who may act for several says for whom with ORCHESTRATE_PERSON; another name than these is refused.
3. A user whom no person names acts as itself, with the roles of `[anyone]` where the file has that table.

This is trust, not authentication: whoever may become a user of this machine may act as its persons.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestration_project.core.errors import FileRefused, NotEntitled, did_you_mean
from orchestration_project.core.settings import Settings, variable
from orchestration_project.governance.audit import system_user
from orchestration_project.stores.toml_files import read_toml

Role = Literal["reviewer", "lead", "operator", "trainer", "approver", "auditor", "privacy"]

ROLES: Mapping[Role, str] = {
    "reviewer": "decides reviews of the assets that are among the person's skills",
    "lead": "decides reviews that were escalated, and assigns them",
    "operator": "mends: quarantine, halts, batches, contracts, deliveries",
    "trainer": "trains models and imports labels",
    "approver": "puts versions of models in use",
    "auditor": "prunes the audit log",
    "privacy": "has messages erased",
}
"""Every role, and what it entitles to."""

EVERYTHING = "*"
"""Among skills: every asset. Among users: every user."""

_TO_WRITE = 'Write a table for each, such as [people.anna] with users = ["anna"], roles = ["reviewer"], skills = ["*"].'


@dataclass(frozen=True)
class Person:
    """Somebody who acts. `skills` are the assets whose reviews the person may decide."""

    name: str
    users: tuple[str, ...]
    roles: tuple[str, ...]
    skills: tuple[str, ...]

    def may_act_as(self, user: str) -> bool:
        """Whether the operating-system user may act as this person."""
        return not {user, EVERYTHING}.isdisjoint(self.users)

    def has_skill(self, asset: str) -> bool:
        """Whether the person may decide reviews of the asset, given the role."""
        return not {asset, EVERYTHING}.isdisjoint(self.skills)


@dataclass(frozen=True)
class People:
    """The persons of a file. `anyone` has the roles and skills of users whom no person names; None: they have none."""

    file: Path
    persons: tuple[Person, ...]
    anyone: Person | None

    def acting(self, user: str, named: str = "") -> Person:
        """Who acts when this user does; `named` is the person that was asked for. NotEntitled where there is none."""
        own = {person.name: person for person in self.persons if person.may_act_as(user)}
        if not own and self.anyone is not None and user not in {person.name for person in self.persons}:
            own = {user: Person(user, (user,), self.anyone.roles, self.anyone.skills)}
        if not own:
            raise NotEntitled(f"User '{user}' is nobody in {self.file.name}. Add the user to a person there.")
        if named and named not in own:
            raise NotEntitled(f"User '{user}' may not act as '{named}'.{did_you_mean(named, own)}")
        if not named and len(own) > 1:
            names = ", ".join(sorted(own))
            raise NotEntitled(f"User '{user}' may act as {names}. Set {variable('person')} to one of them.")
        return own[named] if named else next(iter(own.values()))

    def having(self, role: Role, skill: str | None = None) -> list[Person]:
        """The named persons who have a role, and the skill where one is given."""
        return [one for one in self.persons if role in one.roles and (skill is None or one.has_skill(skill))]


def acting(settings: Settings) -> Person:
    """Who acts in this process; NotEntitled where nobody may, FileRefused for a file that cannot be used."""
    return read_people(settings.people).acting(system_user(), settings.person)


def require(settings: Settings, role: Role, *, skill: str | None = None) -> Person:
    """Who acts in this process, if the person has the role, and the skill where one is given; NotEntitled if not."""
    people = read_people(settings.people)
    person = people.acting(system_user(), settings.person)
    if role not in person.roles:
        has = f"has the roles {', '.join(person.roles)}" if person.roles else "has no role"
        raise NotEntitled(f"This takes the role {role}, and {person.name} {has}. {_who(people, role, skill)}")
    if skill is not None and not person.has_skill(skill):
        has = f"has the skills {', '.join(person.skills)}" if person.skills else "has no skill"
        raise NotEntitled(f"This takes the skill {skill}, and {person.name} {has}. {_who(people, role, skill)}")
    return person


def read_people(file: Path) -> People:
    """The persons that a file lists. FileRefused for one that cannot be used, with what to write."""
    found = read_toml(file, "list of people", _TO_WRITE)
    _refuse_unknown(file, "a table", found, ("people", "anyone"))
    listed = found.get("people", {})
    if not isinstance(listed, Mapping):
        raise FileRefused(f"{file.name} gives people as {listed!r}. {_TO_WRITE}")
    persons = tuple(_person(file, f"people.{name}", name, values) for name, values in listed.items())
    anyone = _person(file, "anyone", "", found["anyone"]) if "anyone" in found else None
    if not persons and anyone is None:
        raise FileRefused(f"{file.name} lists nobody. {_TO_WRITE}")
    return People(file, persons, anyone)


def _person(file: Path, table: str, name: str, values: Any) -> Person:
    if not isinstance(values, Mapping):
        raise FileRefused(f"{file.name} gives {table} as {values!r}. {_TO_WRITE}")
    keys = ("users", "roles", "skills") if name else ("roles", "skills")
    _refuse_unknown(file, f"{table} the key", values, keys)
    users, roles, skills = (_texts(file, table, key, values.get(key, [])) for key in ("users", "roles", "skills"))
    if name and not users:
        raise FileRefused(f"{file.name} gives {table} no users. {_TO_WRITE}")
    for role in roles:
        if role not in ROLES:
            raise FileRefused(f"{file.name} gives {table} the role '{role}'.{did_you_mean(role, ROLES)}")
    return Person(name, users, roles, skills)


def _texts(file: Path, table: str, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
        raise FileRefused(f"{file.name} gives {table} {value!r} as {key}. Write a list of names.")
    return tuple(dict.fromkeys(value))


def _refuse_unknown(file: Path, what: str, found: Mapping[str, Any], known: Iterable[str]) -> None:
    for name in found:
        if name not in known:
            raise FileRefused(f"{file.name} gives {what} '{name}'.{did_you_mean(name, known)}")


def _who(people: People, role: Role, skill: str | None) -> str:
    names = [one.name for one in people.having(role, skill)]
    return f"Ask {' or '.join(names)}." if names else f"Give it to somebody in {people.file.name}."
