"""The report of two tiny runs of speech: what is in the page, and how a browser shows it."""

import base64
import html.parser
import io
import json
import shutil

import numpy as np
import pytest
import soundfile
from matplotlib import image

from tests.zoo.command_line import done, inside, refused
from tests.zoo.conftest import SPEECH
from zf_keras.datasets import speech as data_set
from zoo import training
from zoo.evaluation import evaluate
from zoo.recipes import from_text
from zoo.report.contents import SECONDS, warnings
from zoo.runs import Run

TITLE = "STORN <b>of</b> {{ speech }} & more"
WIDTHS = (1280, 390)


class Page(html.parser.HTMLParser):
    """Tags with their attributes, and the text outside of scripts."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.text, self.inside = [], "", None
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = tag

    def handle_data(self, text):
        if self.inside not in ("script", "style"):
            self.text += text

    def of(self, tag, attribute):
        return [attributes[attribute] for name, attributes in self.tags if name == tag and attribute in attributes]


@pytest.fixture(scope="module")
def report(speech):
    """The page of a run without latents and of one with them, and the runs."""
    text = (
        SPEECH.partition("[small]")[0]
        .replace("Tiny speech", TITLE)
        .replace('"RNN"', '"STORN"')
        .replace("units = 5", "units = 5\nlatent_dim = 3")
    )
    storn = Run.begin(speech.folder / "storn", from_text("storn", text), False, speech.folder / "data" / "speech")
    training.train(storn, verbose=0)
    evaluate(storn, num_samples=2, verbose=0)
    with inside(speech.folder):
        out = done("report", "runs/tiny-small", "storn", "--output", "page.html", "--count", 2, "--sequences", 2)
    assert out.endswith("page.html\n")
    return speech.folder / "page.html", storn


def test_the_page(report):
    path, storn = report
    page = Page(path.read_text(encoding="utf-8"))
    assert TITLE in page.text and "small form" in page.text and "1.25 bits a sample (exact)" in page.text
    results = storn.results()["bounds"]["IWAE-2"]["bits a sample"]
    assert f"{results:.4f} ± " in page.text and 'class = "STORN"' in page.text
    targets, links = [attributes.get("id") for _, attributes in page.tags], page.of("a", "href")
    assert len(links) == 4 and all(link[1:] in targets for link in links)
    for tag in ("img", "audio", "script", "link", "iframe"):
        assert all(source.startswith("data:") for source in page.of(tag, "src") + page.of(tag, "href"))
    pictures, sounds = page.of("img", "src"), page.of("audio", "src")
    assert len(pictures) == 3 and all(np.ptp(image.imread(decoded(picture))) > 0.5 for picture in pictures)
    assert len(sounds) == 8
    wave, rate = soundfile.read(decoded(sounds[0]), dtype="int16")
    sequence = storn.load_data().test[0]
    expected, _ = data_set.audio(sequence, storn.load_data().train.manifest)
    np.testing.assert_array_equal(wave, expected[: min(len(wave), SECONDS * rate)])
    assert rate == 8000 and len(wave) > 100
    figures = [
        name for name in targets if name and name.startswith(("curves-", "run-")) and name not in ("run-1", "run-2")
    ]
    assert figures == [
        "curves-elbo",
        "curves-kl",
        "run-1-calibration",
        *(f"run-2-{name}" for name in ("latents", "kl-dimension", "kl-step", "calibration")),
    ]


def decoded(uri):
    return io.BytesIO(base64.b64decode(uri.partition(",")[2]))


def test_in_a_browser(report):
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("There is no Chromium: apt install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 900})
            said, asked = [], []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(report[0].as_uri())
            page.wait_for_function("document.querySelectorAll('.js-plotly-plot .plot-container').length == 7")
            assert not said and [url for url in asked if not url.startswith("data:")] == [report[0].as_uri()]
            assert page.evaluate("document.documentElement.scrollWidth") == width
            beyond = page.evaluate(
                """[...document.querySelectorAll("body *")].filter(x => x.getBoundingClientRect().right > innerWidth + 1
                && !x.closest(".scroll, pre, svg")).map(x => x.outerHTML.slice(0, 80))"""
            )
            assert not beyond
            page.wait_for_function(
                """[...document.querySelectorAll(".js-plotly-plot")].every(
                x => x.querySelector(".main-svg").getBoundingClientRect().right <= x.getBoundingClientRect().right + 1
                && x.getBoundingClientRect().width <= x.parentElement.getBoundingClientRect().width + 1)""",
                timeout=5000,
            )
            assert page.evaluate("[...document.images].every(x => x.complete && x.naturalWidth > 100)")
            played = page.evaluate(
                """async () => {
                const sound = document.querySelector("audio")
                sound.muted = true
                await sound.play()
                await new Promise(done => { sound.onended = done; setTimeout(done, 3000) })
                return [sound.error && sound.error.message, sound.duration, sound.currentTime]}"""
            )
            assert played[0] is None and played[1] > 0.01 and played[2] > 0
            page.click("nav a >> nth=1")
            top = page.evaluate("document.getElementById('run-2').getBoundingClientRect().top")
            assert page.url.endswith("#run-2") and abs(top) < 5
        browser.close()


def test_what_is_refused(speech, tiny_original):
    with inside(speech.folder):
        said = refused("report", "runs/tiny-small", str(tiny_original.directory))
        assert "several data sets" in said
        assert "`output` must be in a folder that is there" in refused(
            "report", "runs/tiny-small", "--output", "no/x.html"
        )
        assert "`count` must be" in refused("report", "runs/tiny-small", "--count", 0)


def test_warnings(tiny):
    shares = {"nll": {"weighted": 30.0}, "kl": {"weighted": 10.0}, "aux_nll": {"weighted": -100.0}}
    summary = {
        "kl": {"by_dimension": [0.02, 0.03]},
        "active_units": {"count": 1, "count_beyond_prior": 0, "variance": [0.1, 0.0]},
        "loss_shares": shares,
        "warnings": {"collapsed": True, "outweighing": ["aux_nll"]},
    }
    assert list(warnings(tiny, 3, 3, summary)) == [
        "The best epoch is the last, 3: with more epochs the model may get better.",
        "The posterior collapsed: its KL is 0.05 nats a sequence, 1 of 2 dimensions are active, 0 beyond the prior.",
        "The term aux_nll outweighs the bound: weighted, it is 2.5 times as large as nll and KL together.",
    ]
    summary["warnings"] = {"collapsed": False, "outweighing": []}
    assert list(warnings(tiny, 3, 1, summary)) == list(warnings(tiny, 3, 1, None)) == []
    results = json.loads(tiny.path("results.json").read_text())
    tiny.path("results.json").write_text(json.dumps(results | {"of_sequences": results["sequences"] + 1}))
    (said,) = warnings(tiny, 3, 1, None)
    assert said.startswith(f"Measured on {results['sequences']} of {results['sequences'] + 1}")
    tiny.path("results.json").unlink()
    assert list(warnings(tiny, 3, 1, None)) == ["Nothing was measured yet: evaluate the run."]
