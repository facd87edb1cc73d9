"""The page in a real browser, and the maps that it shows.

`CNN_CIFAR10_SCREENSHOT=reports/page.jpg pytest tests/serving/test_page.py` takes a screenshot.
"""

import base64
import dataclasses
import io
import json
import os
import shutil
import time
from urllib.parse import urlsplit

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from cnn_cifar10.datasets import IMAGE_FORMATS, read_image
from cnn_cifar10.inference import Classifier
from cnn_cifar10.serving.app import EXAMPLES
from cnn_cifar10.utils import overlay

CAT = EXAMPLES / "cat.jpg"
SECONDS = 20
TOKEN = "a-token-of-tests"


class Unexplained:
    """A model without class activation."""

    def __init__(self, session):
        self.run = session.run

    def get_outputs(self):
        return []


@pytest.fixture(scope="module")
def classifier():
    return Classifier.open()


@pytest.fixture(scope="module")
def client(serving, classifier):
    unexplained = dataclasses.replace(classifier, session=Unexplained(classifier.session))
    with serving({"custom_cnn": classifier, "unexplained": unexplained}) as client:
        yield client


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium, which logs what it asks for, and has a camera that shows a test image."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    # Its sandbox does not run for root, as in a container, and it opens nothing but our page.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    for argument in ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"):
        options.add_argument(argument)
    options.add_argument("--window-size=1200,980")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as driver:
        yield driver


class Page:
    """The page, as someone who looks at it."""

    def __init__(self, chromium, url):
        self.chromium = chromium
        self.requests(), self.errors()  # of the page before
        chromium.get(url)

    def find(self, selector):
        return self.chromium.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.find(selector).text

    def run(self, script, *arguments):
        return self.chromium.execute_script(script, *arguments)

    def upload(self, *paths):
        self.find("#files").send_keys("\n".join(map(str, paths)))

    def set_threshold(self, value):
        slider = self.find("#threshold")
        slider.send_keys(Keys.HOME, *[Keys.ARROW_RIGHT] * round(value / 0.05))

    def wait_for(self, text, selector=".card .answer"):
        """Wait until this is the text of an element; fail with what it is instead."""
        seen = None

        def shown(driver):
            nonlocal seen
            seen = self.text(selector)
            return seen == text

        self.wait(shown, lambda: f"{selector} says {seen!r}, not {text!r}")

    def wait(self, condition, explain=lambda: "it does not come about"):
        waiting = WebDriverWait(
            self.chromium, SECONDS, 0.05, ignored_exceptions=[StaleElementReferenceException]
        )
        try:
            waiting.until(condition)
        except TimeoutException:
            raise AssertionError(explain()) from None

    def wait_for_map(self):
        self.wait(lambda driver: self.find(".card .map img").is_displayed())

    def scrolled(self):
        return self.run("return window.scrollY")

    def key(self, *keys):
        webdriver.ActionChains(self.chromium).send_keys(*keys).perform()

    def focused(self):
        return self.chromium.switch_to.active_element

    def requests(self):
        """Return the addresses that were asked for since the last call."""
        messages = [
            json.loads(entry["message"])["message"]
            for entry in self.chromium.get_log("performance")
        ]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def errors(self):
        """Return what the console says is wrong since the last call, but for refused images."""
        errors = [e["message"] for e in self.chromium.get_log("browser") if e["level"] == "SEVERE"]
        return [error for error in errors if "status of 422" not in error]


@pytest.fixture
def page(chromium, client):
    """The page, freshly loaded; everything in the test must come from our service."""
    page = Page(chromium, str(client.base_url))
    yield page
    assert page.errors() == []
    hosts = {urlsplit(url).netloc for url in page.requests() if not url.startswith("blob:")}
    assert hosts == {urlsplit(str(client.base_url)).netloc}


def shown_pixels(page, selector):
    """Return the pixels of an image on the page."""
    script = """
        const image = document.querySelector(arguments[0]);
        const canvas = document.createElement("canvas");
        canvas.width = image.naturalWidth;
        canvas.height = image.naturalHeight;
        canvas.getContext("2d").drawImage(image, 0, 0);
        return canvas.toDataURL("image/png").split(",")[1];
    """
    return pixels_of(base64.b64decode(page.run(script, selector)))


def explained(client, path, **query):
    """Return what `/explain` answers for an image file."""
    return client.post("/explain", files={"image": path.read_bytes()}, params=query)


def pixels_of(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), "float32")


