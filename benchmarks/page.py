"""Tables of measurements: shown row by row as they are made, kept as JSON, compared with earlier ones, and drawn.

A cell is a text, or one of

    Times    seconds of one call in each turn; shown as milliseconds, median and quartiles
    Ratio    how many times as long one call takes as another, turn by turn; shown as the median
"""

import json
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.timing import spread

SURE = 0.01  # two samples that differ so much only once in a hundred times by chance are told apart


class Times(np.ndarray):
    """Seconds, one number for each turn."""

    def __new__(cls, seconds):
        return np.asarray(seconds, float).view(cls)

    def __str__(self):
        return spread(np.asarray(self))


class Ratio(np.ndarray):
    """Theirs over ours, one number for each turn."""

    def __new__(cls, theirs, ours=1.0):
        return (np.asarray(theirs, float) / np.asarray(ours, float)).view(cls)

    def __str__(self):
        return f"{np.median(self):.2g}" if np.median(self) < 9.95 else f"{np.median(self):.0f}"


NOTES = Path(__file__).with_name("notes.md")
KINDS = {"times": Times, "ratio": Ratio}


class Table:
    """Rows under one title. `row` shows a row as Markdown on stdout, where the page has a reader."""

    def __init__(self, title, text, columns, commit, show=print):
        self.title, self.text, self.columns, self.rows, self.commit = title, text, list(columns), [], commit
        self._show = show
        show(f"### {title}\n" + (f"\n{text}\n" if text else ""))
        show(markdown_head(columns))

    def row(self, *cells):
        assert len(cells) == len(self.columns), (cells, self.columns)
        self.rows.append([cell if isinstance(cell, np.ndarray) else str(cell) for cell in cells])
        self._show(markdown_row(cells))


class Page:
    """The tables of one run of the benchmarks on one machine.

    facts : of the machine, the versions and the settings that they were made with
    quick : whether fewer turns are asked for
    """

    def __init__(self, facts, quick=False, show=print):
        self.facts, self.quick, self.tables, self._show = facts, quick, [], show

    def table(self, title, text, columns, commit=None):
        if self.tables:
            self._show("")
        self.tables.append(Table(title, text, columns, commit or self.facts.get("commit"), self._show))
        return self.tables[-1]

    def turns(self, n):
        """How often calls take turns: n times, or a fifth of it."""
        return max(3, n // 5) if self.quick else n

    def say(self, what):
        """Progress, on stderr."""
        print(f"\rbenchmarks: {what:<60.60}", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)

    def save(self, path):
        """Keep this page. Tables that are there already, and were not measured anew, stay."""
        now = {table.title: table for table in self.tables}
        before = {table.title: table for table in load(path).tables} if Path(path).exists() else {}
        tables = [{"title": table.title, "text": table.text, "columns": table.columns, "commit": table.commit,
                   "rows": [list(map(_to_json, row)) for row in table.rows]} for table in (before | now).values()]
        kept = {"facts": self.facts, "quick": self.quick, "tables": tables}
        Path(path).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def load(path, show=lambda text: None):
    """A page that `save` has written.

    Raises
    ------
    ValueError : it is none
    """
    try:
        kept = json.loads(Path(path).read_text(encoding="utf-8"))
        page = Page(kept["facts"], kept["quick"], show)
        for one in kept["tables"]:
            table = page.table(one["title"], one["text"], one["columns"], one.get("commit"))
            for row in one["rows"]:
                table.row(*map(_from_json, row))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected measurements by --json; {error!r}") from None
    return page


def heading(facts):
    """Where and with what measurements were made, as a sentence or two."""
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items() if version)
    settings = "".join(f"; {name}={value}" for name, value in facts.get("settings", {}).items())
    return (f"Commit {facts['commit'] or 'unknown'}; {facts['processor']}, {facts['cpus']} CPUs; Python "
            f"{facts['python']}, {packages}; BLAS: {', '.join(facts['blas'])}{settings}")


