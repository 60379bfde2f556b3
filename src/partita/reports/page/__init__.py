"""The report as a page that plays: HTML, scripts, and audio beside it."""
