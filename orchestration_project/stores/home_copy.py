"""A copy of a home, on which anything may be tried: the home itself is only read."""

import shutil
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from orchestration_project.stores import champions, manifest
from orchestration_project.stores.home import Home
from orchestration_project.stores.schema import METADATA

COPIED_ROWS = 10_000
"""Rows of a table that are copied at once."""


def copy_of(home: Home, root: Path) -> Home:
    """A home with the ledger of another, on SQLite, its secret, the current files of its assets and its models in use."""
    copy = Home(replace(home.settings, home=root, ledger_url=""))
    copy.prepare()
    with home.ledger.read() as source, copy.ledger.write() as target:
        for table in METADATA.sorted_tables:
            target.execute(sa.delete(table))
            found = source.execute(sa.select(table).execution_options(yield_per=COPIED_ROWS))
            for rows in found.mappings().partitions():
                target.execute(sa.insert(table), [dict(row) for row in rows])
        files = [(home.warehouse.root, copy.warehouse.root, version.path) for version in manifest.all_current(source)]
        files += [(home.root, copy.root, version.path) for version in champions.in_use(source)]
    for old, new, path in files:
        if (old / path).is_file():  # one that is gone is refused by whoever wants to read it
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(old / path, new / path)
    if (home.root / "secret").is_file():  # by which a verdict is known to be of what a message still says
        shutil.copy(home.root / "secret", copy.root / "secret")
    return copy