def test_an_uploaded_image_gets_its_class_and_its_class_activation_map(page, classifier, client):
    page.upload(CAT)
    page.wait_for("cat")
    page.wait_for_map()
    (prediction,) = classifier.classify_files([CAT])
    shown = page.text(".classes").split("\n")
    top = prediction.top()
    assert shown[::2] == [each["class"] for each in top]
    assert shown[1::2] == [f"{each['probability']:.0%}" for each in top]
    assert page.text(".map figcaption") == "Class activation map of cat"
    assert page.find(".map img").get_attribute("alt") == "Class activation map of cat"
    assert page.text("#status") == f"cat.jpg: cat, {top[0]['probability']:.0%}"

    if target := os.environ.get("CNN_CIFAR10_SCREENSHOT"):
        time.sleep(0.5)  # until the bars have grown
        screenshot = Image.open(io.BytesIO(page.chromium.get_screenshot_as_png()))
        screenshot.convert("RGB").save(target, quality=90)


@pytest.mark.parametrize("name", ["cat", "dog"])
def test_a_map_lies_over_what_the_model_saw(name, classifier, client):
    drawn = pixels_of(explained(client, CAT, **{"class": name}).content)
    pixels, size = read_image(CAT, (32, 32))[None], drawn.shape[:2]
    (map,) = classifier.explain(pixels, [classifier.class_names.index(name)], size)
    difference = np.abs(drawn - overlay(read_image(CAT, size), map))
    assert difference.mean() < 3  # of 255, since it is sent compressed


def test_the_map_is_of_the_most_probable_class_where_none_is_named(client):
    content = explained(client, CAT).content
    assert content == explained(client, CAT, **{"class": "cat"}).content
    assert content != explained(client, CAT, **{"class": "dog"}).content


