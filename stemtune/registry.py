"""Puts stored classifiers into MLflow's model registry, each content once.

A logged model holds the classifier's folder as DVC knows it and the few modules that run it, so
that it loads where this project is not installed.
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

# As in stemtune.tracking: MLflow reports usage unless told not to, when it is imported.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"

import mlflow
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stemtune import files

NAME = "stemtune"
DESCRIPTION = """\
Classifiers of video frames. `baseline` is the frozen network with its head, `stem` the same behind
a stem that makes frames smaller.

    model = mlflow.pyfunc.load_model("models:/stemtune@stem")
    model.predict(frames)  # (n, h, w, 3), uint8, RGB
    model.predict(np.array(["clip.mp4"]))  # paths of clips

Either gives a table of probabilities, a column per class."""
DIGEST_TAG, CODE_TAG, CLASSIFIER_TAG = "dvc.md5", "stemtune.code", "stemtune.classifier"
# Where MLflow's pages look for the versions of a logged model.
VERSIONS_TAG = "mlflow.modelVersions"
PACKAGE = Path(__file__).parent
SERVED = "served.py"
# What served.py imports, and what those import.
MODULES = (
    "__init__.py",
    "classifier.py",
    "errors.py",
    "files.py",
    "images.py",
    "models.py",
    "params.py",
    "sides.py",
    "stem.py",
    "video.py",
)
REQUIREMENTS = ("av", "keras", "mlflow", "numpy", "pandas", "pydantic", "pyyaml")
EXISTS, MISSING = "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"


def publish(
    client: MlflowClient, run_id: str, name: str, alias: str, folder: Path, digest: str
) -> str:
    """Sees to it that the registry has a classifier, once, and points an alias at it.

    What is there already, by digest and by the code that runs it, is not uploaded again. Of two
    publishers of one content, the one whose version has the lower number keeps it; the other
    deletes its own.

    Args:
        client: Of the store.
        run_id: The run that shows the classifier as its output; its status and times stay.
        name: Of the classifier: `baseline` or a stem's variant.
        alias: `baseline` or `stem`.
        folder: Where `models.save` stored it.
        digest: DVC's hash of the folder.

    Returns:
        The number of the version.

    Raises:
        MlflowException: The store refuses or cannot be reached.
        FileNotFoundError: There is no such folder.
    """
    tags = {DIGEST_TAG: digest, CODE_TAG: _code(), CLASSIFIER_TAG: name}
    versions = _versions(client, tags)
    if not versions:
        versions = _create(client, run_id, name, folder, tags)
    kept, *doubles = versions
    if client.get_registered_model(NAME).aliases.get(alias) != kept.version:
        listed = [{"name": NAME, "version": kept.version}]
        client.set_logged_model_tags(_model_id(kept), {VERSIONS_TAG: json.dumps(listed)})
        client.set_registered_model_alias(NAME, alias, kept.version)
    for double in doubles:
        _tolerating(MISSING, client.delete_model_version, NAME, double.version)
        _tolerating(MISSING, client.delete_logged_model, _model_id(double))
    _show(client, run_id, _model_id(kept))
    return str(kept.version)


def requirements() -> list[str]:
    """Returns what a logged model needs, in the versions installed here.

    Raises:
        KeyError, importlib.metadata.PackageNotFoundError: One is not installed.
    """
    # With or without a GPU TensorFlow has another name.
    tensorflow = set(metadata.packages_distributions()["tensorflow"])
    return [f"{name}=={metadata.version(name)}" for name in sorted({*REQUIREMENTS, *tensorflow})]


def save(folder: Path, path: Path, model: mlflow.models.Model | None = None) -> None:
    """Writes a stored classifier as an MLflow model.

    Args:
        folder: Where `models.save` stored it.
        path: A folder to be made.
        model: What MLflow already knows about it.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    classes = files.read_json(folder / "classes.json")
    # MLflow lets any array through such a signature, frames as well as paths, and a column of
    # paths; one of uint8 would keep paths out. The classifier itself checks what it is given.
    anything = Schema([TensorSpec(np.dtype(object), (-1,))])
    probabilities = Schema([ColSpec("float", name) for name in classes])
    # What is worth knowing arrives as an exception.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        package = Path(temporary) / PACKAGE.name
        package.mkdir()
        for module in MODULES:
            shutil.copy(PACKAGE / module, package)
        mlflow.pyfunc.save_model(
            path,
            python_model=PACKAGE / SERVED,
            code_paths=[str(package)],
            artifacts={"classifier": str(folder.resolve(strict=True))},
            signature=ModelSignature(inputs=anything, outputs=probabilities),
            input_example=np.full((1, 4, 4, 3), 127, np.uint8),
            pip_requirements=requirements(),
            mlflow_model=model,
        )


