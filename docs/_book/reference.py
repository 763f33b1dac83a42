"""Directives of the reference chapter: what they show is read off the program when the book is built."""

import dataclasses
import os

from docutils import nodes
from docutils.parsers.rst import Directive

from minorml.__main__ import parser
from minorml.rl.config import Config
from rooms import drawing


class Commands(Directive):
    """`minorml VERB --help`, each verb a section."""

    def run(self):
        os.environ["COLUMNS"] = "90"  # what fits on the page; argparse reads it
        program = parser()
        verbs = next(action for action in program._actions if action.choices)
        sections = []
        for verb, command in verbs.choices.items():
            section = nodes.section("", nodes.title("", verb), nodes.literal_block("", command.format_help()),
                                    ids=[f"minorml-{verb}"], names=[f"minorml {verb}"])
            self.state.document.note_explicit_target(section)
            sections.append(section)
        return sections


class Configuration(Directive):
    """Each field of Config: type, default, and its explanation."""

    def run(self):
        fields = nodes.definition_list()
        for f in dataclasses.fields(Config):
            kind = f.type.__name__ if isinstance(f.type, type) else str(f.type)
            default = [nodes.Text("required")] if f.default is dataclasses.MISSING else [
                nodes.Text("default "), nodes.literal("", repr(f.default))]
            expected = f.metadata["check"]
            doc = f.metadata["doc"] + (f" (expected: {expected[1]})" if expected else "")
            item = nodes.definition_list_item(
                "", nodes.term("", "", nodes.literal("", f.name), ids=[f"field-{f.name}"]),
                nodes.classifier("", "", nodes.literal("", kind)), nodes.classifier("", "", *default),
                nodes.definition("", nodes.paragraph("", doc + ".")))
            item.line = self.lineno
            fields += item
        return [fields]


class Rooms(Directive):
    def run(self):
        return [nodes.raw("", drawing(), format="html")]


def setup(app):
    app.add_directive("commands", Commands)
    app.add_directive("configuration", Configuration)
    app.add_directive("rooms", Rooms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
