"""How `make docs` builds these pages: Sphinx, with Markdown by MyST and the theme furo, which ask no other host."""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for `generated`, which stands beside this file

project = "Peekproof"
release = metadata.version("peekproof")
language = "en"
extensions = ["myst_parser", "generated"]
exclude_patterns = ["images"]
nitpicky = True  # with `-W`, every link that leads nowhere ends the build

myst_heading_anchors = 4  # `#as-github-makes-them`, so that links work there too
html_theme = "furo"
html_title = f"Peekproof {release}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
