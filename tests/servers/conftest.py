"""A store, and stored classifiers to register in it."""

import shutil
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from stemtune.networks import classifier
from tests.support.classifiers import CLASSES, SIDE, tiny_classifier
from tests.support.registered import BASELINE_SIDE


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two stored classifiers; the baseline was trained on smaller frames than are stored."""
    root = tmp_path_factory.mktemp("models")
    for name, with_stem, side in (("baseline", False, BASELINE_SIDE), ("stemmed", True, SIDE)):
        specification = classifier.InputSpecification(frames_per_clip=3, size=SIDE, side=side)
        classifier.save(tiny_classifier(with_stem), CLASSES, specification, root / name)
    return {name: root / name for name in ("baseline", "stemmed")}


@pytest.fixture
def client(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)
