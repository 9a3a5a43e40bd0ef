"""The summary of a CI run in Markdown, for a job's page and for a comment alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from ci.clips import Changes
from ci.gates import Gate
from ci.stages import LACKING, Outcome
from stemtune.core import markdown
from stemtune.core.markdown import code
from stemtune.evaluation import comparison
from stemtune.evaluation.comparison import Comparison, Row
from stemtune.ingest import words
from stemtune.ingest.ingest_summary import Counts

# Clips named one by one; a comment on GitHub may have 65,536 characters.
NAMED = 20
# Characters from 0 to 100% in the plot.
WIDTH = 50
# Keeps a number and its unit in one line.
UNBROKEN = "\N{NO-BREAK SPACE}"
KINDS = {
    "ran": "▶\N{NO-BREAK SPACE}ran",
    "restored": "↺ from the run cache",
    "unchanged": "✓ up to date",
    "failed": "✗ **failed**",
    "not reached": "· not reached",
}


@dataclass(frozen=True)
class Story:
    """What a CI run found.

    Attributes:
        base: What it is compared with, in words; "" for nothing.
        remote: Which remote it used, in words.
        outcomes: What became of each stage.
        seconds: How long the stages took that ran, by name.
        printed: The last lines of a pipeline run that failed; none for one that did not.
        now: Content of metrics/evaluate.json; None when the run failed before it.
        then: The same at the base; None if it has none.
        intake: Content of metrics/extract_frames.json; None when the run failed before it.
        intake_then: The same at the base; None if it has none.
        changes: Of clips; None if the base's manifest is not available.
        recommendation: In words; "" if the run failed before it.
        gates: Judged.
        stale: Which stages of the committed dvc.lock are stale, with the reason.
        must_be_fresh: Whether stale ones fail the run.
        patch: Name of the patch that brings dvc.lock up to date; "" for none.
        artifacts: Where the report and the patch are, in words.
    """

    base: str
    remote: str
    outcomes: Sequence[Outcome]
    seconds: Mapping[str, float]
    printed: Sequence[str]
    now: Comparison | None
    then: Comparison | None
    intake: Counts | None
    intake_then: Counts | None
    changes: Changes | None
    recommendation: str
    gates: Sequence[Gate]
    stale: Mapping[str, str]
    must_be_fresh: bool
    patch: str
    artifacts: str

    @property
    def failures(self) -> list[str]:
        """Why the run fails, in words; none when it passes."""
        failed = [outcome.stage for outcome in self.outcomes if outcome.kind == "failed"]
        found = [f"stage {code(stage)} failed" for stage in failed]
        if self.printed and not failed:
            found.append("`dvc repro` failed")
        found += [
            f"{gate.name}: {gate.found}, allowed {gate.allowed}"
            for gate in self.gates
            if gate.holds is False
        ]
        if self.must_be_fresh and self.stale:
            found.append("dvc.lock is stale: " + ", ".join(map(code, self.stale)))
        return found


def render(story: Story) -> str:
    """Returns the summary."""
    advised = f"> {story.recommendation}" if story.recommendation else ""
    parts = [_verdict(story), advised, _gates(story.gates), _stages(story), _freshness(story)]
    if story.printed:
        parts.append(_block(story.printed))
    parts += [_clips(story), _comparison(story), story.artifacts]
    return "\n\n".join(part for part in parts if part) + "\n"


def broken(error: str) -> str:
    """Returns what stands for the summary of a run that could not be made."""
    return f"## stemtune: ✗ failed\n\n{_block(error.splitlines())}\n"


def _block(lines: Sequence[str]) -> str:
    return markdown.fenced("\n".join(lines), "text")


def _verdict(story: Story) -> str:
    failures = story.failures
    lines = [f"## stemtune: {'✗ failed' if failures else '✓ passed'}"]
    if failures:
        lines.append("\n".join(f"- {failure}" for failure in failures))
    against = f"Compared with {story.base}. " if story.base else "Compared with nothing. "
    return "\n\n".join([*lines, against + story.remote])


def _gates(gates: Sequence[Gate]) -> str:
    words = {True: "✓", False: "✗ **failed**", None: "· not judged"}
    rows = [
        {
            "gate": gate.name,
            "found": gate.found,
            "allowed": gate.allowed,
            "verdict": words[gate.holds],
        }
        for gate in gates
    ]
    return f"### Gates\n\n{_table(rows)}" if rows else ""


def _stages(story: Story) -> str:
    rows = [
        {
            "stage": outcome.stage,
            "what": KINDS[outcome.kind]
            + (
                f"{UNBROKEN}{story.seconds[outcome.stage]:.0f}{UNBROKEN}s"
                if outcome.stage in story.seconds
                else ""
            ),
            "why": outcome.why,
        }
        for outcome in story.outcomes
    ]
    return f"### Stages\n\n{_table(rows)}"


def _freshness(story: Story) -> str:
    if not story.stale:
        return "dvc.lock is what `dvc repro` writes."
    lines = ["The committed dvc.lock is not what `dvc repro` writes:", ""]
    if set(story.stale.values()) == {LACKING} and len(story.stale) == len(story.outcomes):
        lines.append("- it has no stage at all, or is not in git")
    else:
        lines += [f"- {code(stage)}: {why}" for stage, why in story.stale.items()]
    lines += ["", "To fix it, run `dvc repro` and `dvc push`, and commit dvc.lock and metrics/"]
    if story.patch:
        lines[-1] += f"; or take this run's results: `git apply {story.patch}`"
    return "\n".join(lines) + "."


def _clips(story: Story) -> str:
    if story.intake is None:
        return ""
    rows = [
        {"": name, "base": _count(story.intake_then, name), "now": _count(story.intake, name)}
        for name in ("clips", "frames", "quarantined")
    ]
    lines = [f"### Clips\n\n{_table(rows)}\n"]
    if story.changes is None:
        if story.base:
            lines.append("Which clips changed is not known: the base's manifest is not available.")
        return "\n".join(lines).rstrip()
    changes = story.changes
    lines += [
        _names("added", changes.added),
        _names("removed", changes.removed),
        _names("relabelled", [f"{then} → {now}" for then, now in changes.relabelled]),
        _names("renamed", [f"{then} → {now}" for then, now in changes.renamed]),
        _names("newly quarantined", [f"{clip}: {why}" for clip, why in changes.quarantined]),
        _names("frames not in the base", changes.decoded),
    ]
    return "\n".join(lines)


def _names(what: str, names: Sequence[str]) -> str:
    shown = words.some([code(name) for name in names], named=NAMED)
    return f"- {what}: {len(names)}" + (f" ({shown})" if names else "")


def _comparison(story: Story) -> str:
    if story.now is None:
        return ""
    then = {row.name: row for row in comparison.rows(story.then)} if story.then else {}
    rows, bars = [], []
    for row in comparison.rows(story.now):
        before = then.get(row.name)
        rows.append(
            {
                "model": row.model,
                "base": _accuracy(before) if before else "",
                "now": _accuracy(row),
                "difference": _points(row.test_accuracy - before.test_accuracy)
                if before
                else "new" * bool(then),
                "clips, now": f"{row.clip_accuracy:.2%}",
            }
        )
        bars.append((row.model, before, row))
    gone = sorted(then.keys() - {row.name for row in comparison.rows(story.now)})
    removed = f"\n\nNo longer there: {', '.join(map(code, gone))}." if gone else ""
    return (
        "### Test accuracy\n\nOf frames, with 95% confidence intervals over groups.\n\n"
        f"{_table(rows)}{removed}\n\n{_block(_plot(bars))}"
    )


def _plot(bars: Sequence[tuple[str, Row | None, Row]]) -> list[str]:
    """Returns a line per model and revision: accuracy, ● now and ○ at the base, and its bounds."""
    wide = max(len(model) for model, *_ in bars)
    axis = "".join(f"{share:<{WIDTH // 4}}" for share in ("0%", "25%", "50%", "75%")) + "100%"
    lines = [" " * (wide + 7) + axis]
    for model, then, now in bars:
        if then:
            lines.append(f"{model:<{wide}}  base {_bar(then, '○')}".rstrip())
            lines.append(f"{'':<{wide}}  now  {_bar(now, '●')}".rstrip())
        else:
            lines.append(f"{model:<{wide}}  now  {_bar(now, '●')}".rstrip())
    return lines


def _bar(entry: Row, mark: str) -> str:
    low, at, high = (
        round(share * WIDTH)
        for share in (entry.test_accuracy_low, entry.test_accuracy, entry.test_accuracy_high)
    )
    cells = [" "] * (WIDTH + 1)
    cells[low : high + 1] = "├" + "─" * (high - low - 1) + "┤" if high > low else "│"
    cells[at] = mark
    return "".join(cells)


def _accuracy(row: Row) -> str:
    low, high = row.test_accuracy_low, row.test_accuracy_high
    return f"{row.test_accuracy:.2%} ({100 * low:.1f} to {100 * high:.1f})"


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}" if abs(difference) >= 5e-5 else "0"


def _count(counts: Counts | None, name: str) -> str:
    return str(getattr(counts, name)) if counts else ""


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    return tabulate(
        [{key: str(value).replace("|", "\\|") for key, value in row.items()} for row in rows],
        headers="keys",
        tablefmt="github",
        disable_numparse=True,
    )