def _code() -> str:
    """Returns a name for the content of the modules that are logged."""
    return files.key(*[files.sha256(PACKAGE / module) for module in (SERVED, *MODULES)])


def _versions(client: MlflowClient, tags: dict[str, str]) -> list[ModelVersion]:
    """Returns the versions of this content, the one to keep first."""
    found = client.search_model_versions(f"name = '{NAME}' AND {_condition(tags)}")
    return sorted(found, key=lambda version: int(version.version))


def _condition(tags: dict[str, str]) -> str:
    return " AND ".join(f"tags.`{key}` = '{tags[key]}'" for key in (DIGEST_TAG, CODE_TAG))


def _create(
    client: MlflowClient, run_id: str, name: str, folder: Path, tags: dict[str, str]
) -> list[ModelVersion]:
    """Uploads a classifier as a new version, and returns all versions of this content."""
    _tolerating(EXISTS, client.create_registered_model, NAME, description=DESCRIPTION)
    experiment = client.get_run(run_id).info.experiment_id
    try:
        model_id = _upload(client, experiment, run_id, name, folder, tags)
        client.create_model_version(NAME, f"models:/{model_id}", run_id, tags, model_id=model_id)
    except MlflowException:
        # Another publisher was faster, and has deleted this upload.
        if not (versions := _versions(client, tags)):
            raise
        return versions
    versions = _versions(client, tags)
    # What other publishers of this content have begun: those that were cut off will never finish.
    for begun in client.search_logged_models([experiment], _condition(tags)):
        if begun.model_id not in {_model_id(version) for version in versions}:
            _tolerating(MISSING, client.delete_logged_model, begun.model_id)
    return versions


def _upload(
    client: MlflowClient,
    experiment: str,
    run_id: str,
    name: str,
    folder: Path,
    tags: dict[str, str],
) -> str:
    """Logs a classifier and returns the logged model's id.

    `mlflow.pyfunc.log_model` would run the classifier on the example, and so import TensorFlow.
    """
    logged = client.create_logged_model(experiment, name, run_id, tags)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model"
        model = mlflow.models.Model(
            artifact_path=logged.artifact_location,
            model_uuid=logged.model_id,
            run_id=run_id,
            model_id=logged.model_id,
        )
        save(folder, path, model)
        client.log_model_artifacts(logged.model_id, str(path))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    return logged.model_id


def _model_id(version: ModelVersion) -> str:
    return str(version.source).removeprefix("models:/")


def _tolerating(code: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Calls; that another publisher has done so already is no error."""
    try:
        call(*arguments, **named)
    except MlflowException as error:
        if error.error_code != code:
            raise


def _show(client: MlflowClient, run_id: str, model_id: str) -> None:
    """Shows a logged model as an output of a run, if it is not shown yet."""
    if not _is_shown(client, run_id, model_id):
        try:
            client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
        except MlflowException:
            # Another publisher may have done so in between.
            if not _is_shown(client, run_id, model_id):
                raise


def _is_shown(client: MlflowClient, run_id: str, model_id: str) -> bool:
    outputs = client.get_run(run_id).outputs
    return outputs is not None and model_id in {made.model_id for made in outputs.model_outputs}
