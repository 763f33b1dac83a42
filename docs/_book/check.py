"""Every page of the built book in headless Chromium: `python docs/_book/check.py docs/_build/html [--pictures FOLDER]`.

Without a network, narrow and wide, light and dark: each page loads, logs no error, has no broken link, anchor or image,
shows its equations, can be read, and does not scroll sideways. Pages of source files, which are all alike, are seen in
one setting. Exit status 1 and one line for each fault.
"""

import argparse
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Error, sync_playwright

SETTINGS = [(width, scheme) for scheme in ("light", "dark") for width in (400, 1400)]
SEARCHING = 10_000  # milliseconds that the book's search may take
BROWSERS = "chromium", "chromium-browser", "google-chrome"
LAUNCH = {"args": ["--no-sandbox"]} if hasattr(os, "geteuid") and os.geteuid() == 0 else {}  # root has no sandbox

# In the page: what is wrong with it as it is laid out now.
LAYOUT = """() => {
    const faults = [], root = document.documentElement
    if (root.scrollWidth > window.innerWidth)
        faults.push(`scrolls sideways: ${root.scrollWidth} pixels in a window of ${window.innerWidth}`)
    for (const equation of document.querySelectorAll('.math')) {
        const box = equation.querySelector('math')?.getBoundingClientRect()
        if (!box?.width || !box?.height || equation.querySelector('merror'))
            faults.push(`equation not shown: ${equation.textContent.slice(0, 60)}`)
    }
    const light = color => {
        const part = color.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255).map(
            x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
        return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2] + 0.05
    }
    const style = getComputedStyle(document.body)
    const [a, b] = [light(style.color), light(style.backgroundColor)]
    if (Math.max(a, b) / Math.min(a, b) < 4.5)
        faults.push(`text ${style.color} on ${style.backgroundColor} cannot be read`)
    return {faults, dark: b < a}
}"""
CONTENT = """async () => {
    const images = [...document.images]
    images.forEach(image => image.loading = 'eager')
    await Promise.all(images.map(image => image.decode().catch(() => {})))
    const text = document.createTreeWalker(document.querySelector('article') ?? document.body, NodeFilter.SHOW_TEXT)
    const faults = images.filter(image => !image.naturalWidth).map(image => `image not shown: ${image.src}`)
    while (text.nextNode()) {
        const {data, parentElement} = text.currentNode
        if (/\\$\\$|\\\\[a-z]+\\{/.test(data) && !parentElement.closest('pre, code, script'))
            faults.push(`equation not typeset: ${data.trim().slice(0, 60)}`)
    }
    return faults
}"""


class Links(HTMLParser):
    """What a page points to, and what in it can be pointed to."""

    def __init__(self, page):
        super().__init__()
        self.targets, self.loaded, self.ids = [], [], set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.targets.append(given["href"])
        if tag in ("img", "script", "iframe") and given.get("src"):
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon"):
            self.loaded.append(given["href"])


def faults_in_links(pages):
    """(page, fault) for each link of a page that leads nowhere, and each part of a page that comes from a network."""
    links = {page: Links(page) for page in pages}
    for page, found in links.items():
        for target in found.targets + found.loaded:
            url = urlsplit(target)
            there = (page.parent / unquote(url.path)).resolve() if url.path else page
            if url.scheme or url.netloc:
                if target in found.loaded and url.scheme != "data":
                    yield page, f"needs a network: {target}"
            elif not there.is_file():
                yield page, f"broken link: {target}"
            elif url.fragment and there in links and unquote(url.fragment) not in links[there].ids:
                yield page, f"broken link: nothing in that page is called #{url.fragment}: {target}"


def browser_of(playwright):
    """The system's Chromium, or else the one that Playwright has installed."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        return playwright.chromium.launch(executable_path=path, **LAUNCH)
    except Error as error:
        why = str(error).splitlines()[0]
        raise SystemExit(f"check: expected Chromium, and none starts ({why}). On Debian: apt-get install chromium; "
                         f"elsewhere: {sys.executable} -m playwright install chromium") from None


def listen(window):
    """The list to which the window adds what goes wrong in it."""
    heard = []

    def on_console(message):
        if message.type == "error":
            heard.append(f"console: {message.text}")

    window.on("console", on_console)
    window.on("pageerror", lambda error: heard.append(f"script: {error}"))
    window.on("requestfailed", lambda request: heard.append(f"cannot load {request.url}"))
    return heard


def found_by_search(window):
    try:
        window.wait_for_selector("#search-results li a", timeout=SEARCHING)
    except Error:
        return False
    return True


def faults_in_browser(pages, pictures=None):
    """[(page, fault)] for what only a browser sees."""
    faults = []
    with sync_playwright() as playwright:
        window = browser_of(playwright).new_page(color_scheme="light")
        window.context.set_offline(True)
        heard = listen(window)
        for page in pages:
            window.goto(page.as_uri() + "?q=policy" * (page.name == "search.html"))
            found = window.evaluate(CONTENT)
            if page.name == "search.html" and not found_by_search(window):
                found.append("search finds nothing")
            for width, scheme in SETTINGS[:1] if "source" in page.parts else SETTINGS:
                window.emulate_media(color_scheme=scheme)
                window.set_viewport_size({"width": width, "height": 900})
                seen = window.evaluate(LAYOUT)
                found += [f"{fault} ({width} pixels, {scheme})" for fault in seen["faults"]]
                if seen["dark"] != (scheme == "dark"):
                    found.append(f"is {'dark' if seen['dark'] else 'light'} where {scheme} is asked for")
                if pictures:
                    name = page.with_suffix("").as_posix().rpartition("/html/")[2].replace("/", "-")
                    window.screenshot(path=pictures / f"{name}-{width}-{scheme}.png", full_page=True)
            faults += [(page, fault) for fault in dict.fromkeys(found + heard)]
            heard.clear()
    return faults


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path, help="the built book")
    p.add_argument("--pictures", type=Path, metavar="FOLDER", help="keep a picture of each page in each setting")
    p.add_argument("--only", default="", metavar="TEXT", help="in the browser, only pages with TEXT in their path")
    args = p.parse_args()
    begun = time.perf_counter()
    pages = sorted(path.resolve() for path in args.folder.rglob("*.html") if "_static" not in path.parts)
    if not pages:
        p.error(f"{args.folder}: expected the built book; no page here. `make docs` builds it")
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
    start = args.folder.resolve() / "index.html"  # which leads on to the first page at once
    seen = [page for page in pages if args.only in page.as_posix() and page != start]
    faults = list(faults_in_links(pages))
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:  # a browser for each
        for found in pool.map(faults_in_browser, [seen[k::cores] for k in range(cores)], [args.pictures] * cores):
            faults += found
    for page, fault in faults:
        print(f"{page.relative_to(args.folder.resolve())}: {fault}", file=sys.stderr)
    print(f"{len(pages)} pages, {len(faults)} faults, {time.perf_counter() - begun:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
