"""Sphinx configuration of Granary's documentation."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Granary"
author = "The Granary developers"
copyright = "2026, The Granary developers"
version = release = version_of("jupyterhub-granary")

extensions = [
    "granary_reference",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = "Granary"
html_copy_source = False
html_show_sphinx = False
