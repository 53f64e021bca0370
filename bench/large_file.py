"""What it takes to take in a large file: `python -m bench.large_file`, with `--megabytes N` for another size than 2 GB.

A CSV file of feedback, 2,000 MB, is received and registered in a fresh home by a process of its own, and one of 20 MB by
another. Printed are rows per second, from the call to the last row in the ledger, the highest memory of each process and
their ratio. All of it lies in the system's temporary folder, up to three times the file's size, and is removed.
"""

import argparse
import csv
import io
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from orchestration_project.core.settings import Settings
from orchestration_project.stores import arrivals
from orchestration_project.stores.home import Home

MEGABYTES = 2000
SMALL_MEGABYTES = 20
COLUMNS = ("message_id", "text", "account", "stars", "received_at")


class Taken(NamedTuple):
    """What one process did: its rows, the seconds of receiving and registering, its highest memory."""

    rows: int
    seconds: float
    megabytes: float


def main(megabytes: int) -> None:
    """Take in a small file and a large one, and print what each took."""
    peaks: list[float] = []
    for size in (SMALL_MEGABYTES, megabytes):
        with TemporaryDirectory() as folder:
            source = Path(folder, "feedback.csv")
            write_csv(source, size)
            taken = taken_in(source, Path(folder, "home"))
        peaks.append(taken.megabytes)
        speed = f"{taken.rows:,} rows in {taken.seconds:.1f} s, {taken.rows / taken.seconds:,.0f} a second"
        print(f"{size:,} MB: {speed}, highest memory {taken.megabytes:.0f} MB")
    print(f"{megabytes / SMALL_MEGABYTES:g} times the file, {peaks[1] / peaks[0]:.2f} times the memory")


def write_csv(path: Path, megabytes: int) -> None:
    """A file of about that size: one million bytes of rows, again and again."""
    header, *rows = text_of(made_rows(1_000_000)).splitlines(keepends=True)
    block = "".join(rows).encode()
    with path.open("wb") as file:
        file.write(header.encode())
        while file.tell() < megabytes * 1_000_000:
            file.write(block)


def made_rows(size: int) -> list[dict[str, str]]:
    """Rows of feedback, all different, of so many characters together."""
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnoprstuvwäé", k=chance.randint(2, 9))) for _ in range(3000)]
    rows: list[dict[str, str]] = []
    while size > 0:
        text = " ".join(chance.choices(words, k=chance.randint(5, 40))) + chance.choice([".", ", really.", ' "again".'])
        account, stars = f"A{chance.randrange(10**6)}", str(chance.randint(1, 5))
        values = (f"m-{len(rows)}", text, account, stars, f"2026-03-{chance.randint(1, 28):02}T10:00:00Z")
        rows.append(dict(zip(COLUMNS, values, strict=True)))
        size -= sum(map(len, values)) + len(values)
    return rows


def text_of(rows: list[dict[str, str]]) -> str:
    """The rows as CSV, below their header."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([COLUMNS, *(row.values() for row in rows)])
    return text.getvalue()


def taken_in(source: Path, home: Path, batch_rows: int = Settings.batch_rows) -> Taken:
    """Take a file into a home that is made for it, in slices of so many rows, in a process of its own."""
    command = [sys.executable, "-m", "bench.large_file", "--take-in", os.fspath(source), "--home", os.fspath(home)]
    command += ["--batch-rows", str(batch_rows)]
    ended = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, check=True)
    return Taken(*json.loads(ended.stdout))


def take_in(source: Path, folder: Path, batch_rows: int) -> Taken:
    """Take a file in, in this process."""
    home = Home(Settings(home=folder, batch_rows=batch_rows))
    home.prepare()
    started = time.perf_counter()
    rows = arrivals.register(home, arrivals.receive(home, source))
    seconds = time.perf_counter() - started
    home.ledger.close()
    return Taken(rows, seconds, highest_megabytes())


def highest_megabytes() -> float:
    """The highest memory of this process so far.

    On Linux from /proc: `ru_maxrss` of a process begins with what its parent had when it started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES)
    parser.add_argument("--take-in", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--batch-rows", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.take_in:
        print(json.dumps(take_in(asked.take_in, asked.home, asked.batch_rows)))
    else:
        main(asked.megabytes)
