"""A page for each source file, so that a link of a page to a file of the repository stays inside the book.

The files are read when the book is built. An equation number in a comment or docstring links to the equation.
"""

import html
import os
from functools import cache
from pathlib import Path

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

from equations import NUMBER, ROOT, source_page

FOLDERS = "minorml", "envs", "tests", "benchmarks", "docs/examples"
FILES = "Makefile", "setup.cfg"


@cache
def files():
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path.relative_to(ROOT) for path in found + [ROOT / name for name in FILES]]


class RepositoryLinks(SphinxTransform):
    """A link to a source file is one to its page (Sphinx would offer the file for download)."""

    default_priority = 300

    def apply(self):
        for node in list(self.document.findall(addnodes.download_reference)):
            here = Path(self.env.docname).parent
            path = Path(os.path.normpath(here / node["reftarget"]))
            if path in files():
                uri = self.app.builder.get_relative_uri(self.env.docname, source_page(path))
                node.replace_self(nodes.reference("", "", *node.children, internal=True, refuri=uri))


def pages(app):
    equations = app.env.get_domain("math").equations
    for path in files():
        name = source_page(path)

        def linked(found, name=name):
            if found[1] not in equations:
                return found[0]
            docname, _ = equations[found[1]]
            anchor = "equation-" + nodes.make_id(found[1])
            return f'<a href="{app.builder.get_relative_uri(name, docname)}#{anchor}">{found[0]}</a>'

        code = (ROOT / path).read_text(encoding="utf-8")
        markup = highlight(code, get_lexer_for_filename(path.name),
                           HtmlFormatter(linenos="inline", lineanchors="L", wrapcode=True))
        title = html.escape(path.as_posix())
        body = f'<h1>{title}</h1>\n<div class="source-page">{NUMBER.sub(linked, markup)}</div>'
        yield name, {"title": title, "body": body, "display_toc": False}, "page.html"


def setup(app):
    app.add_transform(RepositoryLinks)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
