"""`check` finds what it is there to find: a page with one fault each, and a page without any."""

import pytest

import check

SOUND = """<!doctype html><meta charset="utf-8"><style>
body { background: #eee; color: #222 }
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee } }
</style><article><h1 id="top">A page</h1><a href="#top">up</a> <a href="https://example.org">elsewhere</a>
<span class="math"><math><mi>x</mi></math></span>
<img src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="></article>"""
FAULTY = [
    ('<a href="nowhere.html">x</a>', "broken link: nowhere.html"),
    ('<a href="#nowhere">x</a>', "nothing in that page is called #nowhere"),
    ('<img src="nothing.png">', "image not shown"),
    ('<script src="https://example.org/a.js"></script>', "needs a network"),
    ("<script>console.error('planted')</script>", "console: planted"),
    ("<script>throw Error('planted')</script>", "script: planted"),
    ('<div style="width: 2000px">x</div>', "scrolls sideways"),
    ('<span class="math"></span>', "equation not shown"),
    ("<p>$$ a = b $$</p>", "equation not typeset"),
    (r"<p>\frac{a}{b}</p>", "equation not typeset"),
    ("<style>body { color: #ccc !important; background: #eee !important }</style>", "cannot be read"),
]


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    """What was found in each planted page, in a sound one, and in a search that finds nothing."""
    folder = tmp_path_factory.mktemp("pages")
    pages = [folder / f"{k}.html" for k in range(len(FAULTY) + 1)]
    for page, (planted, _) in zip(pages, [*FAULTY, ("", "")]):
        page.write_text(SOUND.replace("</article>", planted + "</article>"), encoding="utf-8")
    pages.append(folder / "search.html")
    pages[-1].write_text(SOUND.replace("<article>", "<article id='search-results'>"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "SEARCHING", 500)
        found = [*check.faults_in_links(pages), *check.faults_in_browser(pages)]
    return [[fault for where, fault in found if where == page] for page in pages]


def test_a_sound_page_has_no_fault(faults):
    assert not faults[len(FAULTY)]


def test_a_search_that_finds_nothing_is_a_fault(faults):
    assert faults[-1] == ["search finds nothing"]


@pytest.mark.parametrize("k", range(len(FAULTY)), ids=[expected for _, expected in FAULTY])
def test_a_planted_fault_is_found(faults, k):
    assert any(FAULTY[k][1] in fault for fault in faults[k])
