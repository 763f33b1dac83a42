"""The pytest plug-in: the fixture `gradcheck`, and `--gradcheck-report FOLDER` for a page of all checks of a session.

pytest loads this module in every project of an environment that has the package installed. So it imports nothing but
`gradcheck` itself, which needs NumPy alone.
"""

import html
from pathlib import Path

import pytest

from .check import check, listeners

REPORTS = pytest.StashKey[list]()  # of the session: (test, Report)


def pytest_addoption(parser):
    parser.addoption("--gradcheck-report", metavar="FOLDER", type=Path,
                     help="write a page about every gradient that was checked, with pictures, to FOLDER/index.html")


@pytest.fixture
def gradcheck():
    """`check`, as an assertion: the test fails with the report unless the verdict is "right"."""
    def assert_right(*claims, **options):
        report = check(*claims, **options)
        assert report, f"\n{report}"
        return report

    return assert_right


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Note each report that is made while a test runs."""
    if not item.config.getoption("gradcheck_report"):
        return (yield)
    reports = item.config.stash.setdefault(REPORTS, [])

    def note(report):
        reports.append((item.nodeid, report))

    listeners.append(note)
    try:
        return (yield)
    finally:
        listeners.remove(note)


def pytest_terminal_summary(terminalreporter, config):
    folder = config.getoption("gradcheck_report")
    if folder:
        reports = config.stash.get(REPORTS, [])
        path = write_page(reports, folder)
        terminalreporter.write_line(f"{len(reports)} checks of derivatives: {path}")


def write_page(reports, folder):
    """A page of (test, Report), those that are not right first and with pictures. Returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    order = {"wrong": 0, "cannot tell": 1, "right": 2}
    ordered = sorted(enumerate(reports), key=lambda row: order[row[1][1].verdict])
    counts = {verdict: sum(report.verdict == verdict for _, report in reports) for verdict in order}
    rows = []
    for number, (test, report) in ordered:
        picture = "" if report.verdict == "right" else _picture(report, folder, f"check-{number}.png")
        rows.append(f"<details{' open' if report.verdict != 'right' else ''}><summary><b>{report.verdict}</b> "
                    f"{html.escape(test)}</summary><pre>{html.escape(str(report))}</pre>{picture}</details>")
    path = folder / "index.html"
    path.write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        "<title>Checks of derivatives</title><style>:root{color-scheme:light dark}body{font-family:sans-serif;"
        "max-width:60rem;margin:auto;padding:1rem}pre{overflow-x:auto}img{max-width:100%}</style>"
        f"<h1>Checks of derivatives</h1><p>{', '.join(f'{n} {verdict}' for verdict, n in counts.items())}.</p>"
        + "\n".join(rows) + "</html>\n", encoding="utf-8")
    return path


def _picture(report, folder, name):
    """An image of the report, or why there is none."""
    try:
        report.plot(folder / name)
    except (ImportError, ValueError) as error:
        return f"<p>{html.escape(str(error))}</p>"
    return f"<img src='{name}' alt='error against step, and Taylor remainders'>"
