"""What the last run that judged a candidate of a model made of it: whether it is in use, on trial, or stays out, and why."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestration_project.core.errors import UnknownName

if TYPE_CHECKING:
    from orchestration_project.stores.home import Home


@dataclass(frozen=True)
class Judgement:
    """The candidate that was judged, and the version in use since then; `reason` is why the one is, or is not, the other."""

    family: str
    candidate: str
    in_use: str
    is_new: bool
    is_on_trial: bool
    reason: str

    def told(self) -> str:
        """It in a sentence.

        >>> Judgement("issue", "v2", "v1", False, True, "on trial from now on: not worse").told()
        'issue v1 stays in use. v2: on trial from now on: not worse.'
        """
        if self.is_new:
            return f"{self.family} {self.in_use} is in use: {self.reason}."
        if self.candidate == self.in_use:
            return f"{self.family} {self.in_use} stays in use: {self.reason}."
        return f"{self.family} {self.in_use} stays in use. {self.candidate}: {self.reason}."


def judgement_of(home: "Home", family: str) -> Judgement:
    """The last judgement on a candidate of a model; UnknownName where none was judged yet."""
    from orchestration_project.stores import manifest

    with home.ledger.read() as connection:
        version = manifest.current(connection, f"{family}_champion", manifest.UNPARTITIONED)
    if version is None:
        raise UnknownName(f"No version of the model '{family}' was judged yet. Run: orchestrate train")
    (row,) = home.warehouse.read(version.path).to_pylist()
    return Judgement(family, row["candidate"], row["version"], row["is_new"], row["is_on_trial"], row["reason"])
