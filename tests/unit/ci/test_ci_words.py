"""What CI's script says of stages, clips, gates and a stale dvc.lock, without running any."""

import copy
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from bench import project
from ci import clips, commands, gates, remote, stages, summary
from ci.stages import Outcome
from stemtune.core.errors import InputError
from stemtune.core.settings.apart import AccuracyDrop, Ci
from stemtune.evaluation.advice import Cost, Recommendation
from stemtune.export.exports import Export, Exports
from stemtune.ingest.ingest_summary import Counts
from tests.support.results import COMPARED, entry


def locked(**changes: Any) -> dict[str, Any]:
    """Returns a small dvc.lock's stages; `changes` replace parts of the second stage's entry."""
    first = {
        "cmd": "python a",
        "deps": [{"path": "data", "md5": "1.dir"}, {"path": "a.py", "md5": "2"}],
        "params": {"params.yaml": {"a": {"rate": 0.1, "seeds": [1, 2]}}},
        "outs": [{"path": "frames", "md5": "3.dir"}, {"path": "models/stem/a", "md5": "4.dir"}],
    }
    second = {
        "cmd": "python b",
        "deps": [{"path": "frames", "md5": "3.dir"}, {"path": "models/stem", "md5": "5.dir"}],
        "outs": [{"path": "plots", "md5": "6.dir"}],
    }
    return {"a": first, "b": second | changes, "track": {"cmd": "python track", "deps": []}}


def test_without_git_there_is_nothing_to_compare_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match='not a git repository.*--base ""'):
        commands.commit_of("HEAD")
    assert commands.lock("HEAD") == {}
    assert not commands.patch_of_results(tmp_path / "patch")


def test_what_dvc_printed_tells_what_became_of_each_stage() -> None:
    before, after = locked(), locked(cmd="python -O b")
    after["a"]["params"] = {"params.yaml": {"a": {"rate": 0.2, "seeds": [1, 2]}}}
    printed = [
        "Running stage 'a':",
        "> python a",
        "Stage 'b' is cached - skipping run, checking out outputs",
    ]
    found = stages.outcomes(
        ["a", "b", "track"], [*printed, "Running stage 'track':"], False, before, after
    )
    assert [outcome.kind for outcome in found] == ["ran", "restored", "ran"]
    assert found[0].why == "`a.rate` `0.1` → `0.2`"
    assert found[1].why == "its command changed; DVC's run cache has that work"
    assert found[2].why == "it has no outputs and runs always"
    failed = stages.outcomes(["a", "b", "track"], printed[:1], True, before, before)
    assert [outcome.kind for outcome in failed] == ["failed", "not reached", "not reached"]
    with pytest.raises(ValueError, match="did not say what it did with stage 'b'"):
        stages.outcomes(["a", "b"], printed[:1], False, before, after)


def test_a_lock_is_stale_by_code_settings_and_data_but_not_by_the_bits_of_outputs() -> None:
    names = list(locked())
    assert stages.stale(names, locked(), locked(), {"track": ["always changed"]}) == {}
    # A fresh checkout without outputs, and another machine's weights.
    absent = {
        "b": [{"changed deps": {"frames": "deleted"}}, {"changed outs": {"plots": "not in cache"}}]
    }
    assert stages.stale(names, locked(), locked(), absent) == {}
    other = locked(
        deps=[{"path": "frames", "md5": "x.dir"}, {"path": "models/stem", "md5": "y.dir"}]
    )
    assert stages.stale(names, locked(), other, {}) == {}

    changed = {"a": [{"changed deps": {"a.py": "modified", "params.yaml": {"a.rate": "modified"}}}]}
    assert stages.stale(names, locked(), locked(), changed) == {
        "a": "`a.py` changed, `a.rate` changed"
    }
    assert stages.stale([*names, "c"], locked(), locked(), {}) == {"c": "dvc.lock lacks it"}
    assert stages.stale(["a", "b"], locked(), locked(), {}) == {"track": "dvc.yaml lacks it"}
    half = locked(deps=[{"path": "frames", "md5": "old.dir"}])
    assert stages.stale(names, half, half, {}) == {"b": "`frames` is not what its own stage wrote"}
    # The one here has run already; git's has not.
    newer = locked()
    newer["a"]["deps"][0]["md5"] = "new.dir"
    assert stages.stale(names, locked(), newer, {}) == {"a": "`data` changed"}


