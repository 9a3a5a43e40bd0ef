"""What MLflow keeps beside runs: files, the data that they come from, registered models.

Metrics are worth having alone, so what cannot be stored is named and stops nothing.
"""

import json
from collections.abc import Iterator, Mapping

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.tracking import MlflowClient

from stemtune.core import errors, files
from stemtune.tracking import registry
from stemtune.tracking.outbox import Data, Outbox, Outcome
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
    stages = outcome.parent.children if outcome else outbox.records()
    for name in ("", *(stage.name for stage in stages)):
        missing += _attach(client, runs, outbox, name)
    if outcome:
        for run in (runs.id_of(), *_models(runs, outcome).values()):
            client.log_inputs(run, [_dataset(outcome.data)])
        missing += _attach_exports(client, runs, outbox, outcome)
        missing += _register(client, runs, outbox, outcome)
    return missing


def _attach(client: MlflowClient, runs: Runs, outbox: Outbox, stage: str) -> Iterator[str]:
    folder, run = outbox.artifacts(stage), runs.id_of(*filter(None, [stage]))
    content = files.key(*files.checksums(folder).items())
    if not folder.exists() or runs.tag_of(run, ATTACHED) == content:
        return
    try:
        client.log_artifacts(run, str(folder))
        runs.log(run, tags={ATTACHED: content})
    except Exception as error:
        # Each kind of artifact store has errors of its own.
        yield f"artifacts of {stage or 'the pipeline run'} ({errors.first_line(error)})"


def _attach_exports(
    client: MlflowClient, runs: Runs, outbox: Outbox, outcome: Outcome
) -> Iterator[str]:
    """Stores the files that were made for devices beside their models, each content once."""
    for model, exports in outcome.exports.items():
        try:
            run = _holder(runs, exports) or _models(runs, outcome)[model]
            stored = {file.path for file in client.list_artifacts(run)}
            # A tag is not believed: someone may have deleted the files.
            for name in exports.keys() - stored:
                client.log_artifact(run, str(outbox.folder / "exports" / name))
            runs.log(run, tags={EXPORTED: files.key(*exports.items())})
        except Exception as error:
            # As with artifacts.
            yield f"exports of {model} ({errors.first_line(error)})"


def _register(client: MlflowClient, runs: Runs, outbox: Outbox, outcome: Outcome) -> Iterator[str]:
    """Puts the models into the registry."""
    for model in outcome.registered:
        run, folder = _models(runs, outcome)[model.name], outbox.folder / "models" / model.name
        exports = outcome.exports.get(model.name, {})
        try:
            version = registry.publish(
                client, run, model.name, model.alias, folder, model.digest, model.description
            )
            if holder := _holder(runs, exports):
                addresses = [f"runs:/{holder}/{name}" for name in exports]
                registry.name_exports(client, version, addresses)
        except Exception as error:
            # As with artifacts.
            yield f"model {model.name} ({errors.first_line(error)})"


def _models(runs: Runs, outcome: Outcome) -> dict[str, str]:
    """Returns the runs of the models that evaluate compared, by name."""
    [evaluate] = [stage for stage in outcome.parent.children if stage.name == "evaluate"]
    return {child.name: runs.id_of("evaluate", child.name) for child in evaluate.children}


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
