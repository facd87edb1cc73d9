"""The page in a real browser, and what its routes refuse.

`CNN_CIFAR10_SCREENSHOT=reports/page.jpg pytest tests/serving/test_page.py` takes a screenshot.
"""

import dataclasses
import io
import json
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import httpx
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
from cnn_cifar10.serving.page import EXAMPLES, _classify
from cnn_cifar10.serving.protection import Limits
from cnn_cifar10.utils import overlay

CAT = EXAMPLES / "cat.jpg"
SECONDS = 20


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
    """Headless Chromium, which logs what it asks for."""
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    # Its sandbox does not run for root, as in a container, and it opens nothing but our page.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument("--window-size=1200,980")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as driver:
        driver.implicitly_wait(SECONDS)
        yield driver


class Page:
    """The page, as someone who looks at it."""

    def __init__(self, chromium, url):
        self.chromium = chromium
        self.requests(), self.errors()  # of the page before
        chromium.get(url)

    def find(self, selector):
        return self.chromium.find_element(By.CSS_SELECTOR, selector)

    def upload(self, path):
        self.find("#image input[type=file]").send_keys(str(path))

    def type_threshold(self, text):
        number = self.find("input[type=number]")
        number.send_keys(Keys.CONTROL, "a")
        number.send_keys(text, Keys.TAB)

    def wait_for(self, answer):
        """Wait until this is the answer; fail with what it is instead."""
        text = None

        def answered(driver):
            nonlocal text
            text = self.find("#answer").text
            return text == answer

        try:
            # What was found is drawn anew now and then, before it can be read.
            waiting = WebDriverWait(
                self.chromium, SECONDS, ignored_exceptions=[StaleElementReferenceException]
            )
            waiting.until(answered)
        except TimeoutException:
            raise AssertionError(f"the page says {text!r}, not {answer!r}") from None

    def explains(self):
        return self.chromium.execute_script(
            "return document.querySelector('#explanation') !== null"
        )

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
        """Return what the console says is wrong since the last call."""
        return [e["message"] for e in self.chromium.get_log("browser") if e["level"] == "SEVERE"]


@pytest.fixture
def page(chromium, client):
    """The page, freshly loaded; everything in the test must come from our service."""
    page = Page(chromium, str(client.base_url))
    yield page
    assert page.errors() == []
    hosts = {urlsplit(url).netloc for url in page.requests() if not url.startswith("blob:")}
    assert hosts == {urlsplit(str(client.base_url)).netloc}


def test_an_uploaded_image_gets_its_class_and_its_class_activation_map(page, classifier):
    page.upload(CAT)
    page.wait_for("cat")
    (prediction,) = classifier.classify_files([CAT])
    shown = page.find("#classes").text.split("\n")[1:]
    top = prediction.top()
    assert shown[::2] == [each["class"] for each in top]
    assert shown[1::2] == [f"{each['probability']:.0%}" for each in top]

    image = page.find("#explanation img")
    assert "Class activation map of cat" in page.find("#explanation").text
    drawn = Image.open(io.BytesIO(httpx.get(image.get_attribute("src")).content)).convert("RGB")
    pixels, size = read_image(CAT, (32, 32))[None], (drawn.height, drawn.width)
    (map,) = classifier.explain(pixels, [classifier.class_names.index("cat")], size)
    difference = np.asarray(drawn, "float32") - overlay(read_image(CAT, size), map)
    assert np.abs(difference).mean() < 3  # of 255, since it is sent compressed

    if target := os.environ.get("CNN_CIFAR10_SCREENSHOT"):
        screenshot = Image.open(io.BytesIO(page.chromium.get_screenshot_as_png()))
        screenshot.convert("RGB").save(target, quality=90)


def test_an_image_is_decoded_as_everywhere_else(page, classifier, tmp_path):
    """It lies on its side, which its EXIF data says."""
    path, exif = tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6
    Image.open(EXAMPLES / "ship.jpg").transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    page.upload(path)
    page.wait_for("ship")
    percent = page.find("#classes").text.split("\n")[2]
    assert percent == f"{classifier.classify_files([path])[0].top(1)[0]['probability']:.0%}"


@pytest.mark.parametrize("name", ["IMG_1.HEIC", "a.hif", "b.avif", "c.tiff", "d.JP2", "e.pnm"])
def test_images_that_browsers_do_not_know_are_taken(page, name, tmp_path):
    pillow_heif.register_heif_opener()
    kind = IMAGE_FORMATS[Path(name).suffix.lower()]
    Image.open(CAT).convert("RGB").save(tmp_path / name, format=kind)
    page.upload(tmp_path / name)
    page.wait_for("cat")


