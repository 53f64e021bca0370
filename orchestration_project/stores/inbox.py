"""Which files of the inbox are complete: nobody writes them any more, and nobody says by their name that they wait."""

import errno
import fcntl
import signal
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SETTLED_SECONDS = 2.0
"""A file in the inbox counts as complete when it has not changed for this long."""

MOST_SKEW_SECONDS = 60.0
"""How far the clock of whoever writes may be ahead of ours. A change that lies further in the future was made before
our clock was set back, and counts as long ago: the file would wait until that moment comes again."""


def complete_files(inbox: Path) -> Iterator[Path]:
    """The complete files by name, links among them, which point anywhere; folders, pipes and the rest stay out.

    Hidden names and `.part` wait until they are renamed. A file may be gone again when its turn comes.
    """
    for path in sorted(inbox.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() == ".part":
            continue
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(found.st_mode) or (
            stat.S_ISREG(found.st_mode) and is_settled(found.st_mtime, time.time()) and not is_held_open(path)
        ):
            yield path


def is_settled(changed: float, now: float) -> bool:
    """Whether a file that was changed at that moment can be complete by now; both in seconds since 1970."""
    return not now - SETTLED_SECONDS < changed <= now + MOST_SKEW_SECONDS


def is_held_open(path: Path) -> bool:
    """Whether any process has the file open to write into it, however long it has been silent.

    Asked of the kernel, which grants a read lease only where there is none: on Linux, on file systems of its own, for
    files that are ours to ask about. False where nobody can tell, and for a file that is gone.
    """
    if sys.platform != "linux":
        return False
    try:
        with path.open("rb") as file:
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # which a process ignores, should anyone open it just now
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False
