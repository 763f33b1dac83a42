"""Docstrings as they stand in the sources, which are plain text, made ready for Sphinx.

`name` is code; an indented block is a formula and keeps its layout; the text comes before the sections of parameters.
"""

import re


def blocks(lines):
    """The paragraphs of a docstring, each a list of lines."""
    return [block.split("\n") for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))]


def is_section(block):
    return len(block) > 1 and re.fullmatch(r"-{3,}", block[1].strip()) is not None


def plain(line):
    """Text in which no character has a meaning but `code`."""
    parts = re.split(r"`+([^`]+)`+", line)
    return "".join(f"``{part}``" if k % 2 else re.sub(r"([*|_\\])", r"\\\1", part) for k, part in enumerate(parts))


def process(app, what, name, obj, options, lines):
    prose, sections = [], []
    for block in blocks(lines):
        if is_section(block):
            sections += [*block[:2], *map(plain, block[2:]), ""]
        elif block[0].startswith("    "):
            prose += ["::", "", *block, ""]
        else:
            head = [line for line in block if not line.startswith("    ")]
            inside = block[len(head):]  # a formula right below its sentence
            prose += [*map(plain, block[:len(head)]), ""] if block[:len(head)] == head else [*map(plain, block), ""]
            if block[:len(head)] == head and inside:
                prose += ["::", "", *inside, ""]
    lines[:] = prose + sections


def setup(app):
    app.connect("autodoc-process-docstring", process, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