def markdown_row(cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def markdown_head(columns):
    return markdown_row(columns) + "\n|" + "---|" * len(columns)


def markdown(pages):
    """One page of all: the notes, and under each title the tables of every machine that has it."""
    lines = [NOTES.read_text(encoding="utf-8"), "## What was measured", ""]
    lines += [f"{i + 1}. {heading(page.facts)}" for i, page in enumerate(pages)] if len(pages) > 1 else [
        heading(pages[0].facts)]
    titles = dict.fromkeys(table.title for page in pages for table in page.tables)
    for title in titles:
        found = [(i, table) for i, page in enumerate(pages) for table in page.tables if table.title == title]
        lines += ["", f"### {title}"]
        for i, table in found:
            if table.text and table is found[0][1]:
                lines += ["", table.text]
            where = [f"machine {i + 1}"] if len(pages) > 1 else []
            when = [] if table.commit == pages[i].facts["commit"] else [f"commit {str(table.commit):.7}"]
            lines += ["", *([f"({', '.join(where + when)})", ""] if where or when else []),
                      markdown_head(table.columns), *map(markdown_row, table.rows)]
    return "\n".join(lines) + "\n"


def compare(before, now, show=print):
    """Show every measurement that both pages have, and whether it has changed by more than noise."""
    from scipy.stats import mannwhitneyu  # a quarter of a second to load, which is no part of what is measured
    earlier = dict(_measurements(before))
    show(f"Before: {heading(before.facts)}\nNow: {heading(now.facts)}\n")
    show(markdown_head(["", "before", "now", "now / before", ""]))
    verdicts = Counter()
    for name, values in _measurements(now):
        if name in earlier:
            then = earlier[name]
            better = (np.median(values) < np.median(then)) == isinstance(values, Times)
            if 2 / math.comb(len(then) + len(values), len(then)) > SURE:
                verdict = "too few turns to tell"
            elif mannwhitneyu(then, values).pvalue > SURE:
                verdict = "within noise"
            else:
                verdict = "better" if better else "worse"
            verdicts[verdict] += 1
            show(markdown_row([name, then, values, f"{np.median(values) / np.median(then):.2f}", verdict]))
    show(f"\n{sum(verdicts.values())} measurements of both: "
         + ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items())
         + ". Times depend on how fast the machine was in that hour, ratios of calls in turn do not.")


def draw(page, path):
    """The ratios of a page as bars: to the right of 1 the peer takes longer."""
    from matplotlib.figure import Figure
    bars = [(name, values) for name, values in _measurements(page) if isinstance(values, Ratio) and "theirs" in name]
    if not bars:
        raise ValueError("plot: no ratio to a peer was measured; name the benchmark `peers`")
    figure = Figure(figsize=(8, 1 + 0.3 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    for y, (_, values) in enumerate(reversed(bars)):
        low, middle, high = np.percentile(values, [25, 50, 75])
        axes.barh(y, middle - 1, left=1, color="steelblue" if middle >= 1 else "indianred")
        axes.plot([low, high], [y, y], color="black")
        axes.annotate(f"{middle:.2g}", (max(high, 1), y), (4, 0), textcoords="offset points", va="center")
    axes.set_xscale("log")
    most = max(np.percentile(values, 75) for _, values in bars)
    axes.set_xticks(*2 * [[x for x in (0.25, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 12) if x < 1.2 * most]])
    axes.minorticks_off()
    axes.set_yticks(range(len(bars)), [name.removesuffix(", theirs / ours") for name, _ in reversed(bars)])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("their time over ours")
    axes.set_title(f"{page.facts['processor']}, {page.facts['cpus']} CPUs", fontsize=10)
    figure.savefig(path, dpi=150)


def _measurements(page):
    """(name, values) of every cell that was measured: the title, the texts of its row, its column."""
    for table in page.tables:
        for row in table.rows:
            label = " ".join(cell for cell, column in zip(row, table.columns)
                             if isinstance(cell, str) and column not in ("by", "steps per second"))
            for cell, column in zip(row, table.columns):
                if isinstance(cell, np.ndarray):
                    yield f"{table.title.removeprefix('Against ')}: {label}, {column}", cell


def _to_json(cell):
    if isinstance(cell, np.ndarray):
        return {type(cell).__name__.lower(): [float(f"{x:.6g}") for x in cell]}
    return cell


def _from_json(cell):
    if isinstance(cell, dict):
        (kind, values), = cell.items()
        return KINDS[kind](values)
    return cell
