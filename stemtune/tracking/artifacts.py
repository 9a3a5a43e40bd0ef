"""What MLflow keeps beside a run: files, the data that it was computed from, registered models.

Metrics are worth having alone, so that what cannot be stored is named and stops nothing.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag

from stemtune.core import errors, files
from stemtune.tracking import registry
from stemtune.tracking.outbox import Outbox, Outcome
from stemtune.tracking.run_writer import RunWriter

# A tag: what artifacts a run holds.
ATTACHED = "stemtune.attached"
# A tag: of which content the exports are that a model's run holds.
EXPORTED = "stemtune.exported"


def attach(client: Any, writer: RunWriter, outbox: Outbox, name: str, run: str) -> Iterator[str]:
    """Stores the artifacts of a stage, and yields what could not be stored.

    Args:
        client: An MlflowClient.
        writer: Which knows the run.
        outbox: Where they are.
        name: Of the stage; "": the pipeline run.
        run: Id of its run.
    """
    folder = outbox.artifacts(name)
    content = files.key(*files.checksums(folder).items())
    if writer.tag_of(run, ATTACHED) == content:
        return
    try:
        client.log_artifacts(run, str(folder))
        writer.log(run, [], {}, {ATTACHED: content})
    except Exception as error:
        # Each kind of artifact store has errors of its own.
        yield f"artifacts of {name or 'the pipeline run'} ({errors.first_line(error)})"


def register(
    client: Any, writer: RunWriter, outcome: Outcome, present: Collection[str]
) -> Iterator[str]:
    """Puts the models into the registry, and yields those that could not be put there.

    Args:
        client: An MlflowClient.
        writer: Which knows the models' runs.
        outcome: Which names the models.
        present: DVC's hashes of the model folders as they are now; another model is gone.
    """
    for model in outcome.registered:
        if model.digest not in present:
            continue
        run, folder = writer.id_of("evaluate", model.name), Path(model.folder)
        exports = outcome.exports.get(model.name, {})
        try:
            version = registry.publish(client, run, model.name, model.alias, folder, model.digest)
            if holder := _holder(writer, exports):
                addresses = [f"runs:/{holder}/{Path(path).name}" for path in exports]
                registry.name_exports(client, version, addresses)
        except Exception as error:
            # As with artifacts.
            yield f"model {model.name} ({errors.first_line(error)})"


def attach_exports(client: Any, writer: RunWriter, outcome: Outcome) -> Iterator[str]:
    """Stores the files that were made for devices beside their models, each content once.

    Yields what could not be stored. A file that is another by now is gone, and not stored.

    Args:
        client: An MlflowClient.
        writer: Which knows the models' runs.
        outcome: Which names the files.
    """
    for model, exports in outcome.exports.items():
        paths = [Path(path) for path in exports]
        present = [path.exists() and files.md5(path) for path in paths]
        if present != [*exports.values()] or _holder(writer, exports):
            continue
        run = writer.id_of("evaluate", model)
        try:
            for path in paths:
                client.log_artifact(run, str(path))
            writer.log(run, [], {}, {EXPORTED: files.key(*exports.items())})
        except Exception as error:
            # As with artifacts.
            yield f"exports of {model} ({errors.first_line(error)})"


def _holder(writer: RunWriter, exports: Mapping[str, str]) -> str:
    """Returns the run that holds a model's exports; "" where none does, or there are none."""
    return writer.find(f"tags.`{EXPORTED}` = '{files.key(*exports.items())}'") if exports else ""


def dataset(outcome: Outcome) -> DatasetInput:
    """Returns the data that a pipeline run was computed from, as MLflow shows them."""
    size = outcome.size
    frames = {"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, size, size, 3]}}
    labels = {"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}
    data = Dataset(
        name="data",
        # MLflow's store takes up to 36 characters; DVC's hash of a folder has 36 with its ".dir".
        digest=outcome.lock.data,
        source_type="dvc",
        source=json.dumps({"path": "data", "md5": outcome.lock.data}),
        schema=json.dumps({"mlflow_tensorspec": {"features": [frames], "targets": [labels]}}),
        profile=json.dumps(outcome.counts),
    )
    return DatasetInput(data, [InputTag("mlflow.data.context", "training and evaluation")])
