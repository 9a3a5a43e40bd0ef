"""Puts stored classifiers into MLflow's model registry, each content once."""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stemtune.core import files
from stemtune.core.errors import InputError
from stemtune.tracking import packaging, store

NAME = "stemtune"
DESCRIPTION = """\
Classifiers of video frames. `baseline` is the frozen network with its head, `stem` the same behind
a stem that makes frames smaller.

    model = mlflow.pyfunc.load_model("models:/stemtune@stem")
    model.predict(frames)  # (n, h, w, 3), uint8, RGB
    model.predict(np.array([clip]))  # "data:;base64," and the bytes of a clip in base64

Either gives a table of probabilities, a column per class. A clip may be a path as well, below the
folder that `STEMTUNE_CLIPS` named when the model was loaded."""
DIGEST_TAG, CODE_TAG, CLASSIFIER_TAG = "dvc.md5", "stemtune.code", "stemtune.classifier"
EXPORTS_TAG = "stemtune.exports"
# Where MLflow's pages look for the versions of a logged model.
VERSIONS_TAG = "mlflow.modelVersions"
# What a logged model holds, unless someone deleted it.
HELD = {"MLmodel", "artifacts", "code"}
EXISTS, MISSING = "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"


def publish(
    client: MlflowClient,
    run_id: str,
    name: str,
    alias: str,
    folder: Path,
    digest: str,
    description: str = "",
    exports: Sequence[str] = (),
) -> str:
    """Registers a classifier once, and points an alias at it.

    What is there already, by digest and by the code that runs it, is not uploaded again, unless its
    files are gone. Of two projects that publish one content to a server, the one whose version has
    the lower number keeps it; the other deletes its own.

    Args:
        client: Of the store.
        run_id: The run that shows the classifier as its output; its status and times stay.
        name: Of the classifier: `baseline` or a stem's variant.
        alias: `baseline` or `stem`.
        folder: Where `classifier.save` stored it.
        digest: DVC's hash of the folder.
        description: Of the version, Markdown.
        exports: Addresses of the files that were made of it for devices, which a tag names.

    Returns:
        The number of the version.

    Raises:
        MlflowException: The store refuses or cannot be reached.
        FileNotFoundError: There is no such folder.
    """
    tags = {DIGEST_TAG: digest, CODE_TAG: packaging.code(), CLASSIFIER_TAG: name}
    kept, *doubles = _versions(client, tags) or _create(client, run_id, folder, tags)
    model_id = _model_id(kept)
    held = {file.path for file in client.list_logged_model_artifacts(model_id)}
    if not held >= HELD:
        _fill(client, client.get_logged_model(model_id), run_id, folder)
    if description and kept.description != description:
        client.update_model_version(NAME, kept.version, description)
    if exports and kept.tags.get(EXPORTS_TAG) != (named := " ".join(exports)):
        client.set_model_version_tag(NAME, kept.version, EXPORTS_TAG, named)
    if client.get_registered_model(NAME).aliases.get(alias) != kept.version:
        listed = [{"name": NAME, "version": kept.version}]
        client.set_logged_model_tags(model_id, {VERSIONS_TAG: json.dumps(listed)})
        try:
            client.set_registered_model_alias(NAME, alias, kept.version)
        except MlflowException:
            # Another publisher made the alias at this moment, and of two MLflow lets one fail. What
            # is there can be moved.
            client.set_registered_model_alias(NAME, alias, kept.version)
    for double in doubles:
        _tolerating(MISSING, client.delete_model_version, NAME, double.version)
        _tolerating(MISSING, client.delete_logged_model, _model_id(double))
    outputs = client.get_run(run_id).outputs
    if not outputs or model_id not in {made.model_id for made in outputs.model_outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    return str(kept.version)


@contextmanager
def downloaded(model: str) -> Iterator[Path]:
    """Yields the stored classifier of a registered model; the folder lasts as long as the block.

    Args:
        model: Such as `models:/stemtune@stem`.

    Raises:
        InputError: There is no such model, or it holds no classifier of this project.
    """
    address = store.address()
    database = Path(address.removeprefix(store.SQLITE))
    if address.startswith(store.SQLITE) and not database.exists():
        # MLflow would make an empty one.
        raise InputError(f"there is no {model}: {database} does not exist; `dvc repro` makes it")
    mlflow.set_tracking_uri(address)
    with tempfile.TemporaryDirectory() as temporary:
        try:
            logged = mlflow.artifacts.download_artifacts(model, dst_path=temporary)
        except MlflowException as error:
            raise InputError(f"{model}: {error.message}") from error
        flavors = files.read_yaml(Path(logged) / "MLmodel")["flavors"]
        try:
            path = flavors["python_function"]["artifacts"]["classifier"]["path"]
        except KeyError:
            raise InputError(f"{model} holds no classifier that this project stored") from None
        yield Path(logged) / path


def _versions(client: MlflowClient, tags: dict[str, str]) -> list[ModelVersion]:
    """Returns the versions of this content, the one to keep first."""
    found = client.search_model_versions(f"name = '{NAME}' AND {_condition(tags)}")
    return sorted(found, key=lambda version: int(version.version))


def _condition(tags: dict[str, str]) -> str:
    return " AND ".join(f"tags.`{key}` = '{tags[key]}'" for key in (DIGEST_TAG, CODE_TAG))


def _create(
    client: MlflowClient, run_id: str, folder: Path, tags: dict[str, str]
) -> list[ModelVersion]:
    """Uploads a classifier as a new version, and returns all versions of this content.

    `mlflow.pyfunc.log_model` would run the classifier on the example, and so import TensorFlow.
    """
    _tolerating(EXISTS, client.create_registered_model, NAME, description=DESCRIPTION)
    experiment = client.get_run(run_id).info.experiment_id
    try:
        logged = client.create_logged_model(experiment, tags[CLASSIFIER_TAG], run_id, tags)
        _fill(client, logged, run_id, folder)
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        source = f"models:/{logged.model_id}"
        client.create_model_version(NAME, source, run_id, tags, model_id=logged.model_id)
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


def _fill(client: MlflowClient, logged: LoggedModel, run_id: str, folder: Path) -> None:
    """Uploads the files of a logged model."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model"
        model = mlflow.models.Model(
            artifact_path=logged.artifact_location,
            model_uuid=logged.model_id,
            run_id=run_id,
            model_id=logged.model_id,
        )
        packaging.save(folder, path, model)
        client.log_model_artifacts(logged.model_id, str(path))


def _model_id(version: ModelVersion) -> str:
    return str(version.source).removeprefix("models:/")


def _tolerating(code: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    """Calls; that another publisher has done so already is no error."""
    try:
        call(*arguments, **named)
    except MlflowException as error:
        if error.error_code != code:
            raise
