"""A pipeline run as one record: the parent, whose children are stages, trials and models.

All that MLflow shows comes from records, so a cached stage shows as fully as one that just ran,
with the times of when it did.
"""

from datetime import UTC, datetime

from stemtune.core import files, markdown
from stemtune.core.records import Record
from stemtune.tracking.outbox import Outbox
from stemtune.tracking.pipeline_run import PipelineRun

# A tag: which execution of a stage a run shows.
EXECUTION = "stemtune.execution"
# MLflow takes 8,000, and would cut off the end of an error, which says most.
LONGEST_TAG = 7000


def of(outbox: Outbox) -> Record:
    """Returns the record of a pipeline run, as its outbox holds it."""
    run, outcome = outbox.run(), outbox.outcome()
    # Looked at first: a process may end with what it writes last.
    if outcome:
        parent = outcome.parent
    elif outbox.goes_on():
        parent = Record(name=run.name, started=run.started, children=outbox.records())
    else:
        stages = outbox.records()
        parent = concluded(run, stages, max((each.ended for each in stages), default=run.started))
    stages = [_stage(record, run) for record in parent.children]
    # Pipeline runs are compared by the settings that are not the committed ones.
    params = run.changed | parent.params
    return parent.model_copy(
        update={"children": stages, "params": params, "tags": _tags(run) | parent.tags}
    )


def concluded(run: PipelineRun, stages: list[Record], at: float) -> Record:
    """Returns the record of a pipeline run that is over: failed if a stage is."""
    failed = any(stage.status == "failed" for stage in stages)
    return Record(
        name=run.name,
        started=run.started,
        seconds=max(0.0, at - run.started),
        status="failed" if failed else "finished",
        children=stages,
    )


def _tags(run: PipelineRun) -> dict[str, str]:
    tags = {"git.commit": run.commit, "git.dirty": str(run.dirty).lower()}
    if run.dvc_experiment:
        tags["dvc.experiment"] = run.dvc_experiment
        tags |= {f"dvc.experiment.{name}": value for name, value in run.changed.items()}
    return tags


def _stage(record: Record, run: PipelineRun) -> Record:
    cached = record.started < run.started
    tags = {"dvc.stage": record.name, "cached": str(cached).lower(), "git.commit": run.commit}
    tags |= record.tags
    own, note = {EXECUTION: files.key(record.name, record.started)}, record.description
    if cached:
        at = datetime.fromtimestamp(record.started, UTC)
        note = f"Cached. Computed {at:%Y-%m-%d %H:%M:%S} UTC"
    if record.error:
        error = record.error.strip()[-LONGEST_TAG:]
        own["error"], note = error.splitlines()[-1], markdown.fenced(error)
    return record.model_copy(
        update={
            "tags": tags | record.environment | own,
            "description": note,
            "children": [
                child.model_copy(update={"tags": tags | child.tags}) for child in record.children
            ],
        }
    )
