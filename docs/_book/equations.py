"""Equations of the book: typeset as MathML, which browsers draw without a script, and linked to code and tests.

An equation of the package keeps its number: on a page `$$ … $$ (meta.2)` gives it that number. Wherever a page says
(meta.2), it links to the equation; below the equation are links to the lines of code and of tests that cite it.
"""

import collections
import re
from functools import cache
from pathlib import Path

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx import addnodes
from sphinx.domains.math import MathDomain
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

ROOT = Path(__file__).resolve().parent.parent.parent
NUMBER = re.compile(r"\(([a-z]\w*\.\d+)\)")
TYPESET = LatexToMathML()
logger = logging.getLogger(__name__)


class Equations(MathDomain):
    """Sphinx's own domain, except that `meta.2` as a label is also the number."""

    def note_equation(self, docname, labelid, location=None):
        super().note_equation(docname, labelid, location)
        if NUMBER.fullmatch(f"({labelid})"):
            self.equations[labelid] = (docname, labelid)


def mathml(node, display):
    try:
        return TYPESET.convert_with_local_state(node.astext(), displaystyle=display)
    except LatexError as error:
        logger.warning("no MathML for %r: %s", node.astext(), error, location=node)
        return ""


def visit_inline(self, node):
    self.body.append(f'<span class="math">{mathml(node, False)}</span>')
    raise nodes.SkipNode


def visit_block(self, node):
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(f'<div class="formula">{mathml(node, True)}</div>')
    if node.get("number"):
        self.body.append(f'<span class="eqno">({node["number"]})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


class Citations(SphinxTransform):
    """(meta.2) in a sentence becomes a link to the equation."""

    default_priority = 400

    def apply(self):
        for text in list(self.document.findall(nodes.Text)):
            if isinstance(text.parent, nodes.TextElement) and not isinstance(
                    text.parent, nodes.literal | nodes.FixedTextElement | nodes.reference | nodes.title | nodes.math):
                parts = NUMBER.split(text.astext())
                if len(parts) > 1:
                    text.parent.replace(text, [self.part(part, k % 2) for k, part in enumerate(parts)])

    def part(self, part, is_number):
        if not is_number:
            return nodes.Text(part)
        return addnodes.pending_xref("", nodes.inline(text=f"({part})"), refdomain="", reftype="equation citation",
                                     reftarget=part, refdoc=self.env.docname, refwarn=False)


def resolve(app, env, node, contnode):
    """A cited equation, where a chapter shows it; else the line of code that defines it."""
    if node.get("reftype") != "equation citation":
        return None
    label = node["reftarget"]
    if label in env.get_domain("math").equations:
        return env.get_domain("math").resolve_xref(env, node["refdoc"], app.builder, "eq", label, node, contnode)
    for path, line in places("minorml")[label]:
        uri = app.builder.get_relative_uri(node["refdoc"], source_page(path)) + f"#L-{line}"
        return nodes.reference("", f"({label})", internal=True, refuri=uri)
    return contnode


@cache
def places(folder):
    """Equation number → the first line of each file of the folder that has it. The file of its own module is first."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for label in NUMBER.findall(line):
                found.setdefault(label, {}).setdefault(path.relative_to(ROOT), number)
    return collections.defaultdict(list, {
        label: sorted(lines.items(), key=lambda at: (at[0].stem != label.split(".")[0], at[0]))
        for label, lines in found.items()})


def source_page(path):
    return f"source/{Path(path).as_posix()}"


def link_code(app, doctree, docname):
    """Below a numbered equation: where it is in the code, and the tests that cite it."""
    for block in list(doctree.findall(nodes.math_block)):
        label = block.get("label") or ""
        code = [(path, line) for path, line in places("minorml")[label] + places("envs")[label]
                if path.stem == label.split(".")[0]]
        links = []
        for path, line in code + places("tests")[label]:
            uri = app.builder.get_relative_uri(docname, source_page(path)) + f"#L-{line}"
            links += [nodes.Text(" · "), nodes.reference("", path.as_posix(), internal=True, refuri=uri)]
        if links:
            block.parent.insert(block.parent.index(block) + 1,
                                nodes.paragraph("", "", *links[1:], classes=["equation-links"]))


def setup(app):
    app.add_domain(Equations, override=True)
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.add_transform(Citations)
    app.connect("missing-reference", resolve)
    app.connect("doctree-resolved", link_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
