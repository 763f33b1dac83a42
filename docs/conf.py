"""The book: `make docs` builds it from docs/, results/ and the docstrings, and reads the code from the sources."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "docs" / "_book"), str(ROOT)]

import minorml  # noqa: E402  the path is set above

project = "minorml"
author = "the minorml authors"
copyright = author
version = release = minorml.__version__

# The source folder is the repository (`sphinx-build -c docs . docs/_build/html`): links between pages are those of the
# files, so that the same pages read well where the repository is browsed.
root_doc = "docs/index"
include_patterns = ["docs/**.md", "docs/gallery/**.rst", "results/**.md", "benchmarks/RESULTS.md", "CHANGELOG.md",
                    "CONTRIBUTING.md"]
exclude_patterns = [".*", "**/.*", "runs", "build", "minorml", "envs", "tests", "docs/_*", "**/__pycache__"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "equations",     # docs/_book: MathML, and equation numbers that link page, code and tests
    "source_pages",  # docs/_book: a page for each source file
    "docstrings",    # docs/_book: our docstrings are plain text
    "reference",     # docs/_book: tables of the reference chapter, and the drawing of the rooms
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence", "attrs_inline", "attrs_block"]
myst_heading_anchors = 3
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types in signatures, most of them NumPy's, have no page here
autodoc_member_order = "bysource"
autodoc_typehints = "signature"

# Examples run when the book is built, and become pages with their pictures, scripts and notebooks.
sphinx_gallery_conf = {
    "examples_dirs": "docs/examples/gallery",
    "gallery_dirs": "docs/gallery",
    "filename_pattern": "",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "abort_on_example_error": True,
    "show_signature": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
}

html_theme = "furo"
html_title = f"minorml {release}"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_additional_pages = {"index": "start.html"}
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = False  # a browser may not fetch other pages where they are files
templates_path = ["_templates"]
pygments_style = "friendly"
pygments_dark_style = "monokai"
html_math_renderer = "mathml"
highlight_language = "none"
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
