"""One file per stage of dvc.yaml, named after it."""
