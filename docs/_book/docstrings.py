"""Docstrings as they stand in the sources, which are plain text, made ready for Sphinx.

`name` is code; an indented block is a formula and keeps its layout; each section ("Parameters" above dashes) is a list
of its entries, `name : what it is`, and comes after the text.
"""

import re


def plain(line):
    """Text in which no character has a meaning but `code`."""
    parts = re.split(r"`+([^`]+)`+", line)
    return "".join(f"``{part}``" if k % 2 else re.sub(r"([*|_\\])", r"\\\1", part) for k, part in enumerate(parts))


def is_section(block):
    return len(block) > 1 and set(block[1].strip()) == {"-"}


def section(title, entries):
    """Parameters → a field with a list."""
    yield f":{title}:"
    for line in entries:
        if line.startswith(" "):
            yield "      " + plain(line.strip())
        else:
            name, colon, what = line.partition(" : ")
            yield f"    * **{plain(name)}**{colon}{plain(what)}" if colon else f"    * {plain(line)}"
    yield ""


def paragraph(lines):
    """Sentences, and the formulas below them."""
    for k, line in enumerate(lines):
        formula = line.startswith("    ")
        if formula and (k == 0 or not lines[k - 1].startswith("    ")):
            yield from ["", "::", ""]
        elif not formula and k and lines[k - 1].startswith("    "):
            yield ""
        yield line if formula else plain(line)
    yield ""


def process(app, what, name, obj, options, lines):
    blocks = [block.split("\n") for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))]
    text = [line for block in blocks if not is_section(block) for line in paragraph(block)]
    lists = [line for block in blocks if is_section(block) for line in section(block[0].strip(), block[2:])]
    lines[:] = text + lists


def setup(app):
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
