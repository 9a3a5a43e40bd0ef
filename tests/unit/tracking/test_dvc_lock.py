"""dvc.lock gives the key of a stage once DVC has noted its end."""

import json
import shutil
from pathlib import Path

from stemtune.core import files
from stemtune.core.records import Record
from stemtune.tracking import dvc_lock


def test_a_lock_that_dvc_is_writing_gives_no_stage_key(tmp_path: Path) -> None:
    record = Record.start("tune_lr")
    files.write_json(tmp_path / "records/tune_lr.json", record.model_dump())
    outs = {"path": "records/tune_lr.json", "md5": files.md5(tmp_path / "records/tune_lr.json")}
    entry = {"cmd": "python", "outs": [outs]}
    whole = json.dumps({"stages": {"tune_lr": entry}}, indent=1)
    for end in range(len(whole) - 2):
        (tmp_path / "dvc.lock").write_text(whole[:end])
        assert dvc_lock.key_of(record, tmp_path) == ""
    (tmp_path / "dvc.lock").write_text(whole)
    assert dvc_lock.key_of(record, tmp_path)
    shutil.rmtree(tmp_path)
    assert dvc_lock.key_of(record, tmp_path) == ""
