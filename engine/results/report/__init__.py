"""A run as one page that needs nothing else: no network, no libraries."""

from engine.results.report.page import write_report

__all__ = ["write_report"]
