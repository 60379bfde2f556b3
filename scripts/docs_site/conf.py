"""Sphinx's configuration; its pages are those that ``pages.py`` gathers."""

from __future__ import annotations

from typing import Any

from partita import __version__

project = "partita"
author = "The partita authors"
copyright = author
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

root_doc = "index"
myst_heading_anchors = 4
#: A type that two modules have (Recipe) is no link where a docstring does not say whose it is.
#: Papers that docstrings list need not be cited in them.
suppress_warnings = ["ref.python", "ref.footnote"]
smartquotes = False  # they make a dash of --option
highlight_language = "text"

# Docstrings
default_role = "py:obj"
autodoc_typehints = "none"  # docstrings state types and shapes
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

# Everything that pages need comes from the theme's own folder, nothing from the network.
html_theme = "pydata_sphinx_theme"
html_title = "partita"
html_css_files = ["site.css"]
html_static_path = ["static"]
html_copy_source = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "logo": {"text": "partita"},
    "navbar_align": "left",
    "navbar_persistent": [],
    "navbar_end": ["search-button-field", "theme-switcher"],
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}


def setup(app: Any) -> None:
    """Keep Napoleon from properties: it takes what stands before a colon for their type."""
    kept: dict[str, list[str]] = {}

    def keep(_app: Any, what: str, name: str, _each: Any, _options: Any, lines: list[str]) -> None:
        if what == "property":
            kept[name] = list(lines)

    def restore(
        _app: Any, _what: str, name: str, _each: Any, _options: Any, lines: list[str]
    ) -> None:
        lines[:] = kept.pop(name, lines)

    app.connect("autodoc-process-docstring", keep, priority=100)
    app.connect("autodoc-process-docstring", restore, priority=900)
