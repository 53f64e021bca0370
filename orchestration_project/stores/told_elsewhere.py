"""What a message said in databases and files beside the ledger: Dagster's, the model registry's, logs.

In a row of a database, and in JSON within it, only the words go; numbers and the names around them stay, so that whoever
wrote the row reads it again.
"""

from collections.abc import Iterable
from pathlib import Path

from orchestration_project.core.erasing import Words, erased_text
from orchestration_project.stores.files import write_file
from orchestration_project.stores.sqlite_files import BESIDE, change_texts, is_database


def databases_below(folder: Path) -> list[Path]:
    """The SQLite files below a folder."""
    return [path for path in _files(folder) if is_database(path)]


def plain_files_below(folder: Path) -> list[Path]:
    """The other files below a folder, without those that belong to an SQLite file."""
    return [path for path in _files(folder) if not is_database(path) and not path.name.endswith(BESIDE)]


def erase_in_database(file: Path, message_id: str, words: Words) -> int:
    """Take what the message said out of every text of an SQLite file; returns from how many. Errors: `change_texts`."""
    return change_texts(file, [message_id, *words.probes], lambda text: erased_text(text, message_id, words))


def erase_in_file(file: Path, message_id: str, words: Words) -> bool:
    """Take it out of a file of text; one that is no text and tells it is removed. Returns whether anything was done."""
    content = file.read_bytes()
    text = content.decode("utf-8", "surrogateescape")
    if not any(probe in text for probe in (message_id, *words.probes)):
        return False
    erased = "\n".join(erased_text(line, message_id, words) for line in words.erased(text).split("\n"))
    if erased == text:
        return False
    if "\0" in text:
        file.unlink()
    else:
        write_file(file, erased.encode("utf-8", "surrogateescape"))
    return True


def is_told_in(file: Path, probes: Iterable[str]) -> bool:
    """Whether one of these stands in a file's bytes, or in the write-ahead log beside it, also as UTF-16."""
    pieces = [probe.encode(codec) for probe in probes for codec in ("utf-8", "utf-16-le")]
    files = [file, *(file.with_name(file.name + end) for end in BESIDE)]
    contents = (one.read_bytes() for one in files if one.exists())
    return any(piece in content for content in contents for piece in pieces)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
