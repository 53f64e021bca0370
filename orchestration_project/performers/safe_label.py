"""The simplest safe state: one label for every row that nobody else could decide."""

from orchestration_project.performers.performer import Kind, Performer, Prepared
from orchestration_project.performers.scripted import same_answer
from orchestration_project.stores.home import Home


class SafeLabel(Performer):
    """Answers every row with one label, such as `unknown`, and claims no confidence."""

    kind: Kind = "safe_state"

    def __init__(self, label: str) -> None:
        self.name = f"safe label {label}"
        self.label = label

    def prepare(self, home: Home) -> Prepared:
        return Prepared("1", None, frozenset({self.label}), same_answer(self.label, None, "nobody else could decide"))
