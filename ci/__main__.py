"""CI in one command: reruns what a change touched, shows what it did, and judges it.

Takes what earlier runs left in the remote, runs `dvc repro`, compares the numbers with the base's,
and writes ci-results/: the summary (summary.md, and where GITHUB_STEP_SUMMARY says), the report,
and a patch for a dvc.lock that is not up to date. It commits nothing. It shares results if told to.

Ends with 0 when all gates hold, 1 when one does not or a stage fails.

Run:    make ci, or python -m ci; settings in the environment do for options
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from ci import clips, commands, gates, remote, stages, summary
from stemtune.core import all_params, errors, files, printable, records, typed_json
from stemtune.core.errors import InputError
from stemtune.core.markdown import code
from stemtune.core.paths import (
    DATA,
    DATA_DOCS,
    EXPORT_METRICS,
    EXPORT_PAGE,
    EXTRACT_METRICS,
    LATENCY,
    LISTED,
    MANIFEST,
    METRICS,
    MISTAKES,
    RECOMMENDATION,
    REPORT,
)
from stemtune.core.settings.apart import Ci
from stemtune.core.typed_json import Content
from stemtune.evaluation import advice
from stemtune.evaluation.comparison import Comparison
from stemtune.export.exports import Exports
from stemtune.ingest.ingest_summary import Counts
from stemtune.store import manifest

RESULTS = Path("ci-results")
PATCH = RESULTS / "dvc.lock.patch"
# Of a pipeline run that failed: enough to hold the last stage's message.
LAST_LINES = 25


def main() -> None:
    """Runs everything; an error goes where the summary would be."""
    options = arguments()
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir()
    try:
        failures = play(options)
    except InputError as error:
        publish(summary.broken(str(error)))
        raise
    if failures:
        sys.exit("ci: failed:\n" + "\n".join(f"  {failure}" for failure in failures))
    print("ci: passed")


def play(options: argparse.Namespace) -> list[str]:
    """Pulls, reproduces, compares, tells and pushes; returns why the change is refused."""
    limits = all_params.load().ci
    base = base_commit(options.base)
    place = remote.choose(options.remote, options.push)
    print(f"ci: {place.said}")
    names = commands.stages()
    if place.name:
        # Clips that stay in a remote are no stage's output.
        outputs = names if LISTED.exists() else []
        options_of_pull = ("--run-cache", "--allow-missing", "--remote", place.name)
        commands.require_dvc("pull", *options_of_pull, *outputs)
    require_data(place)

    before = commands.lock()
    stale = stages.stale(names, commands.lock("HEAD"), before, commands.status())
    started = time.time()
    status, printed = commands.dvc("repro")
    outcomes = stages.outcomes(names, printed, status != 0, before, commands.lock())

    now = None if status else typed_json.read(METRICS, Comparison)
    reached = any(outcome.kind not in ("failed", "not reached") for outcome in outcomes)
    intake = typed_json.read(EXTRACT_METRICS, Counts) if reached else None
    then = at_base(base, METRICS, Comparison)
    story = summary.Story(
        base=f"{code(options.base)}, commit {base[:10]}" if base else "",
        remote=place.said,
        outcomes=outcomes,
        seconds=seconds_since(started, outcomes),
        printed=printed[-LAST_LINES:] if status else [],
        now=now,
        then=then,
        intake=intake,
        intake_then=at_base(base, EXTRACT_METRICS, Counts),
        changes=changes_since(base, place) if reached else None,
        recommendation=advice.sentence(advice.read(RECOMMENDATION)) if now else "",
        gates=judged(limits, now, then, intake, base) if now and intake else [],
        stale=stale,
        must_be_fresh=options.fresh,
        patch=str(PATCH) if stale and not status and commands.patch_of_results(PATCH) else "",
        artifacts=artifacts(),
    )
    publish(summary.render(story))
    if place.shared and place.name and not status:
        commands.require_dvc("push", "--run-cache", "--remote", place.name)
    return story.failures


def arguments() -> argparse.Namespace:
    """Reads the command line, and the environment for what it leaves out."""
    parser = argparse.ArgumentParser("python -m ci", description=(__doc__ or "").split("\n")[0])
    environment = os.environ.get
    parser.add_argument(
        "--base",
        default=environment("STEMTUNE_BASE", "HEAD"),
        help='revision to compare with; "" for none [STEMTUNE_BASE, else HEAD]',
    )
    parser.add_argument(
        "--remote",
        default=environment("STEMTUNE_REMOTE", ""),
        help="name or address of the DVC remote to share through [STEMTUNE_REMOTE, else DVC's]",
    )
    parser.add_argument(
        "--push",
        action="store_true",
        default=environment("STEMTUNE_PUSH", "") == "true",
        help="share the results through the remote, as the main branch does [STEMTUNE_PUSH=true]",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        default=environment("STEMTUNE_FRESH", "") == "true",
        help="fail if the committed dvc.lock is not what dvc repro writes [STEMTUNE_FRESH=true]",
    )
    return parser.parse_args()


def base_commit(revision: str) -> str:
    """Returns the commit to compare with; "" for none, as for the first push of a branch."""
    return commands.commit_of(revision) if revision.strip("0") else ""


def judged(
    limits: Ci, now: Comparison, then: Comparison | None, intake: Counts, base: str
) -> list[gates.Gate]:
    """Returns the gates, judged."""
    exported = typed_json.read(EXPORT_METRICS, Exports)
    before = at_base(base, RECOMMENDATION, advice.Stored)
    return gates.check(
        limits,
        now,
        then,
        intake.quarantined,
        exported,
        advice.read(RECOMMENDATION),
        before.root if before else None,
    )


def at_base(base: str, path: Path, kind: type[Content]) -> Content | None:
    """Returns the content of a JSON file at the base; None if it is not there."""
    text = commands.committed(base, path.as_posix()) if base else None
    if text is None:
        return None
    remedy = 'compare with a revision that is nearer: --base; with none: --base ""'
    return typed_json.parse(text, f"{path} of commit {base[:10]}", kind, remedy)


def require_data(place: remote.Remote) -> None:
    """Stops if the clips that data.dvc names are neither here nor in the remote."""
    if not DATA.exists() and not LISTED.exists():
        where = f"in remote {place.name}" if place.name else "available without a remote"
        raise InputError(
            f"the clips that data.dvc names are not {where}. The person who added clips has to "
            "`dvc push` them to the remote that this run uses; a pull request from a fork has no "
            "credentials for another than the sample remote"
        )


def seconds_since(started: float, outcomes: list[stages.Outcome]) -> dict[str, float]:
    """Returns the seconds of each stage that ran and left a record."""
    seconds = {}
    for outcome in outcomes:
        path = records.path_of(outcome.stage)
        if outcome.kind == "ran" and path.exists():
            record = records.read(path)
            if record.started >= started:
                seconds[outcome.stage] = record.seconds
    return seconds


def changes_since(base: str, place: remote.Remote) -> clips.Changes | None:
    """Returns how the clips changed since the base; None if its manifest is not available."""
    then = clips.read_at(base, place.name) if base else None
    return None if then is None else clips.compare(then, manifest.read(MANIFEST))


def artifacts() -> str:
    """Copies results worth keeping into ci-results/, and says where they are."""
    pages = (REPORT, MISTAKES, DATA_DOCS, EXPORT_PAGE)
    wanted = (*pages, METRICS, EXTRACT_METRICS, EXPORT_METRICS, LATENCY, RECOMMENDATION)
    for path in (path for path in wanted if path.exists()):
        shutil.copy(path, RESULTS / (path.name if path != REPORT else "report.html"))
    run = [os.environ.get(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    place = f"`{RESULTS}/`"
    if all(run):
        place = "[this run's artifact]({}/{}/actions/runs/{}) ".format(*run) + f"`{RESULTS}`"
    return f"The report with all plots, report.html, and Great Expectations' page are in {place}."


def publish(text: str) -> None:
    """Writes the summary where it will be read."""
    text = printable.message(text)
    files.write_text(RESULTS / "summary.md", text)
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    errors.run("ci", main)
