"""report: recommends a candidate, and draws the figures and the pages: report, mistakes, exports.

After an edit of a page or a figure it reruns alone.

Reads:  predictions/, predictions_exported/, exports/*.cascade.json, metrics/evaluate.json,
        metrics/export.json, metrics/latency.json, tuning/, models/baseline/, models/stem/, frames/,
        manifest.parquet, params.yaml
Writes: plots/, report/, records/exports.html, metrics/recommendation.json, records/report.json
Run:    python -m stemtune.run report
"""

from stemtune.core import params
from stemtune.core.paths import EXPORT_PAGE, MISTAKES, RECOMMENDATION, REPORT
from stemtune.core.records import Record
from stemtune.networks import reproducibility


def main(record: Record) -> list[str]:
    """Writes all figures and pages."""
    settings = params.load()
    reproducibility.configure(settings.runtime)
    from stemtune.report import report

    with record.timed({}):
        report.write(settings)
        pages = (REPORT, MISTAKES, EXPORT_PAGE)
        record.artifacts = [*map(str, pages), str(RECOMMENDATION)]
        return [", ".join(map(str, pages))]
