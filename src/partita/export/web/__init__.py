"""A page that separates songs in the browser: a static folder, without a server that computes."""

from partita.export.web.folder import WebPage, export_page

__all__ = ["WebPage", "export_page"]
