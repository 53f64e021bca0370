"""A folder of documents: which files it holds, whether they are at rest, and what they say.

Links are not followed. Hidden names and `.part` wait until they are renamed, as in the inbox. Pictures beside the texts
are passed over; any other file is a document, and one that cannot be read says why.
"""

import hashlib
import html
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from orchestration_project.core.errors import FileRefused, Refused, SettingRefused
from orchestration_project.core.settings import variable
from orchestration_project.stores.arrivals import StillWritten
from orchestration_project.stores.file_kinds import FileKind, kind_of
from orchestration_project.stores.files import file_digest
from orchestration_project.stores.inbox import is_held_open, is_settled
from orchestration_project.stores.mail import text_of_html
from orchestration_project.stores.opening import open_text

KINDS = {".htm": "html", ".html": "html", ".markdown": "markdown", ".md": "markdown", ".txt": "text"}
PICTURES = frozenset({".gif", ".jpeg", ".jpg", ".png", ".svg", ".webp"})

MOST_BYTES = 8 * 2**20
"""Of one document; the longest novels have half of it. It is held in memory."""

LINK = "link"
"""Kind of a link, a pipe or a device."""

_HEADING = re.compile(r"^# +(.*)$", re.MULTILINE)
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)


class FoundFile(NamedTuple):
    """A file as the folder lists it. `document_id` is its path below the folder; `kind` is one of `KINDS`, `LINK`, or
    the suffix of what nobody here can read; `changed_ns` is nanoseconds since 1970.
    """

    document_id: str
    path: Path
    kind: str
    bytes: int
    changed_ns: int
    inode: int

    @property
    def is_read(self) -> bool:
        """Whether its kind and size allow it to be read."""
        return self.kind in KINDS.values() and self.bytes <= MOST_BYTES

    @property
    def signature(self) -> str:
        """Stays the same while nobody writes the file."""
        return f"{self.bytes:x}-{self.changed_ns:x}-{self.inode:x}"


@dataclass(frozen=True)
class Folder:
    """What a folder holds, by document id; when a file of it was last made, removed or renamed; how many pictures of
    each suffix were passed over.
    """

    files: list[FoundFile]
    changed: float
    passed_over: Mapping[str, int]


class Text(NamedTuple):
    """What a document says. Without a text, `problem` is why; `sha256` is that of its bytes, "" if they were not read."""

    title: str
    sha256: str
    text: str | None = None
    problem: str | None = None


def look(folder: Path) -> Folder:
    """List a folder and all below it; SettingRefused when any part of it is away or closed to us, for what is missing
    there was not removed.
    """
    files: list[FoundFile] = []
    passed_over: Counter[str] = Counter()
    changed = 0.0
    try:
        for where, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(".")]
            changed = max(changed, Path(where).stat().st_mtime)
            for path in (Path(where, name) for name in (*folders, *names)):
                if path.suffix.lower() in PICTURES:
                    passed_over[path.suffix.lower()] += 1
                elif not path.name.startswith(".") and path.suffix.lower() != ".part":
                    files += _found(folder, path)
    except OSError as error:
        raise SettingRefused(
            f"{error.filename or folder} cannot be read: {error.strerror}. Put it back, "
            f"or set {variable('knowledge')} to the folder of the documents."
        ) from error
    return Folder(sorted(files), changed, dict(sorted(passed_over.items())))


def in_motion(folder: Folder, known: Collection[str], now: float) -> str | None:
    """What is not at rest yet: a file that somebody writes, or may be about to; None when all is. Files whose signature
    is `known` were at rest before.
    """
    if not is_settled(folder.changed, now):
        return "The folder"
    for found in folder.files:
        is_new = found.is_read and found.signature not in known
        if is_new and (not is_settled(found.changed_ns / 1e9, now) or is_held_open(found.path)):
            return found.document_id
    return None


def content_digest(digests: Mapping[str, str]) -> str:
    """Digest of a set of documents (document id → sha256), whatever their times; 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()[:16]


def digest_of(found: FoundFile) -> str:
    """sha256 of a document's bytes, in hex; "" of one that is not read, or that cannot be opened."""
    try:
        return file_digest(found.path) if found.is_read else ""
    except OSError:
        return ""


def read_text(found: FoundFile) -> Text:
    """What a document says, as plain text; of Markdown its source. StillWritten when it changes meanwhile."""
    title, sha256 = _stem(found), ""
    try:
        sha256 = digest_of(found)
        title, text = _titled(found, _source(found))
        if not text:
            raise FileRefused("it holds no text. Write some, or take it away.")
        outcome = Text(title, sha256, text)
    except (FileRefused, OSError) as error:
        problem = str(error) if isinstance(error, Refused) else f"it cannot be opened: {error.strerror}."
        outcome = Text(title, sha256, problem=_escaped(problem))
    if _found(found.path.parent, found.path, found.document_id) != [found]:
        raise StillWritten(
            f"{found.document_id} changed while it was read. Read the documents again once it is at rest."
        )
    return outcome


def _source(found: FoundFile) -> str:
    """A document's characters; FileRefused for one that is too large, binary, or of another encoding than declared."""
    if found.kind not in KINDS.values():
        what = "a link or no file" if found.kind == LINK else f"of the kind '{found.kind}'"
        raise FileRefused(f"it is {what}. Put a file there that ends with one of: {', '.join(KINDS)}.")
    if not 0 < found.bytes <= MOST_BYTES:
        raise FileRefused(f"it has {found.bytes:,} bytes. Give it from 1 to {MOST_BYTES:,}.")
    kind = FileKind(found.path.suffix.lower(), None, kind_of(found.path.with_suffix(".txt").name).encoding)
    with open_text(found.path, kind, newline=None) as file:
        text = file.read()
    if flaw := re.search("[\0\ud800-\udfff]", text):
        line = text.count("\n", 0, flaw.start()) + 1
        raise FileRefused(
            f"line {line} is no text in {kind.encoding or 'UTF-8'}. Save it as UTF-8, or name its encoding: "
            f"{found.path.stem}.latin-1{found.path.suffix}"
        )
    return text


def _titled(found: FoundFile, source: str) -> tuple[str, str]:
    """Title and text: the first heading or the title element, else the file's name without its suffix."""
    pattern = {"markdown": _HEADING, "html": _TITLE}.get(found.kind)
    heading = pattern.search(source) if pattern else None
    title = " ".join(html.unescape(heading[1]).split()).strip("# ") if heading else ""
    text = text_of_html(source) if found.kind == "html" else source.strip()
    return title or _stem(found), text


def _stem(found: FoundFile) -> str:
    return PurePosixPath(found.document_id).stem


def _found(folder: Path, path: Path, document_id: str | None = None) -> list[FoundFile]:
    """The file at a path; none for a folder, and for what is gone again."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return []
    if stat.S_ISDIR(status.st_mode):
        return []
    suffix = path.suffix.lower()
    kind = KINDS.get(suffix, suffix) if stat.S_ISREG(status.st_mode) else LINK
    name = document_id or _escaped(path.relative_to(folder).as_posix())
    return [FoundFile(name, path, kind, status.st_size, status.st_mtime_ns, status.st_ino)]


def _escaped(text: str) -> str:
    """The text, with the bytes of file names that are no UTF-8 written `\\xff`."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _raise(error: OSError) -> None:
    raise error
