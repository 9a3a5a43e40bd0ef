"""From numbers to pages and figures: the report, the page of mistakes, the page of exports.

In: predictions, metrics, stored stems. Out: report/, plots/, records/exports.html.
Reads no more than it draws.
Read first: report.py.
"""