def manifest_of(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Returns a manifest of clips, each with its content's name and why it is left out."""
    return pd.DataFrame(
        [
            {
                "clip": clip,
                "class": clip.split("/")[0],
                "sha256": content,
                "shard": content,
                "quarantined": why,
            }
            for clip, content, why in rows
        ]
    )


def test_clips_are_told_apart_by_name_and_content() -> None:
    base = manifest_of(
        ("a/1", "one", ""),
        ("a/2", "two", ""),
        ("a/3", "three", ""),
        ("a/4", "four", ""),
        ("b/5", "five", "is damaged"),
    )
    now = manifest_of(
        ("a/1", "other", ""),
        ("b/2", "two", ""),
        ("a/33", "three", ""),
        ("b/5", "five", "is damaged"),
        ("b/6", "six", "is dark"),
    )
    found = clips.compare(base, now)
    assert found.added == ["a/1", "b/6"]
    assert found.removed == ["a/1", "a/4"]
    assert found.relabelled == [("a/2", "b/2")]
    assert found.renamed == [("a/3", "a/33")]
    assert found.quarantined == [("b/6", "is dark")]
    assert found.decoded == ["a/1"]


def test_a_clip_in_another_folder_of_its_class_is_no_other_class() -> None:
    base, now = manifest_of(("train/a/1", "one", "")), manifest_of(("test/a/1", "one", ""))
    found = clips.compare(base.assign(**{"class": "a"}), now.assign(**{"class": "a"}))
    assert found.renamed == [("train/a/1", "test/a/1")]
    assert found.relabelled == []


def limits(
    drop: float | None,
    gap: float | None,
    quarantined: int | None,
    export: float | None = None,
    price: float | None = None,
) -> Ci:
    every = AccuracyDrop(
        baseline=drop,
        resize=drop,
        retrained=drop,
        stem=drop,
    )
    return Ci(
        max_accuracy_drop=every,
        max_stem_gap=gap,
        max_export_drop=export,
        max_price_rise=price,
        max_quarantined=quarantined,
    )


def exported(**accuracies: float) -> Exports:
    """Returns exports of a classifier that is right in nine of ten frames."""
    made = {
        name: Export(
            model="baseline",
            precision="int8",
            side=224,
            bytes=4_000_000,
            test_accuracy=accuracy,
            test_accuracy_low=accuracy,
            test_accuracy_high=accuracy,
            keras_accuracy=0.9,
            difference=accuracy - 0.9,
            difference_low=accuracy - 0.9,
            difference_high=accuracy - 0.9,
            agreement=accuracy,
        )
        for name, accuracy in accuracies.items()
    }
    return Exports(exports=made)


def test_a_file_for_devices_that_loses_too_much_is_refused() -> None:
    files = exported(good=0.88, better=0.91, bad=0.87)
    only_exports = limits(None, None, None, export=0.02)
    found = gates.check(only_exports, COMPARED, None, 0, files, None, None)
    told = {gate.name.split()[3]: (gate.found, gate.allowed, gate.holds) for gate in found}
    assert told == {
        "good": ("2.00 points", "2 points", True),
        "better": ("none", "2 points", True),
        "bad": ("3.00 points", "2 points", False),
    }


def test_gates_hold_up_to_their_limit_and_say_by_how_much_not() -> None:
    base = COMPARED.model_copy(update={"stem": {"as_published": entry(0.53, 528, 0.3, 224)}})
    found = gates.check(limits(0.03, 0.15, 2), COMPARED, base, 3, exported(), None, None)
    by_name = {gate.name: gate for gate in found}
    assert by_name["drop of test accuracy, baseline"].holds
    assert by_name["drop of test accuracy, stem, as_published"].holds
    assert by_name["drop of test accuracy, stem, as_published"].found == "3.00 points"
    assert by_name["drop of test accuracy, stem, warm_start"].holds is None
    assert by_name["the best stem's test accuracy below the baseline's"].holds
    assert by_name["clips in quarantine"].holds is False
    strict = gates.check(limits(0.02, 0.1, 3), COMPARED, base, 3, exported(), None, None)
    assert [gate.name for gate in strict if gate.holds is False] == [
        "drop of test accuracy, stem, as_published",
        "the best stem's test accuracy below the baseline's",
    ]
    none = limits(None, None, None)
    assert gates.check(none, COMPARED, base, 3, exported(bad=0.1), None, None) == []


def advised(share: float, verdict: Literal["confirmed", "not confirmed"]) -> Recommendation:
    """Returns a recommendation of a candidate that costs a share of the full-size model."""
    return Recommendation(
        candidate="small",
        verdict=verdict,
        reference="full",
        contender="small",
        cost=Cost(milliseconds=10 * share, worst_milliseconds=20, share=share),
        reference_cost=Cost(milliseconds=10, worst_milliseconds=10, share=1),
        front=["small"],
        max_loss=0.05,
        min_groups=20,
        warnings=[],
    )


def test_a_recommended_candidate_that_costs_much_more_is_refused() -> None:
    def judged(now: Recommendation | None, then: Recommendation | None) -> gates.Gate:
        only = limits(None, None, None, price=0.1)
        [gate] = gates.check(only, COMPARED, None, 0, exported(), now, then)
        return gate

    cheap, dearer = advised(0.2, "confirmed"), advised(0.3, "confirmed")
    assert judged(dearer, cheap).holds
    assert judged(cheap, dearer).found == "none"
    # The full-size model has to be kept, at its whole price.
    lost = judged(advised(0.2, "not confirmed"), cheap)
    assert (lost.found, lost.allowed, lost.holds) == ("80.00 points", "10 points", False)
    assert judged(cheap, None).holds is None


def story(**changes: Any) -> summary.Story:
    intake = Counts(clips=40, frames_per_split={"train": 100, "test": 60}, groups=20, quarantined=1)
    parts: dict[str, Any] = {
        "base": "`main`, commit 0123456789",
        "remote": "Outputs are shared through `s3://team/dvc`.",
        "outcomes": [Outcome("extract_frames", "ran", "`data` changed")],
        "seconds": {"extract_frames": 12.4},
        "printed": [],
        "now": COMPARED,
        "then": COMPARED.model_copy(update={"baseline": entry(0.95, 1000, 0.8, 224)}),
        "intake": intake,
        "intake_then": intake.model_copy(update={"clips": 38}),
        "changes": clips.Changes(added=["a|b/<i>`c`.mp4"], quarantined=[("b/1", "is dark")]),
        "recommendation": "Use joint_int8 on 1 frame.",
        "gates": [],
        "stale": {},
        "must_be_fresh": False,
        "patch": "",
        "artifacts": "",
    }
    return summary.Story(**(parts | changes))


def test_the_summary_has_numbers_bounds_and_names_that_break_no_markdown() -> None:
    text = summary.render(story())
    assert "## stemtune: ✓ passed" in text
    told = text.replace("\N{NO-BREAK SPACE}", " ")
    assert "| extract_frames | ▶ ran 12 s | `data` changed |" in told
    assert "95.00% (85.0 to 100.0)" in text
    assert "| -5.00" in text
    assert "- newly quarantined: 1 (`b/1: is dark`)" in text
    page = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    assert "added: 1 (<code>a|b/&lt;i&gt;`c`.mp4</code>)" in page
    many = clips.Changes(added=[f"a/{number}" for number in range(5000)])
    assert len(summary.render(story(changes=many))) < 6000


def test_nothing_that_others_wrote_becomes_markdown_of_the_summary() -> None:
    """Names of clips, settings, the base's name, a remote's address, and a stage's last words."""
    evil = "`` | ![x](http://evil/p.png) <img src=x> ``"
    before, after = locked(), locked()
    after["a"]["params"] = {"params.yaml": {"a": {"rate": evil, "seeds": [1, 2]}}}
    after["a"]["deps"].append({"path": f"data/{evil}", "md5": "7"})
    outcomes = stages.outcomes(["a"], ["Running stage 'a':"], False, before, after)
    told = story(
        outcomes=outcomes,
        stale={"a": stages.stale(["a", "b", "track"], before, after, {})["a"]},
        changes=clips.Changes(added=[evil], quarantined=[(evil, evil)], renamed=[(evil, evil)]),
        printed=["```", f"</code>{evil}", "\x1b[2J"],
    )
    text = summary.render(told)
    page = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    assert "<img" not in page
    assert page.count("http://evil/p.png") == 10
    rows = page.split("<h3>Stages</h3>")[1].split("</table>")[0]
    assert rows.count("<td") == 3
    assert "\x1b" not in text


def test_a_folder_that_a_remote_keeps_versions_of_has_the_hash_that_it_has_otherwise() -> None:
    """DVC lists its files in dvc.lock then, with their versions, in place of the hash."""
    entries = [
        {"relpath": "b/1", "md5": "46bc882b88120fd4dc12076ba56c7dd4", "size": 3, "cloud": {"a": 1}},
        {"relpath": "a/1", "md5": "32a390517fcc6e43df5fc5f2c94699e1"},
    ]
    # As `dvc add` writes it.
    md5 = "2ed0afd234304c5505aca11489db3a4e.dir"
    plain = locked()
    plain["a"]["deps"][0]["md5"] = plain["a"]["outs"][0]["md5"] = md5
    plain["b"]["deps"][0]["md5"] = md5
    versioned = copy.deepcopy(plain)
    parts = [*versioned["a"]["deps"][:1], *versioned["a"]["outs"][:1], *versioned["b"]["deps"][:1]]
    for part in parts:
        del part["md5"]
        part["files"] = entries
    assert stages.stale(list(plain), plain, versioned, {}) == {}
    assert stages.stale(list(plain), versioned, plain, {}) == {}
    versioned["a"]["deps"][0]["files"] = entries[:1]
    assert stages.stale(list(plain), plain, versioned, {}) == {"a": "`data` changed"}
    del versioned["a"]["deps"][0]["files"]
    with pytest.raises(InputError, match=r"no MD5 of data, but path"):
        stages.stale(list(plain), plain, versioned, {})


def test_what_is_shared_through_which_remote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.prepare(tmp_path)
    config = tmp_path / ".dvc/config"
    config.write_text(config.read_text() + f"['remote \"team\"']\n    url = {tmp_path}/team\n")
    monkeypatch.chdir(tmp_path)
    assert remote.choose("team", may_push=True).shared
    read = remote.choose("team", may_push=False)
    assert (read.name, read.shared) == ("team", False)
    assert "runs of the main branch alone share theirs" in read.said
    # An address may hold a password, which neither the summary nor an argument shows.
    given = remote.choose("http://alice:s3cret@127.0.0.1/dvc", may_push=True)
    assert given.said == "Outputs are shared through `http://***@127.0.0.1/dvc`."
    address = "url = http://alice:s3cret@127.0.0.1/dvc"
    assert address in (tmp_path / ".dvc/config.local").read_text()
    config.write_text(config.read_text() + "    version_aware = true\n")
    versions = remote.choose("team", may_push=True)
    assert (versions.name, versions.shared) == ("team", False)
    assert "that remote is version_aware" in versions.said


@pytest.mark.parametrize("revision", ["--help", "-", "--output=x", "no such"])
def test_what_is_no_revision_is_no_option_of_git_s(
    revision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run(tmp_path, "git", "init", "--quiet")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="git knows no revision '"):
        commands.commit_of(revision)


def test_the_summary_says_why_it_failed() -> None:
    bad = gates.Gate("clips in quarantine", "3", "2", False)
    told = story(gates=[bad], stale={"evaluate": "`x.py` changed"}, must_be_fresh=True)
    text = summary.render(told)
    assert "## stemtune: ✗ failed" in text
    assert "- clips in quarantine: 3, allowed 2" in text
    assert "- dvc.lock is stale: `evaluate`" in text
    assert "- `evaluate`: `x.py` changed" in text
    # On a branch a stale lock is told, and fails nothing.
    assert story(stale={"evaluate": "x"}).failures == []
