"""Puts stored classifiers into MLflow's model registry, each content once.

A logged model holds the classifier's folder as DVC knows it and the few modules that run it, so
that it loads where this project is not installed.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stemtune.core import files
from stemtune.core.errors import InputError
from stemtune.core.input_specification import CLASSES_FILE
from stemtune.tracking import store

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
PACKAGE = Path(__file__).parent.parent
SERVED = "serving/pyfunc_model.py"
# What pyfunc_model.py imports, and what those import.
MODULES = (
    "core/errors.py",
    "core/files.py",
    "core/input_specification.py",
    "core/litter.py",
    "core/printable.py",
    "core/redaction.py",
    "core/settings/block.py",
    "core/settings/frames.py",
    "core/settings/running.py",
    "core/shell.py",
    "core/text.py",
    "media/boxes.py",
    "media/clock.py",
    "media/colors.py",
    "media/containers.py",
    "media/decoding.py",
    "media/formats.py",
    "media/jpegs.py",
    "media/presentation.py",
    "media/sampling.py",
    "media/sandbox.py",
    "media/sandbox_process.py",
    "media/sandbox_protocol.py",
    "media/scaling.py",
    "media/stills.py",
    "media/video.py",
    "networks/classifier.py",
    "networks/images.py",
    "networks/reproducibility.py",
    "serving/given_frames.py",
    "serving/inference.py",
    "serving/requested_clips.py",
)
REQUIREMENTS = (
    "av",
    "keras",
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "pillow-heif",
    "pydantic",
    "ruamel.yaml",
)
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
        folder: Where `classifier.save` stored it.
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
        try:
            client.set_registered_model_alias(NAME, alias, kept.version)
        except MlflowException:
            # Another publisher made the alias at this moment, and of two MLflow lets one fail. What
            # is there can be moved.
            client.set_registered_model_alias(NAME, alias, kept.version)
    for double in doubles:
        _tolerating(MISSING, client.delete_model_version, NAME, double.version)
        _tolerating(MISSING, client.delete_logged_model, _model_id(double))
    _show(client, run_id, _model_id(kept))
    return str(kept.version)


def name_exports(client: MlflowClient, version: str, addresses: Sequence[str]) -> None:
    """Names, by a tag of a version, the files that were made of it for devices."""
    named = " ".join(addresses)
    if client.get_model_version(NAME, version).tags.get(EXPORTS_TAG) != named:
        client.set_model_version_tag(NAME, version, EXPORTS_TAG, named)


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
        folder: Where `classifier.save` stored it.
        path: A folder to be made.
        model: What MLflow already knows about it.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    classes = files.read_json(folder / CLASSES_FILE)
    # MLflow lets any array through such a signature, frames as well as clips, and a column of
    # clips; one of uint8 would keep clips out. The classifier itself checks what it is given.
    anything = Schema([TensorSpec(np.dtype(object), (-1,))])
    probabilities = Schema([ColSpec("float", name) for name in classes])
    # What is worth knowing arrives as an exception.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as temporary:
        package = Path(temporary) / PACKAGE.name
        for module in (*MODULES, *_packages()):
            (package / module).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PACKAGE / module, package / module)
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


def _packages() -> list[str]:
    """Returns what makes packages of the modules' folders."""
    folders = {Path(), *(Path(module).parent for module in MODULES)}
    return sorted((folder / "__init__.py").as_posix() for folder in folders)


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
