"""Sentence embeddings: the same for a text in any company, from files whose digest is known, and a clear error without
the extra.
"""

import sys

import numpy as np
import pytest

from orchestration_project.core.errors import ArtifactRefused, SettingRefused
from orchestration_project.performers import embeddings
from orchestration_project.performers.embeddings import DIMENSIONS, embed

TEXTS = [
    "The courier lost my parcel",
    "My package never arrived",
    "Lovely tea, thank you",
    "",
    "👩‍👩‍👧 配達",
    "late " * 500,
]


@pytest.mark.usefixtures("embeddings_extra")
def test_every_text_has_an_embedding_of_length_one_that_its_company_does_not_change() -> None:
    found = embed(TEXTS)
    assert found.shape == (len(TEXTS), DIMENSIONS)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    alone = np.concatenate([embed([text]) for text in TEXTS])
    assert np.abs(found - alone).max() < 1e-5
    assert embed([]).shape == (0, DIMENSIONS)


@pytest.mark.usefixtures("embeddings_extra")
def test_texts_that_mean_the_same_in_other_words_lie_close() -> None:
    parcel, package, tea = embed(TEXTS[:3])
    assert parcel @ package > 0.4 > 0.2 > parcel @ tea


def test_without_the_extra_the_error_names_it_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    embeddings._loaded.cache_clear()
    with pytest.raises(SettingRefused, match=r"Embeddings need onnxruntime, which is not installed\. Run: make embed"):
        embed(["a text"])


@pytest.mark.usefixtures("embeddings_extra")
def test_model_file_of_another_digest_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "MODEL", (*embeddings.MODEL[:2], "0" * 64))
    embeddings._loaded.cache_clear()
    with pytest.raises(ArtifactRefused, match=r"model\.onnx is not the file that was recorded: its sha256 is 8199be6f"):
        embed(["a text"])
    monkeypatch.undo()
    embeddings._loaded.cache_clear()
