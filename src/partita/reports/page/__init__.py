"""The report as a page that plays: HTML, scripts, and audio beside it."""

from partita.reports.page.write import write_page

__all__ = ["write_page"]
