"""Random tampering with a small home, each of which `orchestrate audit verify` has to find.

    python tests/tamper.py --count 10000 --seed 7

Each time one thing is done to the ledger or a file of the home that nobody of the project would do: an entry, a row or a
file is edited, deleted, inserted or reordered, or the log's tail is cut behind a head that was kept elsewhere. Some of it
is done with care, and the chain made anew from there on, so that only that head tells. Then all is put back. What was
missed is printed, and ends the command with status 1.
"""

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import audited_home
import dagster as dg
import sqlalchemy as sa

from orchestration_project.core.settings import Settings
from orchestration_project.governance.audit import Entry, Head, digest_of
from orchestration_project.governance.audit_verification import verify_in
from orchestration_project.governance.audit_witnesses import WITNESSED
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import AUDIT, AUDIT_HEAD

TABLES = {table.name: table for table in WITNESSED}
"""Tables that have a witness."""

NOT_TOLD = {("verdicts", "note")}
"""Columns of which the log says nothing: a note may repeat what a message says."""

Do = Callable[[sa.Connection, random.Random], str]
"""Tampers once with the ledger; returns what it did, in words."""


@dataclass
class Count:
    """How often each kind was done, and which were missed."""

    done: Counter[str]
    missed: list[str]


@contextmanager
def sample(root: Path) -> Generator[tuple[Home, list[Head]]]:
    """A home in a new folder, and the heads that were kept elsewhere."""
    home = Home(Settings(home=root))
    home.prepare()
    before = os.environ.get("ORCHESTRATE_HOME")
    os.environ["ORCHESTRATE_HOME"] = str(root)
    try:
        with dg.DagsterInstance.ephemeral() as instance:
            heads = audited_home.make(home, instance)
        yield home, heads
    finally:
        home.ledger.close()
        del os.environ["ORCHESTRATE_HOME"]
        if before is not None:
            os.environ["ORCHESTRATE_HOME"] = before


def tamper(home: Home, heads: Sequence[Head], count: int, seed: int) -> Count:
    """Tamper so many times, with each kind in turn; the home is afterwards what it was."""
    chance = random.Random(seed)
    in_ledger = ledger_kinds(max(head.sequence for head in heads))
    names = [*in_ledger, "edit of a file", "cut of a file", "deletion of a file"]
    result = Count(Counter(), [])
    while result.done.total() < count:
        name = names[result.done.total() % len(names)]
        with home.ledger.write() as connection:
            if name in in_ledger:
                try:
                    what = in_ledger[name](connection, chance)
                except sa.exc.IntegrityError:  # another row has that key: nothing was done
                    connection.rollback()
                    continue
                is_found = has_findings(connection, home, heads)
            else:
                with tampered_file(home, name, chance) as what:
                    is_found = has_findings(connection, home, heads)
            connection.rollback()
        result.done[name] += 1
        if not is_found:
            result.missed.append(f"{name}: {what}")
    with home.ledger.read() as connection:
        assert not has_findings(connection, home, heads), "the home was not put back"
    return result


def has_findings(connection: sa.Connection, home: Home, heads: Sequence[Head]) -> bool:
    found: list[str] = []
    verify_in(connection, home, found.append, heads)
    return bool(found)


def ledger_kinds(last_head: int) -> dict[str, Do]:
    """Each kind of tampering with the ledger, by name; `last_head` is the last entry that was kept elsewhere."""
    kinds: dict[str, Do] = {
        "edit of an entry": lambda connection, chance: edit_entry(connection, chance),
        "edit of an entry, chain made anew": lambda connection, chance: edit_entry(connection, chance, last_head),
        "deletion of an entry": lambda connection, chance: delete_entry(connection, chance),
        "deletion of an entry, chain made anew": lambda connection, chance: delete_entry(connection, chance, last_head),
        "insertion of an entry": lambda connection, chance: insert_entry(connection, chance),
        "insertion of an entry, chain made anew": lambda connection, chance: insert_entry(
            connection, chance, last_head
        ),
        "other order of entries": lambda connection, chance: swap_entries(connection, chance),
        "other order of entries, chain made anew": lambda connection, chance: swap_entries(
            connection, chance, last_head
        ),
        "cut tail": lambda connection, chance: cut(connection, chance, last_head),
        "edit of the head": edit_head,
    }
    for name, table in TABLES.items():
        kinds |= {
            f"edit of a {name} row": lambda connection, chance, table=table: edit_row(connection, chance, table),
            f"deletion of a {name} row": lambda connection, chance, table=table: delete_row(connection, chance, table),
            f"insertion of a {name} row": lambda connection, chance, table=table: insert_row(connection, chance, table),
        }
    return kinds


