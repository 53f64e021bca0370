"""TOML files that people write: what they say, or a refusal with what to write instead."""

import tomllib
from pathlib import Path
from typing import Any

from orchestration_project.core.errors import FileRefused


def read_toml(file: Path, called: str, advice: str) -> dict[str, Any]:
    """What a file says. FileRefused for one that is not there, or is no TOML; `called` is what people call it, `advice`
    the sentence that tells what to do next.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileRefused(f"There is no {called} {file}. {advice}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileRefused(f"{file.name} is not TOML ({error}). {advice}") from error
