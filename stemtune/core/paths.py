"""Where the pipeline's inputs and outputs lie, relative to the project; dvc.yaml names the same."""

from pathlib import Path

DATA = Path("data")
# A link to data.dvc, on which a stage can depend, where clips stay in a DVC remote. DVC refuses
# data.dvc itself.
LISTED = Path("data.list")
# Checksums of clips that were fetched from there; an output if there is such a link.
FETCHED = Path("fetched.txt")
FRAMES = Path("frames")
MANIFEST = Path("manifest.parquet")
DATA_DOCS = Path("records/data_docs.html")
EXTRACT_METRICS = Path("metrics/extract_frames.json")
EMBEDDINGS = Path("embeddings")
AUGMENTED = Path("embeddings_augmented")
TRIALS = Path("tuning/trials.csv")
BEST = Path("tuning/best.json")
BASELINE = Path("models/baseline")
STEMS = Path("models/stem")
# In the folder of a trained model: a row per epoch.
HISTORY_FILE = "history.csv"
# A folder for each side of frames, with the head that train_resized trained on such frames.
RETRAINED = Path("models/retrained")
METRICS = Path("metrics/evaluate.json")
PREDICTIONS = Path("predictions")
# The same of int8 files, which answer otherwise than the models that they are made of.
EXPORTED = Path("predictions_exported")
PLOTS = Path("plots")
EXPORTS = Path("exports")
REPORT = Path("report/index.html")
MISTAKES = Path("report/mistakes.html")
EXPORT_METRICS = Path("metrics/export.json")
# Times are measured once, then cached; no file that is the same each time may depend on them.
LATENCY = Path("metrics/latency.json")
# Among the records, as it shows times.
EXPORT_PAGE = Path("records/exports.html")
RECOMMENDATION = Path("metrics/recommendation.json")
TIMINGS = Path("metrics/timings.json")
# DVC's own: what each stage made of what.
LOCK = Path("dvc.lock")
# No output: checksums of clips. Those that did not change are not read again.
CHECKSUMS = Path(".extraction/checksums.json")
# No output: the state of a search that was cut off.
UNFINISHED_SEARCH = Path(".search")
# No output either: what MLflow has not been told yet.
TRACKING = Path(".tracking")
