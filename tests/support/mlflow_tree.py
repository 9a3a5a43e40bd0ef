"""What has to stand in MLflow for a pipeline run, compared with its run records."""

from collections import Counter, defaultdict
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from stemtune.core import records
from stemtune.core.records import Record
from stemtune.evaluation.comparison import Comparison, rows


def runs(client: MlflowClient, condition: str = "") -> list[Run]:
    """Returns all runs that a condition holds for, the newest first."""
    found = client.get_experiment_by_name("stemtune")
    if not found:
        return []
    return list(client.search_runs([found.experiment_id], condition, max_results=5000))


def parents(client: MlflowClient) -> list[Run]:
    """Returns the parent runs, the newest first."""
    return [run for run in runs(client) if "mlflow.parentRunId" not in run.data.tags]


def assert_one_run_per_key(client: MlflowClient) -> None:
    keys = Counter(run.data.tags["stemtune.key"] for run in runs(client))
    assert [key for key, count in keys.items() if count > 1] == []


def children(client: MlflowClient, parent: Run) -> dict[str, Run]:
    """Returns the runs below one, by name."""
    below = runs(client, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    named = {run.info.run_name: run for run in below}
    assert len(named) == len(below)
    return named


def assert_whole(client: MlflowClient, project: Path, parent: Run, ran: set[str]) -> None:
    """Asserts that a pipeline run shows each stage, trial and model, metric by metric.

    Args:
        client: Of the store.
        project: Its folder, with the records.
        parent: The pipeline run's.
        ran: The stages that were not cached.
    """
    kept = [records.read(path) for path in sorted((project / "records").glob("*.json"))]
    stages = children(client, parent)
    assert set(stages) == {record.name for record in kept}
    assert parent.info.status == "FINISHED"
    for record in kept:
        run = stages[record.name]
        cached = record.name not in ran
        assert run.data.tags["cached"] == str(cached).lower(), record.name
        assert run.data.tags["dvc.stage"] == record.name
        assert run.data.tags["stage_key"]
        if cached:
            computed = client.get_run(run.data.tags["computed_by"])
            assert computed.data.tags["cached"] == "false"
            assert computed.data.tags["stage_key"] == run.data.tags["stage_key"]
        assert_shows(client, run, record)
        parts = children(client, run)
        assert len(parts) == len(record.children)
        for part in record.children:
            title = part.name if part.name in parts else f"stem, {part.name}"
            assert_shows(client, parts[title], part)
    evaluated = Comparison.model_validate_json((project / "metrics/evaluate.json").read_text())
    models = children(client, stages["evaluate"])
    named = {row.model: evaluated.models[row.name].values() for row in rows(evaluated)}
    assert set(models) == set(named)
    for name, entry in named.items():
        shown = models[name].data.metrics
        assert {key: shown[key] for key in entry} == entry
        assert "train_seconds" in shown
    assert parent.inputs
    [data] = [given.dataset for given in parent.inputs.dataset_inputs]
    assert data.source_type == "dvc"
    assert "report" in "".join(file.path for file in client.list_artifacts(parent.info.run_id))


def assert_shows(client: MlflowClient, run: Run, record: Record) -> None:
    """Asserts that a run shows a record: status, times, params, each value of each metric."""
    assert run.info.status == "FINISHED", record.name
    assert run.info.start_time == round(record.started * 1000)
    assert run.info.end_time == round((record.started + record.seconds) * 1000)
    assert {name: run.data.params[name] for name in record.params} == {
        name: str(value) for name, value in record.params.items()
    }
    results = record.metrics | {"seconds": record.seconds}
    if record.energy_wh is not None:
        results["estimated_wh"] = record.energy_wh
    assert {name: run.data.metrics[name] for name in results} == results
    histories = defaultdict(list)
    for epoch in record.epochs:
        for name, value in epoch.metrics.items():
            histories[name].append((epoch.epoch, round(epoch.time * 1000), value))
    for name, history in histories.items():
        found = [
            (point.step, point.timestamp, point.value)
            for point in client.get_metric_history(run.info.run_id, name)
        ]
        # The result stands behind the epochs; MLflow keeps it once if it equals the last of them.
        assert sorted(found)[: len(history)] == history
        is_last = history[-1][1:] == (run.info.end_time, results.get(name))
        assert len(found) == len(history) + (name in results and not is_last)
