"""The pages that ``make book`` has built, in a browser without a network: ``make test-pages``.

The name of this file keeps it out of ``make test``, which builds no book and has no browser.
"""

import functools
import re
import shutil
from urllib.parse import unquote, urldefrag

import notebooks
import numpy as np
import paths
import photo
import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from labkit import photos, synthetic
from labkit.classes import PETS
from labkit.models.trained import trained_unet

PAGES = list(notebooks.toc())
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
VIEWS = {"light": ("light", 1280), "dark": ("dark", 1280), "phone": ("light", 390)}
# Rules of accessibility that are broken by what the book uses, and why they are not mended here.
EXCEPTIONS = {
    "region": "the theme puts its logo and its search outside of landmarks",
    "empty-table-header": "pandas leaves the header above row names empty",
    "aria-allowed-role": "docutils gives the entries of a bibliography a deprecated role",
    "aria-deprecated-role": "the same",
    "aria-required-children": "the same",
}
FILE_NAME = re.compile(r"\S+\.(gif|jpe?g|png|svg|webp)", re.IGNORECASE)


@pytest.fixture(scope="session")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail(f"There is no browser: install one of {', '.join(BROWSERS)}.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@pytest.fixture(params=VIEWS)
def view(request, browser):
    """A tab of the browser without a network, and what went wrong in it."""
    scheme, width = VIEWS[request.param]
    context = browser.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": 900},
        reduced_motion="reduce",  # a color that is still changing has another contrast
    )
    tab, problems = context.new_page(), []

    def stop_requests(route):
        if route.request.url.startswith(("file:", "blob:", "data:")):  # not from a network
            route.continue_()
        else:
            problems.append(f"it asks for {route.request.url}")
            route.abort()

    def keep_errors(message):
        if message.type == "error":
            problems.append(f"console: {message.text}")

    context.route("**/*", stop_requests)
    tab.on("console", keep_errors)
    tab.on("pageerror", lambda error: problems.append(f"error: {error}"))
    yield request.param, tab, problems
    context.close()


@pytest.mark.parametrize("page", PAGES)
def test_page_in_a_browser(page, view):
    name, tab, problems = view
    tab.goto((paths.HTML / f"{page}.html").as_uri())
    wider = tab.evaluate("document.scrollingElement.scrollWidth - innerWidth")
    if wider > 0:
        problems.append(f"it is {wider} pixels wider than its window")
    if (titles := tab.locator("h1:visible").count()) != 1:
        problems.append(f"it has {titles} titles (h1)")
    for text in tab.eval_on_selector_all("article img", "all => all.map(image => image.alt)"):
        if not text or FILE_NAME.fullmatch(text):
            problems.append(f"a figure has the alt text {text!r}")
    problems += stuck_sliders(tab)
    problems += violations(tab, name)
    assert problems == []


def stuck_sliders(tab):
    """Whether an arrow key changes the picture of each slider, and what it says."""
    for figure in tab.locator("figure.frames").all():
        slider, seen = figure.locator("input"), []
        for key in ("ArrowLeft", "ArrowRight", "Home", "End"):
            slider.press(key)
            shown = figure.locator(".frame:visible")
            sentence = shown.locator("p").text_content() if shown.count() == 1 else shown.count()
            if (said := slider.get_attribute("aria-valuetext")) != sentence:
                yield f"a slider shows {sentence!r} and says {said!r}"
            seen.append(sentence)
        if len(set(seen)) < min(3, int(slider.get_attribute("max")) + 1):
            yield f"a slider only shows {set(seen)}"


def test_photo_page_segments_as_python_does(view, tmp_path):
    name, tab, problems = view
    tab.goto((paths.HTML / "book" / "photo.html").as_uri())
    if not photo.SCRIPT.exists():
        assert "built without the network" in tab.text_content("article")
        assert tab.locator("#photo-load").count() == 0
        return
    pet = synthetic.example(3, split="test", size=(300, 420))["image"]
    Image.fromarray(pet).save(tmp_path / "pet.png")
    (tmp_path / "notes.txt").write_text("no picture")
    tab.click("#photo-load")
    tab.click("#photo-drawn button >> nth=0")
    status = tab.locator("#photo-status")
    expect(status).to_contain_text("The drawn cat: pet")
    tab.set_input_files("#photo-file", tmp_path / "notes.txt")
    expect(status).to_contain_text("notes.txt can't be segmented: this browser can't read it.")
    tab.set_input_files("#photo-file", tmp_path / "pet.png")
    expect(status).to_contain_text("pet.png: pet")
    tab.check("#photo-view [value=cutout]")
    problems += violations(tab, name)
    mask = photos.segment(trained_unet(), pet)
    # Pillow rounds a little differently when it resizes.
    assert (downloaded(tab, "mask", "RGB") == PETS.color_mask(mask)).all(-1).mean() > 0.999
    opaque = downloaded(tab, "cutout", "RGBA")[..., 3] > 0
    assert (opaque == (mask != PETS.background)).mean() > 0.999
    assert problems == []


def downloaded(tab, link, mode):
    """The picture behind a link of the photo page."""
    with tab.expect_download() as download:
        tab.click(f"#photo-{link}")
    return np.asarray(Image.open(download.value.path()).convert(mode))


def violations(tab, view):
    """What axe finds: everything in one view, and contrast alone in the dark one."""
    options = {"preload": False, "rules": {rule: {"enabled": False} for rule in EXCEPTIONS}}
    if view == "phone":
        return []
    if view == "dark":
        options = {"preload": False, "runOnly": ["color-contrast"]}
    for one in Axe().run(tab, options=options).response["violations"]:
        nodes = [node["html"][:200] for node in one["nodes"]]
        yield f"axe, {one['id']}: {one['help']}: {len(nodes)} times, first {nodes[0]}"


@functools.cache
def anchors(path):
    """The ids in a page."""
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    return {tag["id"] for tag in soup.find_all(id=True)}


def leads_somewhere(link, file):
    """Whether a link on a page of the book has a target; links to other sites are not tried."""
    address, anchor = urldefrag(unquote(link))
    if re.match(r"[a-z]+:", address):
        return True
    target = (file.parent / address).resolve() if address else file
    with_anchor = anchor and target.suffix == ".html"
    return target.exists() and (not with_anchor or anchor in anchors(target))


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_book_lead_somewhere(page):
    file = paths.HTML / f"{page}.html"
    soup = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
    links = [link["href"] for link in soup.select("article a[href]")]
    assert [link for link in links if not leads_somewhere(link, file)] == []
