"""The model families, as `assets/models/families.toml` lists them: what each is called and what it learns from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration_project.core.errors import FileRefused, UnknownName, did_you_mean
from orchestration_project.core.settings import PROJECT
from orchestration_project.stores.toml_files import read_toml

FAMILIES = PROJECT / "assets" / "models" / "families.toml"
KEYS = ("labels", "column")

_NAMED = " model"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TO_WRITE = 'Write a table for each model, such as [sentiment] with labels = "FILE" and column = "NAME".'


@dataclass(frozen=True)
class Family:
    """One model family.

    `labels_file` is the file it ships with, as written in the list: relative to the checkout. `column` of that file
    holds the label.
    """

    name: str
    labels_file: str
    column: str

    @property
    def performer(self) -> str:
        """What the model is called as a performer."""
        return performer_of(self.name)

    @property
    def path(self) -> Path:
        """Where the labels it ships with lie."""
        return PROJECT / self.labels_file


def performer_of(family: str) -> str:
    """What the model of a family is called as a performer."""
    return f"{family}{_NAMED}"


def family_of(performer: str) -> str | None:
    """The family of the performer of that name; None where it is called like no model."""
    return performer.removesuffix(_NAMED) if performer.endswith(_NAMED) else None


def families(file: Path = FAMILIES) -> list[Family]:
    """Every family, in the order of the list. FileRefused for a list that cannot be used."""
    found = read_toml(file, "list of models", _TO_WRITE)
    if not found:
        raise FileRefused(f"{file.name} lists no model. {_TO_WRITE}")
    return [_family(file, name, values) for name, values in found.items()]


def require_family(name: str, file: Path = FAMILIES) -> Family:
    """The family of that name, or UnknownName with the nearest there is."""
    known = {family.name: family for family in families(file)}
    if name not in known:
        raise UnknownName(f"There is no model '{name}'.{did_you_mean(name, known)}")
    return known[name]


def _family(file: Path, name: str, values: Any) -> Family:
    if not _NAME.fullmatch(name):  # assets and folders are called so
        raise FileRefused(f"{file.name} lists the model '{name}'. Name it in small letters, digits and underscores.")
    if not isinstance(values, Mapping):
        raise FileRefused(f"{file.name} has {name!r} outside of a table. {_TO_WRITE}")
    if unknown := [key for key in values if key not in KEYS]:
        raise FileRefused(f"{file.name} gives {name} the key '{unknown[0]}'.{did_you_mean(unknown[0], KEYS)}")
    for key in KEYS:
        value = values.get(key)
        if not isinstance(value, str) or not value.strip():
            shown = "no" if key not in values else f"{value!r} as"
            raise FileRefused(f"{file.name} gives {name} {shown} {key}. {_TO_WRITE}")
    return Family(name, values["labels"], values["column"])