@pytest.mark.parametrize("name", ["*a* _b_ $c$ $$d$$", "<b>猫</b> &lt;", "# [a](b) `c` \\", "1. a"])
def test_names_of_classes_are_shown_as_they_are(name, serving, chromium, classifier):
    named = dataclasses.replace(classifier, class_names=(name,) * 10)
    with serving({"m": named}) as client:
        page = Page(chromium, str(client.base_url))
        page.upload(CAT)
        page.wait_for(name)


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
def test_the_map_lies_over_what_the_model_saw_in_its_own_shape(
    fit, shape, shown, classifier, tmp_path
):
    fitting = dataclasses.replace(classifier, fit=fit)
    cat = Image.open(CAT).convert("RGB").resize((shape[1], shape[0]))
    cat.paste("skyblue", (0, 0, shape[1] // 2, shape[0]))
    cat.save(tmp_path / "wide.png")
    _, _, explanation = _classify({"m": fitting}, "m", {"path": tmp_path / "wide.png"}, 0)
    drawn = Image.open(explanation.value["path"]).convert("RGB")
    assert (drawn.height, drawn.width) == shown
    (row,) = fitting.probabilities(pixels := read_image(tmp_path / "wide.png", (32, 32), fit)[None])
    size = (320, 320) if fit != "stretch" else shown
    (map,) = fitting.explain(pixels, [row.argmax()], size)
    top, left = (320 - shown[0]) // 2, (320 - shown[1]) // 2
    if fit == "pad":
        map = map[top : top + shown[0], left : left + shown[1]]
    image = read_image(tmp_path / "wide.png", shown, "crop" if fit == "crop" else "stretch")
    difference = np.abs(np.asarray(drawn, "float32") - overlay(image, map))
    assert difference.mean() < 4  # of 255, since it is kept compressed


def test_an_unreadable_file_gets_a_message_that_says_what_to_do(page, tmp_path):
    (tmp_path / "photo.jpg").write_text("<html>no image</html>")
    page.upload(tmp_path / "photo.jpg")
    page.wait_for(
        "This image holds no image of a format read here; convert it to JPEG or PNG, or remove it."
    )
    assert not page.explains()


def test_an_image_that_is_no_longer_kept_is_asked_for_again(page, tmp_path):
    page.upload(shutil.copy(CAT, tmp_path / "kept.jpg"))
    page.wait_for("cat")
    (kept,) = Path(os.environ["GRADIO_TEMP_DIR"]).rglob("kept.jpg")
    kept.unlink()
    page.type_threshold("0.5")
    page.wait_for("This image is no longer here; upload it again.")


def test_every_example_shows_what_it_is_named_after(page):
    examples = page.chromium.find_elements(By.CSS_SELECTOR, ".gallery-item")
    assert len(examples) == 4
    for example in examples:
        name = example.find_element(By.TAG_NAME, "img").get_attribute("src").split("/")[-1]
        example.click()
        page.wait_for(name.removesuffix(".jpg"))


def test_a_threshold_makes_it_unsure_and_another_model_may_not_explain(page):
    page.upload(CAT)
    page.wait_for("cat")
    assert page.explains()
    page.type_threshold("1")
    page.wait_for("unsure")
    page.find("input[role=combobox]").click()
    page.find("[role=option][aria-label=unexplained]").click()
    WebDriverWait(page.chromium, SECONDS).until_not(lambda driver: page.explains())
    assert page.find("#classes").text.split("\n")[1] == "cat"


def test_a_browser_that_knows_the_token_can_use_the_page(serving, chromium, classifier):
    with serving({"custom_cnn": classifier}, token="secret") as client:
        url = str(client.base_url)
        assert client.get("/").status_code == 401
        chromium.get(f"{url.replace('//', '//anyone:secret@')}/models")
        page = Page(chromium, url)
        page.upload(CAT)
        page.wait_for("cat")
        assert page.errors() == []


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=https://example.com/",
        "/gradio_api/proxy=https://example.com/",
        "/gradio_api/stream/a/b/c/playlist.m3u8",
        "/gradio_api/info",
        "/gradio_api/runs",
        "/gradio_api/run-history/buckets",
        "/config",
        "/monitoring",
    ],
)
def test_what_the_page_does_not_need_is_closed(client, path):
    assert client.get(path).status_code == 404


def test_no_file_is_served_but_those_that_came_in(client, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "private.png")
    for path in (tmp_path / "private.png", CAT, "/etc/hostname"):
        assert client.get(f"/gradio_api/file={path}").status_code == 403
    files = {"files": ("photo.png", (tmp_path / "private.png").read_bytes())}
    (path,) = client.post("/gradio_api/upload", files=files).json()
    assert client.get(f"/gradio_api/file={path}").content == files["files"][1]
    (other,) = client.post("/gradio_api/upload", files={"files": ("a.html", b"<script>")}).json()
    assert "attachment" in client.get(f"/gradio_api/file={other}").headers["content-disposition"]


@pytest.mark.parametrize("call", ["queue/join", "run/predict"])
@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
@pytest.mark.parametrize(
    "path",
    [str(CAT), "/etc/passwd", "http://example.com/cat.jpg", "a\0b", 1],
    ids=["example", "file", "address", "null", "number"],
)
def test_only_an_upload_is_classified(client, path, meta, call):
    data = ["custom_cnn", {"path": path, **meta}, 0]
    body = {"data": data, "fn_index": 1, "session_hash": "s"}
    answer = client.post(f"/gradio_api/{call}", json=body)
    assert answer.status_code == 422
    assert "detail" in answer.json()


def test_uploads_have_a_limit(client):
    files = {"files": ("photo.png", bytes(int(Limits.megabytes * 10**6) + 1))}
    assert client.post("/gradio_api/upload", files=files).status_code == 413


def test_the_page_needs_neither_keras_nor_tensorflow_and_calls_nobody(run_program):
    run_program("page_alone.py")