@pytest.mark.parametrize(
    ("fit", "shape", "shown"),
    [
        ("crop", (60, 240), (320, 320)),
        ("pad", (60, 240), (80, 320)),
        ("pad", (300, 100), (320, 107)),
        ("pad", (4, 400), (3, 320)),
        ("stretch", (60, 240), (80, 320)),
        ("stretch", (300, 100), (320, 107)),
    ],
)
def test_the_map_has_the_shape_of_what_the_model_saw(
    fit, shape, shown, classifier, serving, tmp_path
):
    fitting = dataclasses.replace(classifier, fit=fit)
    cat = Image.open(CAT).convert("RGB").resize((shape[1], shape[0]))
    cat.paste("skyblue", (0, 0, shape[1] // 2, shape[0]))
    cat.save(tmp_path / "wide.png")
    with serving({"m": fitting}) as client:
        drawn = pixels_of(explained(client, tmp_path / "wide.png").content)
    assert drawn.shape[:2] == shown
    (row,) = fitting.probabilities(pixels := read_image(tmp_path / "wide.png", (32, 32), fit)[None])
    size = (320, 320) if fit != "stretch" else shown
    (map,) = fitting.explain(pixels, [row.argmax()], size)
    top, left = (320 - shown[0]) // 2, (320 - shown[1]) // 2
    if fit == "pad":
        map = map[top : top + shown[0], left : left + shown[1]]
    image = read_image(tmp_path / "wide.png", shown, "crop" if fit == "crop" else "stretch")
    assert np.abs(drawn - overlay(image, map)).mean() < 4  # of 255, since it is sent compressed


@pytest.mark.parametrize(
    ("content", "query", "status", "detail"),
    [
        (b"<html>", {}, 422, "image (a.jpg): holds no image of a format read here"),
        (None, {"class": "rat"}, 422, "query class: Input should be 'airplane'"),
        (None, {"model": "unexplained"}, 404, "unexplained has no class activation map"),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_line(client, content, query, status, detail):
    files = {"image": ("a.jpg", content or CAT.read_bytes())}
    answer = client.post("/explain", files=files, params=query)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)


def test_an_image_is_decoded_as_everywhere_else(page, classifier, tmp_path):
    """It lies on its side, which its EXIF data says."""
    path, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6
    Image.open(EXAMPLES / "ship.jpg").transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    page.upload(path)
    page.wait_for("ship")
    percent = page.text(".classes").split("\n")[1]
    assert percent == f"{classifier.classify_files([path])[0].top(1)[0]['probability']:.0%}"


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "a.hif", "b.avif", "c.tiff", "d.JP2", "e.pnm"])
def test_images_that_browsers_do_not_know_are_taken(page, name, tmp_path):
    pillow_heif.register_heif_opener()
    kind = IMAGE_FORMATS[os.path.splitext(name)[1].lower()]
    Image.open(CAT).convert("RGB").save(tmp_path / name, format=kind)
    page.upload(tmp_path / name)
    page.wait_for("cat")
    page.wait_for_map()
    assert page.find(".photo").is_displayed() == (kind == "AVIF")


@pytest.mark.parametrize("name", ["*a* _b_ $c$", "<b>猫</b> &lt;", "'\"><img src=x>", "1. a"])
def test_names_of_classes_and_files_are_shown_as_they_are(
    name, serving, chromium, classifier, tmp_path
):
    file = shutil.copy(CAT, tmp_path / f"{name.replace('/', '')}.jpg")
    named = dataclasses.replace(classifier, class_names=tuple(f"{name}{i}" for i in range(10)))
    with serving({"m": named}) as client:
        page = Page(chromium, str(client.base_url))
        page.upload(file)
        page.wait_for(f"{name}3")
        assert page.text(".card .name") == os.path.basename(file)
        page.wait_for_map()


def test_several_images_each_get_an_answer_and_can_be_removed(page):
    page.upload(*(EXAMPLES / f"{name}.jpg" for name in ("cat", "ship", "truck")))
    for place, name in enumerate(("truck", "ship", "cat"), start=1):
        page.wait_for(name, f".card:nth-child({place}) .answer")
    page.find(".card:nth-child(2) .remove").click()
    page.wait(lambda driver: len(driver.find_elements(By.CSS_SELECTOR, ".card")) == 2)
    assert page.focused().get_attribute("aria-label") == "Remove cat.jpg"
    page.find("#clear").click()
    assert page.find("#empty").is_displayed()


def test_an_unreadable_file_gets_a_message_that_says_what_to_do(page, tmp_path):
    (tmp_path / "photo.jpg").write_text("<html>no image</html>")
    page.upload(tmp_path / "photo.jpg")
    fault = (
        "This image holds no image of a format read here; convert it to JPEG or PNG, or remove it."
    )
    page.wait_for(fault, ".card .fault")
    assert page.text("#status") == f"photo.jpg: {fault}"
    assert not page.find(".card .map").is_displayed()
    assert not page.find(".card .answer").is_displayed()


def test_a_service_that_has_ended_is_told(serving, chromium, classifier):
    with serving({"custom_cnn": classifier}) as client:
        page = Page(chromium, str(client.base_url))
        page.wait(lambda driver: page.run("return document.querySelector('#model').length") == 1)
    page.upload(CAT)
    page.wait_for(
        "The service cannot be reached. Check that it still runs, and try again.", ".card .fault"
    )


def test_every_example_shows_what_it_is_named_after(page):
    examples = page.chromium.find_elements(By.CSS_SELECTOR, "[data-example]")
    assert len(examples) == len(list(EXAMPLES.glob("*.jpg"))) == 4
    for example in examples:
        name = example.get_attribute("data-example")
        example.click()
        page.wait_for(name)


def test_a_threshold_makes_it_unsure_and_another_model_may_not_explain(page):
    page.upload(CAT)
    page.wait_for("cat")
    page.wait_for_map()
    page.set_threshold(1)
    assert page.text("#threshold-value") == "100%"
    page.wait_for("unsure")
    page.find("#model option:nth-child(2)").click()
    page.wait(lambda driver: not page.find(".card .map").is_displayed())
    assert page.text(".classes").split("\n")[0] == "cat"
    assert not page.chromium.find_elements(By.CSS_SELECTOR, "button.class")


def test_another_class_shows_its_own_map(page, client):
    page.upload(CAT)
    page.wait_for("cat")
    page.wait_for_map()
    second = page.find(".classes li:nth-child(2) button")
    name = second.get_attribute("data-name")
    second.send_keys(Keys.ENTER)
    page.wait_for(f"Class activation map of {name}", ".map figcaption")
    assert second.get_attribute("aria-pressed") == "true"
    expected = pixels_of(explained(client, CAT, **{"class": name}).content)
    assert np.abs(shown_pixels(page, ".map img") - expected).mean() < 1  # another decoder


TRANSFER = """
    const [type, target, name, content] = arguments;
    const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
    const data = new DataTransfer();
    if (name) data.items.add(new File([bytes], name));
    const event = type === "paste"
        ? new ClipboardEvent(type, {clipboardData: data, bubbles: true, cancelable: true})
        : new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true});
    document.querySelector(target).dispatchEvent(event);
    return event.defaultPrevented;
"""


@pytest.mark.parametrize(("kind", "target"), [("drop", "#drop"), ("drop", "h1"), ("paste", "body")])
def test_images_are_dropped_anywhere_or_pasted(page, kind, target):
    content = base64.b64encode(CAT.read_bytes()).decode()
    if kind == "drop":  # or the browser would leave the page and show the image
        assert page.run(TRANSFER, "dragover", target, "cat.jpg", "")
        assert "over" in page.find("body").get_attribute("class")
    page.run(TRANSFER, kind, target, "cat.jpg", content)
    page.wait_for("cat")
    assert "over" not in (page.find("body").get_attribute("class") or "")


def test_what_is_pasted_and_no_image_gets_a_message(page):
    page.run(TRANSFER, "paste", "body", "", "")
    page.wait_for(
        "What you dropped or pasted holds no image file. Save the image, then choose it.",
        "#message",
    )


def test_the_camera_takes_an_image(page):
    page.find("#camera").click()
    video = "const video = document.querySelector('video'); return "
    page.wait(lambda driver: page.run(video + "video.videoWidth > 0"))
    page.find("#shoot").click()
    page.wait(lambda driver: page.text(".card .name") == "camera.jpg")
    page.wait_for_map()
    assert page.run(video + "video.srcObject === null")


def test_everything_can_be_done_with_the_keyboard(page):
    """Tab leads through all that can be done, in the order in which it stands."""
    page.wait(lambda driver: page.find("#model").is_displayed())
    seen = []
    for _ in range(20):
        page.key(Keys.TAB)
        focused = page.focused()
        outline = page.run(
            "const input = arguments[0], shown = input.id === 'files' ? input.parentNode : input;"
            "return getComputedStyle(shown).outlineStyle",
            focused,
        )
        if focused.tag_name == "body":
            break
        assert outline != "none", focused.get_attribute("outerHTML")
        seen.append(focused.get_attribute("id") or focused.get_attribute("data-example") or "link")
    ways, examples = ("files", "paste", "camera"), ("airplane", "cat", "ship", "truck")
    assert seen == ["link", *ways, *examples, "model", "threshold"]
    page.find("[data-example=cat]").send_keys(Keys.SPACE)
    page.wait_for("cat")
    page.find("#camera").send_keys(Keys.ENTER)
    page.wait(lambda driver: page.find("dialog").is_displayed())
    page.key(Keys.ESCAPE)
    page.wait(lambda driver: not page.find("dialog").is_displayed())
    page.find(".card .remove").send_keys(Keys.ENTER)
    assert page.focused().get_attribute("id") == "files"


def test_every_control_and_image_has_a_name(page):
    page.upload(CAT)
    page.wait_for("cat")
    page.wait_for_map()
    shown = [
        each
        for each in page.chromium.find_elements(By.CSS_SELECTOR, "button, input, select, img, a")
        if each.is_displayed()
    ]
    assert len(shown) > 15
    for each in shown:
        assert each.accessible_name, each.get_attribute("outerHTML")


CONTRAST = """
    const light = (color) => {
        const parts = color.match(/[\\d.]+/g).slice(0, 3).map((each) => {
            const part = each / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const back = (element) => {
        const color = getComputedStyle(element).backgroundColor;
        return color === "rgba(0, 0, 0, 0)" && element.parentElement
            ? back(element.parentElement) : color;
    };
    const low = [];
    for (const element of document.body.querySelectorAll("*")) {
        const own = [...element.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
        if (!own || !element.checkVisibility()) continue;
        const pair = [light(getComputedStyle(element).color), light(back(element))];
        const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        if (ratio < 4.5) low.push(`${element.outerHTML.slice(0, 80)}: ${ratio}`);
    }
    return low;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_text_is_legible_and_fits_on_every_screen(page, scheme, width, tmp_path):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    screen = {"width": width, "height": 980, "deviceScaleFactor": 1, "mobile": width < 500}
    page.chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        (tmp_path / ("long-name-" * 20 + ".jpg")).write_text("no image")
        page.upload(*tmp_path.iterdir(), CAT)
        page.wait_for("cat")
        page.wait_for_map()
        page.wait(lambda driver: 0 <= page.find(".card .answer").rect["y"] - page.scrolled() < 900)
        page.run("document.querySelector('.fault').scrollIntoView()")
        assert page.run(CONTRAST) == []
        assert page.run("return document.documentElement.scrollWidth") <= width
        if folder := os.environ.get("CNN_CIFAR10_SCREENSHOTS"):
            time.sleep(0.5)
            whole = {"captureBeyondViewport": True}
            taken = page.chromium.execute_cdp_cmd("Page.captureScreenshot", whole)["data"]
            with open(f"{folder}/{scheme}-{width}.png", "wb") as file:
                file.write(base64.b64decode(taken))
    finally:
        page.chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        page.chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_browser_that_knows_the_token_can_use_the_page(serving, chromium, classifier):
    with serving({"custom_cnn": classifier}, token=TOKEN) as client:
        url = str(client.base_url)
        assert client.get("/").status_code == 401
        chromium.get(f"{url.replace('//', f'//anyone:{TOKEN}@')}/models")
        page = Page(chromium, url)
        page.upload(CAT)
        page.wait_for("cat")
        page.wait_for_map()
        assert page.errors() == []


def test_the_page_runs_no_script_but_its_own(client):
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "unsafe" not in policy
    for path in ("/page.js", "/page.css", "/icon.svg", "/favicon.ico", "/examples/cat.jpg"):
        assert client.get(path).status_code == 200
    for path in ("/app.py", "/../app.py", "/%2e%2e/app.py", "/page/index.html"):
        assert client.get(path).status_code == 404
