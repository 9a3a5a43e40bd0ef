"""Classifiers in a store's registry, and what a test looks up there."""

from pathlib import Path

from mlflow.tracking import MlflowClient

from stemtune.tracking import registry

ENDED = 1_700_000_000_000
# Of frames that the baseline was trained on; smaller than what is stored, px.
BASELINE_SIDE = 40


def ended_run(client: MlflowClient) -> str:
    found = client.get_experiment_by_name("stemtune")
    experiment = found.experiment_id if found else client.create_experiment("stemtune")
    run = client.create_run(experiment).info.run_id
    client.set_terminated(run, "FAILED", ENDED)
    return run


def publish(client: MlflowClient, folder: Path, digest: str = "d1", alias: str = "stem") -> str:
    return registry.publish(client, ended_run(client), folder.name, alias, folder, digest)


def versions(client: MlflowClient) -> dict[int, str]:
    """Returns the digest of each version."""
    found = client.search_model_versions("name = 'stemtune'")
    return {int(version.version): version.tags["dvc.md5"] for version in found}


def logged_models(client: MlflowClient) -> list[str]:
    experiment = client.get_experiment_by_name("stemtune")
    assert experiment
    return [model.model_id for model in client.search_logged_models([experiment.experiment_id])]


def outputs(client: MlflowClient, run: str) -> list[str]:
    shown = client.get_run(run).outputs
    assert shown
    return [model.model_id for model in shown.model_outputs]
