"""What MLflow keeps beside runs: files, the data that they come from, registered models.

Metrics are worth having alone, so what cannot be stored is named and stops nothing.
"""

import json
from collections.abc import Callable, Mapping

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.tracking import MlflowClient

from stemtune.core import errors, files
from stemtune.tracking import registry
from stemtune.tracking.outbox import Data, Outbox, Registered
from stemtune.tracking.runs import Runs

# Tags: which artifacts a run holds; the content of the exports that a model's run holds.
ATTACHED, EXPORTED = "stemtune.attached", "stemtune.exported"


def store(client: MlflowClient, runs: Runs, outbox: Outbox) -> list[str]:
    """Stores what belongs to a pipeline run, and returns what could not be stored.

    Args:
        client: Of the store.
        runs: Of the pipeline run, all of them written.
        outbox: That holds the files.
    """
    outcome = outbox.outcome()
    missing: list[str] = []

    def attempt(what: str, work: Callable[..., None], *given: object) -> None:
        try:
            work(client, runs, outbox, *given)
        except Exception as error:
            # Each kind of artifact store has errors of its own.
            missing.append(f"{what} ({errors.first_line(error)})")

    attempt("artifacts of the pipeline run", _attach, "")
    for stage in outcome.parent.children if outcome else outbox.records():
        attempt(f"artifacts of {stage.name}", _attach, stage.name)
    if outcome:
        [evaluate] = [stage for stage in outcome.parent.children if stage.name == "evaluate"]
        models = [runs.id_of("evaluate", child.name) for child in evaluate.children]
        for run in (runs.id_of(), *models):
            client.log_inputs(run, [_dataset(outcome.data)])
        for model, exports in outcome.exports.items():
            attempt(f"exports of {model}", _attach_exports, model, exports)
        for registered in outcome.registered:
            exports = outcome.exports.get(registered.name, {})
            attempt(f"model {registered.name}", _register, registered, exports)
    return missing


def _attach(client: MlflowClient, runs: Runs, outbox: Outbox, stage: str) -> None:
    folder, run = outbox.artifacts(stage), runs.id_of(*filter(None, [stage]))
    content = files.key(*files.checksums(folder).items())
    if folder.exists() and runs.tag_of(run, ATTACHED) != content:
        client.log_artifacts(run, str(folder))
        runs.log(run, tags={ATTACHED: content})


def _attach_exports(
    client: MlflowClient, runs: Runs, outbox: Outbox, model: str, exports: Mapping[str, str]
) -> None:
    """Stores the files that were made for devices beside their model, each content once."""
    run = _holder(runs, exports) or runs.id_of("evaluate", model)
    # A tag is not believed: someone may have deleted the files.
    for name in exports.keys() - {file.path for file in client.list_artifacts(run)}:
        client.log_artifact(run, str(outbox.folder / "exports" / name))
    runs.log(run, tags={EXPORTED: files.key(*exports.items())})


def _register(
    client: MlflowClient,
    runs: Runs,
    outbox: Outbox,
    model: Registered,
    exports: Mapping[str, str],
) -> None:
    """Puts a model into the registry."""
    run, folder = runs.id_of("evaluate", model.name), outbox.folder / "models" / model.name
    holder = _holder(runs, exports)
    addresses = [f"runs:/{holder}/{name}" for name in exports if holder]
    registry.publish(
        client, run, model.name, model.alias, folder, model.digest, model.description, addresses
    )


def _holder(runs: Runs, exports: Mapping[str, str]) -> str:
    """Returns the run that holds a model's exports; "" if none does, or there are none."""
    return runs.find(f"tags.`{EXPORTED}` = '{files.key(*exports.items())}'") if exports else ""


def _dataset(data: Data) -> DatasetInput:
    """Returns the data that a pipeline run was computed from, as MLflow shows them."""
    size = data.size
    frames = {"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, size, size, 3]}}
    labels = {"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}
    shown = Dataset(
        name="data",
        # MLflow's store takes up to 36 characters; DVC's hash of a folder has 36 with its ".dir".
        digest=data.digest,
        source_type="dvc",
        source=json.dumps({"path": "data", "md5": data.digest}),
        schema=json.dumps({"mlflow_tensorspec": {"features": [frames], "targets": [labels]}}),
        profile=json.dumps(data.counts),
    )
    return DatasetInput(shown, [InputTag("mlflow.data.context", "training and evaluation")])
