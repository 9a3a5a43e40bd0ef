"""The MLflow experiment that runs belong to, found or made."""

from collections.abc import Callable

from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

NOTE = "mlflow.note.content"
DESCRIPTION = """\
How much accuracy does a cheaper video classifier cost? Each parent run is one `dvc repro`; its
description begins with the recommendation. Below it is a run per stage, per trial and per model.
To compare pipeline runs, select parents; to compare models, select runs below evaluate."""


def find(client: MlflowClient, name: str, tell: Callable[[str], None]) -> str:
    """Returns the id of the experiment of a name, made if there is none.

    Args:
        client: Of the store.
        name: Of the experiment.
        tell: Is called with messages for people.

    Raises:
        mlflow.exceptions.MlflowException: The store refuses or cannot be reached.
    """
    found, said = client.get_experiment_by_name(name), ""
    if found and found.lifecycle_stage == LifecycleStage.DELETED:
        said = _set_aside(client, str(found.experiment_id), name)
        tell(said)
        found = None
    if not found:
        note = "\n\n".join(filter(None, (DESCRIPTION, said)))
        try:
            return str(client.create_experiment(name, tags={NOTE: note}))
        except MlflowException:
            # A publisher of another project may have been quicker.
            found = client.get_experiment_by_name(name)
            if not found:
                raise
    if NOTE not in found.tags:
        client.set_experiment_tag(found.experiment_id, NOTE, DESCRIPTION)
    return str(found.experiment_id)


def _set_aside(client: MlflowClient, deleted: str, name: str) -> str:
    """Gives a deleted experiment another name, since it keeps its own; returns what to say."""
    other = f"{name}, deleted {deleted}"
    # MLflow renames none that is deleted.
    client.restore_experiment(deleted)
    client.rename_experiment(deleted, other)
    client.delete_experiment(deleted)
    return (
        f"MLflow's experiment {name} was deleted: this is a new one. `mlflow experiments "
        f"restore --experiment-id {deleted}` brings the other back, named {other!r}"
    )
