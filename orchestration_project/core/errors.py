"""Every error a person can meet, and what it means.

OrchestrationError            base: one sentence each for what is wrong, the value, what to do next
├── Refused                   the project declines; nothing changed (command line: exit status 1)
│   ├── SettingRefused        a setting has a value it cannot have
│   ├── FileRefused           a file cannot be read as what it claims to be
│   ├── TableRefused          a decision table (CSV of rules) contradicts itself or the labels
│   ├── HaltedInput           an input's partition has an open halt
│   ├── MissingInput          an input has not been made yet
│   ├── StaleInput            two inputs come from different versions of one asset
│   ├── NoArrivals            a new batch was asked for, and nothing waits
│   ├── NoChampion            a model has no version in use
│   ├── ArtifactRefused       a stored file is not the one that was recorded
│   ├── NotEntitled           whoever acts lacks the role or the skill
│   └── UnknownName           no message, asset or model of that name
├── LedgerUnavailable         the ledger is locked, full, out of reach or damaged; trying again may help
├── AssetTimeout              an asset's function took longer than its limit
├── Conflict                  another run published first; the step reads again and repeats
└── PerformerFailed           a performer raised, or answered what it may not
    ├── SwitchedOff           somebody took it out of work
    └── PerformerUnavailable  it raised, and trying again may help
        └── PerformerTimeout  its time was over before it answered
"""

import difflib
from collections.abc import Iterable


class OrchestrationError(Exception):
    """Base of every error this project raises on purpose."""


class Refused(OrchestrationError):
    """The project declines to do this; nothing was changed."""


class SettingRefused(Refused):
    """A setting has a value it cannot have."""


class FileRefused(Refused):
    """A file cannot be read as what it claims to be."""


class TableRefused(Refused):
    """A decision table contradicts itself, or names a label that nobody can answer."""


class HaltedInput(Refused):
    """An input's partition has an open halt; its reason is quoted."""


class MissingInput(Refused):
    """An input has no published version in this partition."""


class StaleInput(Refused):
    """Two inputs of a batch come from different versions of one asset; nothing is computed from both."""


class NoArrivals(Refused):
    """A new batch was asked for while no arrival waits."""


class NoChampion(Refused):
    """A model has no version in use yet."""


class ArtifactRefused(Refused):
    """A stored file's digest is not the recorded one; it is never opened."""


class NotEntitled(Refused):
    """Whoever acts has not the role or the skill that this takes."""


class UnknownName(Refused):
    """No message, asset or model of that name."""


class LedgerUnavailable(OrchestrationError):
    """The ledger is locked, full, out of reach, not ours to write, or damaged. No refusal: whoever meets it may try
    again, and a run does.
    """


class AssetTimeout(OrchestrationError):
    """An asset's function took longer than its limit; the run fails, and is tried again as any that failed."""


class Conflict(OrchestrationError):
    """Another run published first; whoever meets this reads again and repeats."""


class PerformerFailed(OrchestrationError):
    """A performer raised, or answered what its contract does not allow."""


class SwitchedOff(PerformerFailed):
    """A performer is not asked: it, its version or the asset was taken out of work. Nothing failed."""


class PerformerUnavailable(PerformerFailed):
    """A performer failed in a way that may pass (network, overload, time limit); it is asked again."""


class PerformerTimeout(PerformerUnavailable):
    """A performer's time was over before it answered; it is asked again when others had their turn."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A closing sentence with the nearest known name, or the first names there are, or nothing.

    >>> did_you_mean("biling", ["billing", "delivery"])
    " Did you mean 'billing'?"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f" Did you mean '{near[0]}'?"
    return f" There are: {', '.join(names[:12])}." if names else ""
