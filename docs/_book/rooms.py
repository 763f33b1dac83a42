"""A drawing of the rooms of minorml/ as SVG, from the imports in the sources."""

import ast
from html import escape
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent.parent / "minorml"
TOP = "the mathematics"
WIDTH, HEIGHT, GAP, FLOOR = 170, 52, 24, 104


def room(module):
    """rl.adam → rl; meta → the mathematics; the command line's __main__ belongs to commands."""
    head, _, rest = module.partition(".")
    return "commands" if head == "__main__" else head if rest or (PACKAGE / head).is_dir() else TOP


def imports(path):
    """The modules of minorml that a file imports, as rl.adam."""
    package = path.relative_to(PACKAGE.parent).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[1:len(package) - node.level + 1], *(node.module or "").split(".")]
            base = [part for part in base if part]
            yield from [".".join(base)] if base else [alias.name for alias in node.names]


def uses():
    """Room → the rooms that it imports from."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if module != "__init__":
            here = room(module)
            found.setdefault(here, set()).update(room(name) for name in imports(path) if not name.startswith("__"))
    return {here: there - {here} for here, there in found.items()}


def reached(graph, start):
    """All rooms that can be reached from one."""
    found, todo = set(), list(graph[start])
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += graph[one]
    return found


def floors(graph):
    """Room → its floor: one above the highest room that it uses."""
    height = {}
    while len(height) < len(graph):
        ready = [one for one in graph if one not in height and graph[one] <= height.keys()]
        if not ready:
            raise ValueError(f"rooms import each other in a circle: {sorted(graph.keys() - height.keys())}")
        height |= {one: 1 + max((height[low] for low in graph[one]), default=-1) for one in ready}
    return height


def drawing():
    graph = uses()
    floor = floors(graph)
    rows = [[one for one in sorted(graph) if floor[one] == k] for k in range(max(floor.values()) + 1)]
    widest = max(map(len, rows))
    width, height = widest * (WIDTH + GAP), len(rows) * FLOOR
    place = {one: ((k + (widest - len(row)) / 2 + 0.5) * (WIDTH + GAP), height - (floor[one] + 0.5) * FLOOR)
             for row in rows for k, one in enumerate(row)}
    shapes = []
    for one, (x, y) in place.items():
        for other in sorted(graph[one] - set().union(*(reached(graph, low) for low in graph[one]))):
            to_x, to_y = place[other]
            shapes.append(f'<line x1="{x}" y1="{y + HEIGHT / 2}" x2="{to_x}" y2="{to_y - HEIGHT / 2 - 7}" '
                          'marker-end="url(#head)"/>')
        label = one if one == TOP else one + "/"
        count = sum(1 for path in PACKAGE.rglob("*.py") if path.stem != "__init__"
                    and room(".".join(path.relative_to(PACKAGE).with_suffix("").parts)) == one)
        shapes.append(f'<rect x="{x - WIDTH / 2}" y="{y - HEIGHT / 2}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
                      f'<text x="{x}" y="{y - 3}">{escape(label)}</text>'
                      f'<text x="{x}" y="{y + 16}" class="small">{count} modules</text>')
    described = "; ".join(f"{one} uses {', '.join(sorted(graph[one])) or 'no other room'}" for one in sorted(graph))
    return (f'<svg class="rooms" viewBox="0 0 {width} {height}" width="{width}" role="img">'
            f'<title>Rooms and what they use: {escape(described)}</title>'
            '<defs><marker id="head" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto">''<path d="M0 0L8 4L0 8z"/></marker></defs>' + "".join(shapes) + "</svg>")
