"""Where the pipeline's inputs and outputs lie, relative to the project; dvc.yaml names the same."""

from pathlib import Path

DATA = Path("data")
FRAMES = Path("frames")
MANIFEST = Path("manifest.parquet")
DATA_DOCS = Path("records/data_docs.html")
EXTRACT_METRICS = Path("metrics/extract_frames.json")
EMBEDDINGS = Path("embeddings")
RESIZED = Path("embeddings_resized")
TRIALS = Path("tuning/trials.csv")
BEST = Path("tuning/best.json")
BASELINE = Path("models/baseline")
STEMS = Path("models/stem")
METRICS = Path("metrics/evaluate.json")
PLOTS = Path("plots")
REPORT = Path("report/index.html")
TIMINGS = Path("metrics/timings.json")
# No outputs: the state of an extraction, and of a search, that was cut off.
UNFINISHED_EXTRACTION = Path(".extraction.jsonl")
UNFINISHED_SEARCH = Path(".search")
# No output either: what MLflow has not been told yet.
TRACKING = Path(".tracking")
