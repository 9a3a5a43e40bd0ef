"""The MLflow experiment that runs belong to, found or made."""

from typing import Any

from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException

from stemtune.tracking.store import EXPERIMENT


def find(client: Any, given_run: str) -> str:
    """Returns the id of the experiment, made where there is none.

    Args:
        client: An MlflowClient.
        given_run: A run whose experiment it has to be; "": the project's own.

    Raises:
        mlflow.exceptions.MlflowException: The store refuses or cannot be reached.
    """
    if given_run:
        return str(client.get_run(given_run).info.experiment_id)
    found, tags = client.get_experiment_by_name(EXPERIMENT), {}
    if found and found.lifecycle_stage == LifecycleStage.DELETED:
        said = _set_aside(client, str(found.experiment_id))
        print(said)
        found, tags = None, {"mlflow.note.content": said}
    if not found:
        try:
            return str(client.create_experiment(EXPERIMENT, tags=tags))
        except MlflowException:
            # Another publisher may have been quicker.
            found = client.get_experiment_by_name(EXPERIMENT)
            if not found:
                raise
    return str(found.experiment_id)


def _set_aside(client: Any, deleted: str) -> str:
    """Gives a deleted experiment another name, since it keeps its own; returns what to say."""
    name = f"{EXPERIMENT}, deleted {deleted}"
    # MLflow renames none that is deleted.
    client.restore_experiment(deleted)
    client.rename_experiment(deleted, name)
    client.delete_experiment(deleted)
    return (
        f"MLflow's experiment {EXPERIMENT} was deleted: this is a new one. `mlflow experiments "
        f"restore --experiment-id {deleted}` brings the other back, named {name!r}"
    )