def edit_entry(connection: sa.Connection, chance: random.Random, remade_until: int | None = None) -> str:
    entries = all_entries(connection)
    place = chance.randrange(remade_until or len(entries))
    columns = Entry._fields[1:6] if remade_until else Entry._fields
    column = chance.choice(columns)
    value = other(getattr(entries[place], column), chance)
    changed = [*entries]
    changed[place] = entries[place]._replace(**{column: value})
    write(connection, remade(changed, place) if remade_until else changed, with_head=bool(remade_until))
    return f"{column} of entry {place + 1} becomes {value!r}"


def delete_entry(connection: sa.Connection, chance: random.Random, remade_until: int | None = None) -> str:
    entries = all_entries(connection)
    place = chance.randrange(remade_until or len(entries))
    kept = entries[:place] + entries[place + 1 :]
    if remade_until or chance.random() < 0.5:  # the rest moves up
        kept = renumbered(kept)
    write(connection, remade(kept, place) if remade_until else kept, with_head=bool(remade_until))
    return f"entry {place + 1} of {len(entries)}"


def insert_entry(connection: sa.Connection, chance: random.Random, remade_until: int | None = None) -> str:
    entries = all_entries(connection)
    place = chance.randrange(remade_until or len(entries) + 1)
    copied = chance.choice(entries[:place] + entries[place + 1 :])  # a copy of the next would be one more at the end
    more = renumbered([*entries[:place], copied, *entries[place:]])
    write(connection, remade(more, place) if remade_until else more, with_head=bool(remade_until))
    return f"before entry {place + 1} of {len(entries)}"


def swap_entries(connection: sa.Connection, chance: random.Random, remade_until: int | None = None) -> str:
    entries = all_entries(connection)
    first, second = sorted(chance.sample(range(remade_until or len(entries)), 2))
    moved = [*entries]
    moved[first], moved[second] = entries[second], entries[first]
    moved = renumbered(moved)
    write(connection, remade(moved, first) if remade_until else moved, with_head=bool(remade_until))
    return f"entries {first + 1} and {second + 1}"


def cut(connection: sa.Connection, chance: random.Random, last_head: int) -> str:
    entries = all_entries(connection)
    kept = entries[: chance.randrange(last_head)]
    write(connection, kept, with_head=True)
    return f"{len(kept)} of {len(entries)} entries are left"


def edit_head(connection: sa.Connection, chance: random.Random) -> str:
    column = chance.choice([AUDIT_HEAD.c.sequence, AUDIT_HEAD.c.digest])
    value = other(connection.execute(sa.select(column)).scalar_one(), chance)
    connection.execute(sa.update(AUDIT_HEAD).values({column.name: value}))
    return f"{column.name} becomes {value!r}"


def all_entries(connection: sa.Connection) -> list[Entry]:
    return [Entry._make(row) for row in connection.execute(sa.select(AUDIT).order_by(AUDIT.c.sequence))]


def renumbered(entries: Sequence[Entry]) -> list[Entry]:
    return [entry._replace(sequence=number) for number, entry in enumerate(entries, start=1)]


def remade(entries: Sequence[Entry], place: int) -> list[Entry]:
    """The entries, their digests made anew from a place on."""
    chained = list(entries[:place])
    for entry in entries[place:]:
        linked = entry._replace(previous=chained[-1].digest if chained else "")
        chained.append(linked._replace(digest=digest_of(linked)))
    return chained


