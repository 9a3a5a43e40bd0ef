"""Shows pipeline runs in MLflow, live and afterwards, each once.

In: run records and dvc.lock. Out: runs, artifacts and registered models in an MLflow store.
Read first: outbox.py, then publisher.py and runs.py.
"""

import os

# MLflow reads these when it is imported, which no module of this package does before. It reports
# usage unless told not to.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
# Or a server has it print a line for each run.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# MLflow's own patience with a server that does not answer is a quarter of an hour.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
