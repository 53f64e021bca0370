"""What a training of many labels costs: `python -m bench.training`, with `--embeddings` for the extra too.

10,000 labels of 77 classes (of clinc150) are imported and trained by the command line; beside it the classifier alone
learns the same labels, which tells what the machine can do and what the rest costs.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from bench.labelled_data import clinc150
from orchestration_project.performers.text_classifier import train

LABELS = 10_000
CLASSES = 77


def main(*, embeddings: bool) -> None:
    """Import, train, and print seconds, their ratio to the bare classifier, and the highest memory of any process."""
    rows = labelled()
    with TemporaryDirectory() as folder:
        file = Path(folder, "labels.csv")
        rows.to_csv(file, index=False)
        chosen = {
            "ORCHESTRATE_HOME": str(Path(folder, "home")),
            "ORCHESTRATE_EMBEDDINGS": "yes" if embeddings else "no",
        }
        imported = [
            "labels",
            "import",
            str(file),
            "--model",
            "sentiment",
            "--replace",
            "--force",
            "Two people disagree.",
        ]
        orchestrate(chosen, *imported)
        seconds = orchestrate(chosen, "train", "--model", "sentiment", "--new-labels", "measured")
    started = time.perf_counter()
    train(rows["text"], rows["label"], embeddings=embeddings)
    alone = time.perf_counter() - started
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{len(rows):,} labels of {rows['label'].nunique()} classes, embeddings: {chosen['ORCHESTRATE_EMBEDDINGS']}")
    print(
        f"trained in {seconds:.0f} s, {seconds / alone:.2f} times the classifier alone; highest memory {megabytes:.0f} MB"
    )


def labelled() -> pd.DataFrame:
    """Rows of the first classes of clinc150, `text` and `label`."""
    rows = clinc150()
    kept = rows["label"].drop_duplicates().loc[lambda label: label != "oos"].head(CLASSES)
    return rows.loc[rows["label"].isin(kept), ["text", "label"]].sample(LABELS, random_state=0)


def orchestrate(chosen: dict[str, str], *arguments: str) -> float:
    """Run a command with these settings; returns how many seconds it took."""
    command = [sys.executable, "-m", "orchestration_project.cli.main", *arguments]
    started = time.perf_counter()
    subprocess.run(command, env=os.environ | chosen, check=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main(embeddings=sys.argv[1:] == ["--embeddings"])