def write(connection: sa.Connection, entries: Sequence[Entry], *, with_head: bool) -> None:
    """Put these entries in the place of all."""
    connection.execute(sa.delete(AUDIT))
    if entries:
        connection.execute(sa.insert(AUDIT), [entry._asdict() for entry in entries])
    if with_head:
        sequence, digest = (entries[-1].sequence, entries[-1].digest) if entries else (0, "")
        connection.execute(sa.update(AUDIT_HEAD).values(sequence=sequence, digest=digest))


def edit_row(connection: sa.Connection, chance: random.Random, table: sa.Table) -> str:
    row = random_row(connection, chance, table)
    column = chance.choice([one for one in table.c if (table.name, one.name) not in NOT_TOLD])
    value = other(row[column.name], chance)
    connection.execute(sa.update(table).where(*its(table, row)).values({column.name: value}))
    return f"{column.name} of {key(table, row)} becomes {value!r}"


def delete_row(connection: sa.Connection, chance: random.Random, table: sa.Table) -> str:
    row = random_row(connection, chance, table)
    connection.execute(sa.delete(table).where(*its(table, row)))
    return f"{key(table, row)}"


def insert_row(connection: sa.Connection, chance: random.Random, table: sa.Table) -> str:
    row = random_row(connection, chance, table)
    column = chance.choice(list(table.primary_key))
    row[column.name] = other(row[column.name], chance)
    connection.execute(sa.insert(table).values(**row))
    return f"{key(table, row)}"


def random_row(connection: sa.Connection, chance: random.Random, table: sa.Table) -> dict[str, Any]:
    rows = connection.execute(sa.select(table).order_by(*table.primary_key)).mappings().all()
    return {str(name): value for name, value in chance.choice(rows).items()}


def key(table: sa.Table, row: dict[str, Any]) -> dict[str, Any]:
    return {column.name: row[column.name] for column in table.primary_key}


def its(table: sa.Table, row: dict[str, Any]) -> "list[sa.ColumnElement[bool]]":
    return [table.c[name] == value for name, value in key(table, row).items()]


def other(value: Any, chance: random.Random) -> Any:
    """Another value that the column can hold, never the same."""
    match value:
        case bool():
            return not value
        case int():
            return max(0, value + chance.choice([-1, 1, 2, 1000])) if value else 1
        case float():
            return value + chance.uniform(0.001, 1)
        case datetime():
            return value + timedelta(microseconds=chance.choice([-1, 1, 10**6, 86_400 * 10**6]))
        case dict():
            return {**value, f"key {chance.randrange(100)}": chance.randrange(100)}
        case list():
            return [*value, "more"]
        case None:
            return 0.5
        case str() if value and chance.random() < 0.7:  # one character
            place = chance.randrange(len(value))
            character = chance.choice([one for one in "0123456789abcdefx}" if one != value[place]])
            return value[:place] + character + value[place + 1 :]
        case _:
            return f"{value}{chance.choice(['', ' ', 'more'])}x"


@contextmanager
def tampered_file(home: Home, name: str, chance: random.Random) -> Iterator[str]:
    """A file of the home while it is edited, cut or gone."""
    file = chance.choice(audited_home.files(home))
    content = file.read_bytes()
    place = chance.randrange(len(content))
    match name.split()[0]:
        case "edit":
            file.write_bytes(
                content[:place] + bytes([content[place] ^ chance.randrange(1, 256)]) + content[place + 1 :]
            )
        case "cut":
            file.write_bytes(content[:place])
        case _:
            file.unlink()
    try:
        yield f"{home.below(file)} at byte {place}"
    finally:
        file.write_bytes(content)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="how many times")
    parser.add_argument("--seed", type=int, default=7, help="of the random choices")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tamper-") as folder, sample(Path(folder, "home")) as (home, heads):
        result = tamper(home, heads, arguments.count, arguments.seed)
    for name, number in sorted(result.done.items()):
        print(f"{number:7,}  {name}")
    print(f"{result.done.total():7,}  in all, {len(result.missed):,} missed")
    for what in result.missed:
        print(f"missed   {what}")
    return 1 if result.missed else 0


if __name__ == "__main__":
    sys.exit(main())
