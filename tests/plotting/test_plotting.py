import itertools

import keras
import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest

from cnn_cifar10 import plotting
from cnn_cifar10.plotting import style
from cnn_cifar10.utils import InputError

NAMES_100 = [f"class number {i}" for i in range(100)]
# What is mathematics or markup elsewhere, and other scripts; DejaVu has all their letters.
NAMES_OF_ANY_KIND = (
    "$1_$5",
    r"$\frac{$",
    "a_b^c",
    "*&<|`~",
    "%d {x} \\n",
    "قطة كبيرة",
    "חתול",
    "кот",
)
HISTORY = {
    "loss": [2.0, 1.0, 0.5, 0.25],
    "val_loss": [1.9, 1.2, 0.9, 1.0],
    "accuracy": [0.3, 0.6, 0.8, 0.95],
    "val_accuracy": [0.35, 0.55, 0.71, 0.7],
    "learning_rate": [0.1, 0.1, 0.1, 0.1],
    "seconds": [10.0, 20.0, 30.0, 40.0],
}
SUMMARIES = [
    {"run": "a", "model": "a", "mean": 0.9, "std": 0.012, "n": 3, "mflops": 20.0},
    {"run": "b", "model": "b", "mean": 0.95, "std": None, "n": 1, "mflops": 80.0},
]
# Names, accuracies and million operations as they come, some of them close together.
LONG_RUNS = [
    {"run": f"cifar10-{name}", "mean": mean, "mflops": mflops}
    for name, mean, mflops in (
        ("transfer-efficientnet_lite0-finetuned", 0.9616, 250.0),
        ("resnet18", 0.9418, 1112.0),
        ("wide_resnet16_4", 0.9406, 790.0),
        ("googlenet", 0.9384, 1100.0),
        ("vgg16", 0.9281, 627.0),
        ("resnet56", 0.9248, 252.0),
        ("resnet20", 0.9104, 81.7),
        ("transfer-efficientnet_lite0", 0.9084, 250.0),
        ("transfer-mobilenet_v2", 0.9010, 190.0),
        ("efficientnet_b0", 0.8957, 120.6),
        ("custom_cnn", 0.8666, 77.3),
        ("custom_cnn-7epochs", 0.8339, 77.3),
        ("baseline_cnn", 0.7285, 25.8),
    )
]


def variant(name, mean, verdict, difference=None, *, spread=0.01, place=()):
    """What `summarize_study` says of three seeds around a mean."""
    return {
        **{"variant": name, "mean": mean, "verdict": verdict, "difference": difference},
        **{"std": spread, "low": mean - 2 * spread, "high": mean + 2 * spread},
        "difference_low": None if difference is None else difference - 0.03,
        "difference_high": None if difference is None else difference + 0.03,
        **{"values": [mean - spread, mean, mean + spread], "seeds": [0, 1, 2], "place": place},
    }


FAILED = {
    **dict.fromkeys(("mean", "std", "low", "high", "difference")),
    **dict.fromkeys(("difference_low", "difference_high")),
    **{"variant": "lost", "verdict": "training failed", "values": [], "seeds": []},
}
VARIANTS = [
    variant("high", 0.8, "better", 0.05),
    variant("usual", 0.75, "reference"),
    variant("low", 0.7, "no difference seen", -0.05, spread=0.2),
    FAILED,
]
NUMBERS = [  # a number, and a second one
    variant("a", 0.8, "better", 0.1, place=[16, 0.1]),
    variant("b", 0.7, "reference", place=[2, 0.1]),
    variant("c", 0.6, "worse", -0.1, place=[2, 0.5]),
    {**FAILED, "place": [16, 0.5]},
]


RELIABILITY = [  # too sure, empty, not sure enough
    {"low": 0.0, "high": 0.5, "examples": 30, "confidence": 0.4, "accuracy": 0.1},
    {"low": 0.5, "high": 0.75, "examples": 0, "confidence": None, "accuracy": None},
    {"low": 0.75, "high": 1.0, "examples": 10, "confidence": 0.8, "accuracy": 1.0},
]
ROBUSTNESS = [
    {"corruption": corruption, "severity": severity, "accuracy": 0.9 - slope * severity}
    for corruption, slope in (("gaussian_noise", 0.1), ("jpeg", 0.05))
    for severity in (2, 0, 1)
]


def per_class(count, names=None):
    rng, names = np.random.default_rng(0), names or [f"class number {i}" for i in range(count)]
    return [
        {
            **{"class": name, "precision": p, "recall": r, "f1": 2 * p * r / (p + r)},
            **{"recall_low": r - 0.1, "recall_high": r + 0.05, "support": 9},
        }
        for name, p, r in zip(names, *rng.uniform(0.2, 1, (2, count)), strict=True)
    ]


def residual_block():
    x = keras.Input((8, 8, 4))
    y = keras.layers.Conv2D(4, 3, padding="same")(x)
    y = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(y))
    y = keras.layers.DepthwiseConv2D(5, padding="same", activation="silu")(y)
    return keras.Model(x, keras.layers.Activation("relu")(keras.layers.Add()([y, x])))


def texts(artists):
    return [artist.get_text() for artist in artists]


def images(count, side=8):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), "uint8")


def overlap(figure, artists):
    figure.draw_without_rendering()
    boxes = [artist.get_window_extent() for artist in artists]
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


TIMED = [
    {"recipe": recipe, "seconds": seconds, "accuracy": plain, "tta_accuracy": views}
    for recipe, seconds, plain, views in (
        ("another", "900", "0.89", "0.91"),
        ("long", "850", "0.88", "0.91"),
        ("short", "100", "0.80", "0.81"),
        ("short", "110", "0.79", "0.82"),
    )
]

FIGURES = {
    "confusion_matrix": lambda: plotting.plot_confusion_matrix(np.eye(3), "abc", "title"),
    "history": lambda: plotting.plot_history(HISTORY, "title"),
    "histories": lambda: plotting.plot_histories({"a": HISTORY, "b": HISTORY}),
    "images": lambda: plotting.plot_images(images(3), ["a", "b", "c"]),
    "mistakes": lambda: plotting.plot_mistakes(images(2), "ab", "ba", [0.9, 0.8]),
    "per_class": lambda: plotting.plot_per_class(per_class(4)),
    "comparison": lambda: plotting.plot_comparison(SUMMARIES),
    "pareto": lambda: plotting.plot_pareto(SUMMARIES, "title"),
    "confusion_matrices": lambda: plotting.plot_confusion_matrices(
        {"a": np.ones((3, 3)), "b": np.eye(3)}, "abc"
    ),
    "agreement": lambda: plotting.plot_agreement([[1.0, 0.5], [0.5, 1.0]], "ab", "title"),
    "blocks": lambda: plotting.plot_blocks({"title": residual_block()}),
    "variants": lambda: plotting.plot_variants(VARIANTS, "usual", "title"),
    "with_slider": lambda: plotting.plot_with_slider(
        lambda count: plotting.plot_images(images(int(count))), count=(1, 8, 1, 3)
    ),
    "variant_curve": lambda: plotting.plot_variant_curve(NUMBERS, "epochs", "b", "title"),
    "variant_grid": lambda: plotting.plot_variant_grid(NUMBERS, ("epochs", "rate"), "b", "title"),
    "seeds": lambda: plotting.plot_seeds(VARIANTS[0], "title"),
    "time_to_accuracy": lambda: plotting.plot_time_to_accuracy(TIMED, "title"),
    "reliability": lambda: plotting.plot_reliability({"a": RELIABILITY, "b": RELIABILITY}),
    "grad_cam": lambda: plotting.plot_grad_cam(
        images(9), np.zeros((9, 8, 8)), "abcdefghi", "title"
    ),
    "robustness": lambda: plotting.plot_robustness(ROBUSTNESS, "title"),
    "effects": lambda: plotting.plot_effects(
        [{"study": "a_study", "reference": "usual", "variants": VARIANTS[:3]}], 0.01, "title"
    ),
    "class_counts": lambda: plotting.plot_class_counts({"a": 3, "b": 2}, "title"),
    "image_sizes": lambda: plotting.plot_image_sizes(np.array([4, 9]), np.array([5, 5]), "title"),
    "range_test": lambda: plotting.plot_range_test([0.1, 1.0], [2.0, 1.0], [2.0, 1.5], 0.5),
    "importances": lambda: plotting.plot_importances({"width": 0.7, "rate": 0.1}, 0.25, "title"),
    "parallel_coordinates": lambda: plotting.plot_parallel_coordinates(
        {"width": [8, 16, 32]}, [trial(0, 0.5, 8, 0.1), trial(1, None, 16, 0.1, "lost")], "title"
    ),
}


def test_every_figure_is_listed():
    assert {f"plot_{name}" for name in FIGURES} == set(plotting.__all__)


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_shown_once_and_leaves_no_trace(name):
    before = dict(matplotlib.rcParams)
    figure = FIGURES[name]()
    assert dict(matplotlib.rcParams) == before
    # A figure that pyplot knows would be shown a second time at the end of a cell.
    assert matplotlib.pyplot.get_fignums() == []
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_confusion_matrix_cells_are_percent_of_the_row():
    matrix = [[996, 4, 0], [1, 2, 1], [0, 0, 0]]
    figure = plotting.plot_confusion_matrix(matrix, ["cat", "dog", "owl"], "pets test split")
    axes = figure.axes[0]
    assert texts(axes.texts) == ["100", "", "", "25", "50", "25", "", "", ""]
    assert texts(axes.get_xticklabels()) == ["cat", "dog", "owl"]
    assert texts(axes.get_yticklabels()) == ["cat", "dog", "owl"]
    assert axes.get_title(loc="left") == "pets test split"
    np.testing.assert_allclose(
        axes.collections[0].get_array().ravel(), [99.6, 0.4, 0, 25, 50, 25, 0, 0, 0]
    )


def test_confusion_matrix_text_stands_out_from_its_cell():
    axes = plotting.plot_confusion_matrix([[9, 1], [1, 9]], "ab").axes[0]
    dark, light = (matplotlib.colors.to_rgb(text.get_color()) for text in axes.texts[:2])
    assert min(dark) > 0.9
    assert max(light) < 0.3


@pytest.mark.parametrize("classes", [10, 100])
def test_confusion_matrix_names_every_class_legibly(classes):
    figure = plotting.plot_confusion_matrix(np.eye(classes), NAMES_100[:classes], "title")
    axes = figure.axes[0]
    assert texts(axes.get_xticklabels()) == NAMES_100[:classes]
    assert texts(axes.get_yticklabels()) == NAMES_100[:classes]
    assert bool(axes.texts) == (classes <= 25)
    assert not overlap(figure, axes.get_yticklabels())
    inside = figure.bbox
    for text in (axes.xaxis.label, axes.yaxis.label, axes.get_yticklabels()[0]):
        box = text.get_window_extent()
        assert inside.x0 <= box.x0
        assert inside.y0 <= box.y0
        assert box.x1 <= inside.x1


def test_confusion_matrix_of_the_wrong_shape():
    with pytest.raises(InputError, match=r"\(3, 3\)"):
        plotting.plot_confusion_matrix(np.eye(2), "abc")


def test_history_tells_the_gap_and_the_best_epoch():
    figure = plotting.plot_history(HISTORY)
    loss, accuracy = figure.axes
    assert texts(loss.get_legend().texts)[2:] == [
        "gap at the end: +0.750",
        "best validation: 0.900, epoch 3",
    ]
    assert texts(accuracy.get_legend().texts)[2:] == [
        "gap at the end: +25.0 points",
        "best validation: 71.0%, epoch 3",
    ]
    training, validation, best = accuracy.lines
    assert training.get_xdata().tolist() == [1, 2, 3, 4]
    assert validation.get_ydata() == pytest.approx(HISTORY["val_accuracy"])
    assert best.get_xydata() == pytest.approx(np.array([[3, 0.71]]))


def test_history_may_lack_keys():
    assert len(plotting.plot_history({"loss": [1.0]}).axes) == 1
    figure = plotting.plot_history({"loss": [1.0, 0.5], "val_accuracy": [0.1, 0.2]})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "accuracy"]
    with pytest.raises(InputError, match="seconds"):
        plotting.plot_history({"seconds": [1.0]})


def test_histories_are_ordered_by_their_last_value():
    worse = {**HISTORY, "val_accuracy": [0.1, 0.2, 0.3, 0.4]}
    figure = plotting.plot_histories({"worse": worse, "better": HISTORY}, x="seconds")
    assert texts(figure.legends[0].texts) == ["better, 70.0%", "worse, 40.0%"]
    assert figure.axes[0].lines[0].get_xdata() == pytest.approx(HISTORY["seconds"])


def test_histories_say_what_is_missing():
    with pytest.raises(InputError, match="'b' has no 'val_accuracy'"):
        plotting.plot_histories({"a": HISTORY, "b": {"loss": [1.0]}})
    with pytest.raises(InputError, match="'a' has no 'seconds'"):
        plotting.plot_histories({"a": {"val_accuracy": [0.5]}}, x="seconds")
    with pytest.raises(InputError, match="'hours'"):
        plotting.plot_histories({"a": HISTORY}, x="hours")


def test_images_are_drawn_pixel_by_pixel():
    shown = images(5)
    figure = plotting.plot_images(shown, list("abcde"), columns=3, title="five")
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in drawn] == list("abcde")
    for axes, image in zip(drawn, shown, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image)
        assert axes.images[0].get_interpolation() == "nearest"


def test_float_images_are_0_to_255():
    figure = plotting.plot_images(np.array([[[[0.0, 127.6, 300.0]]]]))
    assert figure.axes[0].images[0].get_array().ravel().tolist() == [0, 128, 255]


def test_images_need_as_many_titles():
    with pytest.raises(InputError, match="received 1"):
        plotting.plot_images(images(2), ["a"])
    with pytest.raises(InputError, match="at least one"):
        plotting.plot_images([])


def test_mistakes_say_what_was_taken_for_what():
    long = "n02105855, Shetland sheepdog"
    figure = plotting.plot_mistakes(images(8), ["cat"] * 8, [long] * 8, [0.987] * 8, "title")
    captions = [axes.title for axes in figure.axes if axes.images]
    assert texts(captions) == ["99% predicted n021058…heepdog\ntrue cat"] * 8
    assert not overlap(figure, captions)


def test_mistakes_name_their_files():
    files = ["cats/IMG_0001.jpg", f"cats/{'very' * 30}_long/IMG_0002.jpg"]
    figure = plotting.plot_mistakes(images(2), ["cat"] * 2, ["dog"] * 2, [0.9] * 2, "title", files)
    captions = [axes.title for axes in figure.axes if axes.images]
    assert [text.split("\n")[0] for text in texts(captions)] == [
        "cats/IMG_0001.jpg",
        "cats/veryveryv…ng/IMG_0002.jpg",
    ]
    assert not overlap(figure, captions)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_per_class_is_sorted_and_names_every_class(classes):
    rows = per_class(classes)
    figure = plotting.plot_per_class(rows, "title")
    axes = figure.axes[0]
    ordered = sorted(rows, key=lambda row: row["f1"])
    assert texts(axes.get_yticklabels()) == [row["class"] for row in ordered]
    assert [bar.get_width() for bar in axes.patches] == [row["f1"] for row in ordered]
    interval, precision, recall = axes.collections
    bounds = [segment[:, 0].tolist() for segment in interval.get_segments()]
    assert bounds == [[row["recall_low"], row["recall_high"]] for row in ordered]
    assert precision.get_offsets()[:, 0].tolist() == [row["precision"] for row in ordered]
    assert recall.get_offsets()[:, 0].tolist() == [row["recall"] for row in ordered]
    assert not overlap(figure, axes.get_yticklabels())


def test_per_class_of_very_many_classes_shows_the_worst():
    rows = per_class(2000)
    figure = plotting.plot_per_class(rows, "many")
    axes = figure.axes[0]
    worst = sorted(rows, key=lambda row: row["f1"])[:100]
    assert texts(axes.get_yticklabels()) == [row["class"] for row in worst]
    assert axes.get_title(loc="left") == "many: the 100 of 2,000 classes with the lowest F1"


@pytest.mark.parametrize("classes", [101, 300, 2000])
def test_confusion_matrix_of_very_many_classes_is_no_larger_and_shows_every_mistake(classes):
    matrix = 3 * np.eye(classes, dtype=int)
    matrix[7, classes - 1] = 2
    names = [f"class number {i}" for i in range(classes)]
    figure = plotting.plot_confusion_matrix(matrix, names, "title")
    assert max(figure.get_size_inches()) < 20
    (axes, _), (image,) = figure.axes, figure.axes[0].images
    named = texts(axes.get_yticklabels())
    assert 50 <= len(named) <= 100
    assert [names[int(place)] for place in axes.get_yticks()] == named
    assert not overlap(figure, axes.get_yticklabels())
    shown = image.get_array()
    assert shown[int(7 * len(shown) / classes), -1] == pytest.approx(40)
    assert (shown > 0).sum() == len(shown) + 1


def test_confusion_matrices_of_very_many_classes():
    matrices = {"a": np.eye(1200), "b": np.ones((1200, 1200))}
    figure = plotting.plot_confusion_matrices(matrices, [str(i) for i in range(1200)])
    good, bad = (axes.images[0] for axes in figure.axes[:2])
    assert np.nanmax(good.get_array()) == 0
    assert good.get_clim() == bad.get_clim() == (0, pytest.approx(100 / 1200))


def test_names_of_any_kind_are_drawn_as_they_are(caplog):
    names, count = NAMES_OF_ANY_KIND, len(NAMES_OF_ANY_KIND)
    matrix = np.eye(count)
    figures = [
        plotting.plot_confusion_matrix(matrix, names, names[0]),
        plotting.plot_confusion_matrices(dict.fromkeys(names[:2], matrix), names),
        plotting.plot_per_class(per_class(count, names)),
        plotting.plot_mistakes(images(count), names, names[::-1], [0.5] * count, names[0], names),
        plotting.plot_grad_cam(images(count), np.zeros((count, 8, 8)), names, names[0]),
        plotting.plot_agreement(matrix, names, names[0]),
        plotting.plot_comparison([{**SUMMARIES[0], "run": name} for name in names], names[0]),
        plotting.plot_pareto([{**SUMMARIES[0], "run": name} for name in names], names[0]),
        plotting.plot_histories({name: HISTORY for name in names}, title=names[0]),
        plotting.plot_reliability({name: RELIABILITY for name in names}, names[0]),
    ]
    for figure in figures:  # warnings, such as of a glyph that is missing, are errors
        figure.draw_without_rendering()
    axes = figures[0].axes[0]
    assert texts(axes.get_yticklabels()) == texts(axes.get_xticklabels()) == [*names]
    assert axes.get_title(loc="left") == names[0]
    assert [axes.get_title(loc="left") for axes in figures[1].axes[:2]] == [*names[:2]]
    assert sorted(texts(figures[2].axes[0].get_yticklabels())) == sorted(names)
    assert not caplog.records


def test_long_names_are_cut_in_the_middle_and_stay_distinct():
    stem = "a genus of rather long names, "
    for ends in (["1", "2"], ["1 of many more", "2 of many more"]):
        names = [stem + end for end in ends]
        for length in (22, 15):
            short = style.shorten_all([*names, *names], length)
            assert short[:2] == short[2:]
            assert len(set(short)) == 2
            assert max(map(len, short)) <= length + 4
    assert style.shorten("abcdefghij", 5) == "ab…ij"
    assert style.shorten_all(["abcdefgh1", "abcdefgh2"], 5) == ["ab…h1", "ab…h2"]
    assert style.shorten_all(["1abcdefgh", "2abcdefgh"], 5) == ["1a…gh", "2a…gh"]
    assert style.shorten_all(["abcd1efgh", "abcd2efgh", "x"], 5) == ["ab…gh (1)", "ab…gh (2)", "x"]
    long = ["x" * 300 + end for end in "ab"]
    figure = plotting.plot_per_class(per_class(2, long))
    assert len(set(texts(figure.axes[0].get_yticklabels()))) == 2
    figure.draw_without_rendering()
    assert figure.axes[0].bbox.width > figure.bbox.width / 3


@pytest.fixture
def fonts(monkeypatch, tmp_path):
    """Matplotlib knows the font that it comes with and no other; others are in a folder."""
    from matplotlib import font_manager

    from cnn_cifar10.plotting import fonts

    manager = font_manager.fontManager
    own = [
        entry for entry in manager.ttflist if "DejaVu" in entry.name and "mpl-data" in entry.fname
    ]
    monkeypatch.setattr(manager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: list(map(str, tmp_path.iterdir())))
    monkeypatch.setattr(fonts, "_told", set())
    fonts._find_families.cache_clear()
    yield tmp_path
    fonts._find_families.cache_clear()
    manager._findfont_cached.cache_clear()


def write_font(path, family, characters):
    """Write a font that draws some characters as squares."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    for index, corner in enumerate(((100, 0), (100, 700), (800, 700), (800, 0))):
        (pen.lineTo if index else pen.moveTo)(corner)
    pen.closePath()
    square, codes = pen.glyph(), {ord(each): f"uni{ord(each):04X}" for each in characters}
    names = [*codes.values()]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", *names])
    builder.setupCharacterMap(codes)
    builder.setupGlyf(dict.fromkeys([".notdef", *names], square))
    builder.setupHorizontalMetrics(dict.fromkeys([".notdef", *names], (900, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


def test_fonts_that_were_just_installed_are_found(fonts, caplog):
    write_font(fonts / "a.ttf", "Few Signs", "日")
    write_font(fonts / "b.ttf", "Most Signs", "日本語")
    write_font(fonts / "c.ttf", "Thai Signs", "แมว")
    (fonts / "broken.ttf").write_bytes(b"no font")
    names = ["日本語", "แมว", "cat"]
    figure = plotting.plot_confusion_matrix(np.eye(3), names, "日本")
    figure.draw_without_rendering()
    label = figure.axes[0].get_yticklabels()[0]
    assert label.get_text() == "日本語"
    for text in (label, figure.axes[0]._left_title):
        assert sorted(text.get_fontfamily()) == ["DejaVu Sans", "Most Signs", "Thai Signs"]
    assert not caplog.records


def test_letters_that_no_font_has_are_escapes_and_said_once(fonts, caplog):
    names = ["日本", "日語", "हिन्दी", "cat"]
    for title in ("学", "本"):
        figure = plotting.plot_confusion_matrix(np.eye(4), names, title)
        figure.draw_without_rendering()
    axes = figure.axes[0]
    labels = texts(axes.get_yticklabels())
    assert labels[:2] == ["\\u65e5\\u672c", "\\u65e5\\u8a9e"]
    assert len(set(labels)) == 4
    assert axes.get_title(loc="left") == "\\u672c"
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "学 日 本 語 (cjk)" in messages[1]
    assert "apt install fonts-noto-cjk" in messages[1]
    assert "devanagari" in messages[0]
    assert "apt install fonts-noto-core" in messages[0]


def test_marks_without_a_glyph_and_halves_of_letters_need_no_font(fonts, caplog):
    names = ["a\u2066b\u2069", "c\udcff", "d"]
    figure = plotting.plot_confusion_matrix(np.eye(3), names)
    figure.draw_without_rendering()
    assert texts(figure.axes[0].get_yticklabels()) == ["ab", "c\\udcff", "d"]
    assert not caplog.records


def test_comparison_writes_mean_deviation_and_number_of_runs():
    axes = plotting.plot_comparison(SUMMARIES).axes[0]
    assert texts(axes.get_yticklabels()) == ["a", "b"]
    assert texts(axes.texts) == ["90.00 ± 1.20 %  (n = 3)", "95.00 %  (n = 1)"]
    bar = axes.collections[0].get_segments()[0]
    assert bar[:, 0] == pytest.approx([0.888, 0.912])


SHORT = {"full": False, "epochs": 3, "n": 1, "std": None, "mflops": 100.0}
SHORT_AND_FULL = [
    {**SHORT, "run": "deep, short", "model": "deep", "mean": 0.75},
    {**SHORT, "run": "best of all", "model": "other", "mean": 0.95},
    {**SHORT, "full": True, "run": "deep", "model": "deep", "mean": 0.9, "mflops": 100.0},
    {**SHORT, "full": True, "run": "other", "model": "other", "mean": 0.8, "mflops": 100.0},
]


def test_short_trainings_are_below_full_ones_and_look_different():
    figure = plotting.plot_comparison(SHORT_AND_FULL)
    axes = figure.axes[0]
    names = ["deep, short, 3 epochs", "best of all, 3 epochs", "other", "deep"]
    assert texts(axes.get_yticklabels()) == names
    looks = {(line.get_color(), line.get_marker()) for line in axes.lines if len(line.get_xdata())}
    assert {(style.BLUE, "o"), (style.ORANGE, "^")} <= looks
    assert texts(figure.legends[0].texts) == ["full training", "short training"]
    assert not plotting.plot_comparison(SUMMARIES).legends


def test_a_short_training_is_joined_to_a_better_full_one_of_its_network():
    figure = plotting.plot_pareto(SHORT_AND_FULL)
    axes = figure.axes[0]
    (joined,) = (line for line in axes.lines if line.get_linestyle() == ":")
    assert joined.get_xydata().tolist() == [[100, 0.75], [100, 0.9]]
    marks = {line.get_ydata()[0]: line.get_marker() for line in axes.lines if line != joined}
    assert [marks[mean] for mean in (0.75, 0.95, 0.9, 0.8)] == ["^", "^", "o", "o"]
    assert texts(figure.legends[0].texts)[:2] == ["full training", "short training"]
    assert "deep, short, 3 epochs" in texts(axes.texts)
    assert not plotting.plot_pareto(SUMMARIES).legends


def front(rows):
    """The corners of the line of the best, as `(million operations, accuracy)`."""
    return list(map(tuple, plotting.plot_pareto(rows).axes[0].lines[0].get_xydata().tolist()))


def test_runs_that_another_beats_at_no_more_cost_are_not_on_the_line():
    corners = [(25.8, 0.7285), (77.3, 0.8666), (81.7, 0.9104), (250.0, 0.9616)]
    assert front(LONG_RUNS) == corners
    # Whatever the order, and also of runs that cost the same.
    assert front(LONG_RUNS[::-1]) == corners
    assert front(sorted(LONG_RUNS, key=lambda row: row["run"])) == corners


def test_every_run_is_a_point_with_its_name():
    figure = plotting.plot_pareto(LONG_RUNS, "title")
    axes = figure.axes[0]
    _, *points = axes.lines
    assert {(p.get_xdata()[0], p.get_ydata()[0]) for p in points} == {
        (row["mflops"], row["mean"]) for row in LONG_RUNS
    }
    assert sorted(texts(axes.texts)) == sorted(row["run"] for row in LONG_RUNS)
    assert axes.get_title(loc="left") == "title"


def test_runs_of_unknown_cost_are_left_out():
    unknown = {"run": "c", "mean": 0.99, "mflops": None}
    axes = plotting.plot_pareto([*SUMMARIES, unknown]).axes[0]
    assert texts(axes.texts) == ["a", "b"]
    figure = plotting.plot_pareto([unknown])
    figure.draw_without_rendering()
    assert not figure.axes[0].texts


def test_names_in_the_plot_of_costs_cover_neither_each_other_nor_its_edge():
    figure = plotting.plot_pareto(LONG_RUNS, "title")
    axes = figure.axes[0]
    figure.draw_without_rendering()
    labels = [matplotlib.text.Text.get_window_extent(label) for label in axes.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(labels) for b in labels[:i])
    assert all(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 for box in labels)


def test_a_name_is_nearer_to_its_point_than_to_any_other():
    figure, axes = style.new_axes(10, 6.4)
    axes.set(xlim=(0, 10), ylim=(0, 10))
    spots = {"upper": (5, 5.2), "a lower one": (5, 5.0), "right": (5.3, 5.3)}
    style.name_points(figure, axes, [(*spot, name, "black") for name, spot in spots.items()])
    places = axes.transData.transform(list(spots.values()))
    for label, own in zip(axes.texts, places, strict=True):
        box = matplotlib.text.Text.get_window_extent(label)
        away = np.linalg.norm(np.clip(places, box.min, box.max) - places, axis=1)
        np.testing.assert_array_equal(places[away.argmin()], own)


def test_confusion_matrices_show_mistakes_alone_on_one_scale():
    matrices = {"good": [[8, 0, 2], [0, 0, 0], [1, 0, 3]], "bad": [[2, 2, 0], [0, 4, 0], [3, 0, 1]]}
    figure = plotting.plot_confusion_matrices(matrices, ["cat", "dog", "owl"])
    good, bad = figure.axes[:2]
    assert [axes.get_title(loc="left") for axes in (good, bad)] == ["good", "bad"]
    blank = np.nan
    np.testing.assert_array_equal(
        good.collections[0].get_array().filled(blank).reshape(3, 3),
        [[blank, 0, 20], [0, blank, 0], [25, 0, blank]],
    )
    np.testing.assert_array_equal(
        bad.collections[0].get_array().filled(blank).reshape(3, 3),
        [[blank, 50, 0], [0, blank, 0], [75, 0, blank]],
    )
    assert [axes.collections[0].get_clim() for axes in (good, bad)] == [(0, 75), (0, 75)]
    assert texts(good.get_yticklabels()) == ["cat", "dog", "owl"]
    assert texts(bad.get_xticklabels()) == ["cat", "dog", "owl"]


def test_confusion_matrices_without_a_mistake_are_blank_on_a_scale_from_zero():
    figure = plotting.plot_confusion_matrices({"a": np.eye(3), "b": 5 * np.eye(3)}, "abc")
    figure.draw_without_rendering()
    for axes in figure.axes[:2]:
        lowest, highest = axes.collections[0].get_clim()
        assert lowest == 0
        assert highest > 0
        assert np.nansum(axes.collections[0].get_array()) == 0


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (1, 1)), (4, (1, 4)), (5, (2, 3)), (6, (2, 3)), (8, (2, 4))]
)
def test_confusion_matrices_fill_even_rows_of_at_most_four(count, shape):
    matrices = {f"run {i}": np.ones((3, 3)) for i in range(count)}
    figure = plotting.plot_confusion_matrices(matrices, "abc")
    drawn = [axes for axes in figure.axes[:-1] if axes.collections]
    assert len(drawn) == count
    assert drawn[0].get_subplotspec().get_gridspec().get_geometry() == shape
    figure.draw_without_rendering()
    for column in range(shape[1]):
        lowest = drawn[column :: shape[1]][-1]
        assert any(label.get_visible() for label in lowest.get_xticklabels())


@pytest.mark.parametrize("count", [2, 5, 6, 8])
def test_titles_of_confusion_matrices_are_whole_and_apart(count):
    matrices = {row["run"]: np.ones((10, 10)) for row in LONG_RUNS[:count]}
    figure = plotting.plot_confusion_matrices(matrices, NAMES_100[:10])
    titles = [axes._left_title for axes in figure.axes[:count]]
    assert [title.get_text().replace("\n", "") for title in titles] == list(matrices)
    figure.draw_without_rendering()  # `savefig` draws twice too, and the layout needs both
    assert not overlap(figure, titles)
    assert all(title.get_window_extent().y1 <= figure.bbox.y1 for title in titles)


def test_confusion_matrices_of_many_classes_are_not_littered_with_names():
    matrices = {"a": np.ones((100, 100)), "b": np.ones((100, 100))}
    figure = plotting.plot_confusion_matrices(matrices, NAMES_100)
    labels = [label for label in figure.axes[0].get_yticklabels() if label.get_text()]
    assert not overlap(figure, labels)


def test_agreement_is_in_percent_between_two_models():
    figure = plotting.plot_agreement([[1.0, 0.876], [0.876, 1.0]], ["first", "second"], "title")
    axes = figure.axes[0]
    cells = axes.collections[0].get_array().filled(np.nan).reshape(2, 2)
    np.testing.assert_allclose(cells, [[np.nan, 87.6], [87.6, np.nan]])
    assert [text for text in texts(axes.texts) if text] == ["87.6", "87.6"]
    assert texts(axes.get_xticklabels()) == texts(axes.get_yticklabels()) == ["first", "second"]
    assert axes.get_title(loc="left") == "title"


def test_names_beside_the_agreement_are_all_inside_the_figure():
    names = [row["run"] for row in LONG_RUNS[:8]]
    figure = plotting.plot_agreement(np.full((8, 8), 0.9), names, "title")
    axes = figure.axes[0]
    assert not overlap(figure, axes.get_yticklabels())
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        box = label.get_window_extent()
        assert figure.bbox.x0 <= box.x0
        assert figure.bbox.y0 <= box.y0
        assert box.x1 <= figure.bbox.x1


def test_variants_show_every_seed_the_interval_and_the_verdict():
    figure = plotting.plot_variants(VARIANTS, "usual", "Is it?")
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "Is it?"
    assert texts(axes.get_yticklabels()) == ["lost", "low", "usual", "high"]  # from below
    assert texts(axes.texts) == [
        "training failed",
        "70.00 %,  -5.00 points, no difference seen",
        "75.00 %,  reference",
        "80.00 %,  +5.00 points, better",
    ]
    dots = {line.get_ydata()[0]: line for line in axes.lines if len(line.get_xdata()) == 3}
    assert dots[3].get_xdata() == pytest.approx([0.79, 0.8, 0.81])
    colors = [dots[place].get_color() for place in (3, 2, 1)]
    assert colors == [style.GREEN, style.INK, style.BLUE]
    spans = [bar.get_segments()[0][:, 0].tolist() for bar in axes.collections]
    # Of the differences: so a line crosses the reference where no difference is seen.
    assert spans == [pytest.approx(span) for span in ([0.67, 0.73], [0.77, 0.83])]
    (reference,) = (line for line in axes.lines if line.get_linestyle() == "--")
    assert list(reference.get_xdata()) == [0.75, 0.75]
    assert not overlap(figure, [*axes.texts, *axes.get_yticklabels()])


def test_variants_of_one_seed_have_no_interval():
    single = {**VARIANTS[1], **dict.fromkeys(("std", "low", "high"))}
    single |= {"values": [0.75], "seeds": [0]}
    axes = plotting.plot_variants([single], "usual").axes[0]
    assert not axes.collections
    figure = plotting.plot_variant_curve([{**single, "place": [3]}], "epochs", "usual")
    figure.draw_without_rendering()
    assert not np.isfinite(figure.axes[0].collections[0].get_datalim(axes.transData).ymax)
    cell = plotting.plot_variant_grid([{**single, "place": [3, 1]}], ("a", "b"), "usual").axes[0]
    assert texts(cell.texts) == ["75.0"]
    assert not plotting.plot_seeds(single).axes[0].collections


def test_blocks_have_a_box_a_step_and_the_shortcut_goes_around():
    branches = [keras.layers.MaxPooling2D(2), keras.layers.MaxPooling2D(3, 2, "same")]
    x = keras.Input((8, 8, 4))
    module = keras.Model(x, keras.layers.Concatenate()([pool(x) for pool in branches]))
    figure = plotting.plot_blocks({"residual": residual_block(), "module": module})
    residual, inception = figure.axes
    assert texts([text for text in residual.texts if text.get_text()]) == [
        "input, 4 channels",
        "convolution 3 x 3, 4\nnorm, ReLU",
        "depthwise 5 x 5\nSiLU",
        "+\nReLU",
    ]
    boxes = [box.get_bbox() for box in residual.patches]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    (shortcut,) = (line for line in residual.lines if max(line.get_xdata()) > boxes[0].x1)
    assert shortcut.get_ydata()[0] == 0  # from the input
    assert shortcut.get_ydata()[-1] == 3  # to the sum
    middles = sorted(box.get_bbox().x0 + box.get_bbox().width / 2 for box in inception.patches)
    assert middles == pytest.approx([-0.5, 0, 0, 0.5])  # two branches, side by side


def test_a_convolution_in_a_shortcut_has_a_box_beside_the_block_and_its_stride():
    x = keras.Input((8, 8, 4))
    y = keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu")(x)
    y = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, padding="same")(y))
    shortcut = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 1, 2)(x))
    block = keras.Model(x, keras.layers.Add()([y, shortcut]))
    (axes,) = plotting.plot_blocks({"projection": block}).axes
    placed = {text.get_text(): text.get_position() for text in axes.texts if text.get_text()}
    assert placed == {
        "input, 4 channels": (0, 0),
        "convolution 3 x 3, 8\nstride 2, ReLU": (-0.5, 1),
        "convolution 1 x 1, 8\nstride 2, norm": (0.5, 1),
        "convolution 3 x 3, 8\nnorm": (-0.5, 2),
        "+": (0, 3),
    }


def test_a_slider_is_there_where_somebody_can_move_it(monkeypatch):
    widgets = pytest.importorskip("ipywidgets")
    drawn = []

    def draw(count):
        drawn.append(count)
        return plotting.plot_images(images(int(count)))

    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    assert plotting.plot_with_slider(draw, count=(1, 8, 1, 3))._repr_png_()
    monkeypatch.setenv("JPY_SESSION_NAME", "a notebook")
    with pytest.MonkeyPatch.context() as absent:
        absent.setattr("importlib.util.find_spec", lambda name: None)
        assert plotting.plot_with_slider(draw, count=(1, 8, 1, 3))._repr_png_()
    box = plotting.plot_with_slider(draw, count=(1, 8, 1, 3))
    assert isinstance(box, widgets.interactive)
    box.children[0].value = 5
    assert drawn == [3, 3, 3, 5]


def test_a_curve_is_in_the_order_of_its_numbers():
    axes = plotting.plot_variant_curve(NUMBERS[:3], "batch_size", "b").axes[0]
    means = axes.lines[0]
    assert means.get_xdata().tolist() == [2, 2, 16]
    assert means.get_ydata()[-1] == 0.8
    assert texts(axes.get_xticklabels())[-1] == "16"
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "batch size")
    near = [{**row, "place": [place]} for row, place in zip(NUMBERS[:2], (4, 8), strict=True)]
    assert plotting.plot_variant_curve(near, "epochs", "b").axes[0].get_xscale() == "linear"


def test_a_grid_has_its_numbers_in_order_and_frames_the_reference():
    axes = plotting.plot_variant_grid(NUMBERS, ("stages", "learning_rate"), "b", "title").axes[0]
    cells = axes.collections[0].get_array().filled(np.nan).reshape(2, 2)
    np.testing.assert_allclose(cells, [[70, 60], [80, np.nan]])
    assert sorted(texts(axes.texts)) == ["60.0\n± 1.0", "70.0\n± 1.0", "80.0\n± 1.0", "failed"]
    assert (texts(axes.get_yticklabels()), texts(axes.get_xticklabels())) == (
        *(["2", "16"], ["0.1", "0.5"]),
    )
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("learning rate", "stages")
    (frame,) = axes.patches
    assert frame.get_xy() == (0, 0)


def test_times_are_dots_of_both_accuracies_and_names_keep_out_of_each_others_way():
    figure = plotting.plot_time_to_accuracy(TIMED)
    axes = figure.axes[0]
    dots = {tuple(line.get_xdata()): list(line.get_ydata()) for line in axes.lines[::2]}
    assert dots == {(100.0, 110.0): [0.81, 0.82], (850.0,): [0.91], (900.0,): [0.91]}
    assert [list(line.get_ydata()) for line in axes.lines[1::2]] == [[0.8, 0.79], [0.88], [0.89]]
    figure.draw_without_rendering()
    names = {name.get_text(): name.get_window_extent() for name in axes.texts}
    assert set(names) == {"short", "long", "another"}
    assert not names["long"].overlaps(names["another"])


def test_names_of_recipes_cover_neither_dots_nor_the_edge():
    rows = [
        {"recipe": recipe, "seconds": seconds, "accuracy": plain, "tta_accuracy": plain + 0.01}
        for recipe, seconds, plain in (
            ("first", 1.0, 0.90),
            ("high and wide", 2.0, 0.90),
            ("low", 2.2, 0.88),
            ("high and wide", 2.5, 0.90),
            ("last and at the edge", 2.6, 0.91),
        )
    ]
    figure = plotting.plot_time_to_accuracy(rows)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    dots = np.concatenate([line.get_xydata() for line in axes.lines])
    for name in axes.texts:
        box = matplotlib.text.Text.get_window_extent(name)
        assert not box.count_contains(axes.transData.transform(dots))
        assert axes.bbox.x0 <= box.x0
        assert box.x1 <= axes.bbox.x1


def test_seeds_are_named_with_their_deviation():
    figure = plotting.plot_seeds(VARIANTS[0], "title")
    axes = figure.axes[0]
    assert texts(figure.legends[0].texts) == ["mean 80.00%", "± a standard deviation, 1.00 points"]
    assert texts(axes.get_yticklabels()) == ["0", "1", "2"]
    assert axes.lines[-1].get_xdata() == pytest.approx([0.79, 0.8, 0.81])
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == pytest.approx((0.79, 0.02))


def test_reliability_shows_the_gap_between_accuracy_and_confidence():
    figure = plotting.plot_reliability({"as trained": RELIABILITY, "scaled": RELIABILITY[:1]})
    upper, other, lower, _ = figure.axes
    assert [upper.get_title(loc="left"), other.get_title(loc="left")] == ["as trained", "scaled"]
    bars, gaps = ([patch.get_bbox().bounds for patch in each[::2]] for each in upper.containers)
    np.testing.assert_allclose(bars, [(0, 0, 0.5, 0.1), (0.75, 0, 0.25, 0.8)])
    np.testing.assert_allclose(gaps, [(0, 0.1, 0.5, 0.3), (0.75, 1.0, 0.25, -0.2)])
    assert [patch.get_height() for patch in lower.patches] == [0.75, 0, 0.25]
    with pytest.raises(InputError, match="at least one"):
        plotting.plot_reliability({})


def test_reliability_of_few_images_is_in_the_histogram_alone():
    rows = [{**row, "examples": min(row["examples"], 9)} for row in RELIABILITY]
    upper, lower = plotting.plot_reliability({"few": rows}).axes
    assert np.isnan([patch.get_height() for patch in upper.patches]).all()
    assert [patch.get_height() for patch in lower.patches] == [0.5, 0, 0.5]


def test_grad_cam_lies_beside_each_image_and_warms_with_the_map():
    pictures, maps = np.full((5, 4, 4, 3), 100, "uint8"), np.zeros((5, 4, 4))
    maps[4, 0, 0] = 1
    figure = plotting.plot_grad_cam(pictures, maps, "abcde")
    shown = [axes.images[0].get_array().astype(int) for axes in figure.axes if axes.images]
    assert len(shown) == 10
    assert [axes.get_title() for axes in figure.axes[:10:2]] == [*"abcde"]
    np.testing.assert_array_equal(shown[8], pictures[4])
    assert shown[9][0, 0].sum() > shown[9][1, 1].sum() + 200
    np.testing.assert_array_equal(shown[9][1:], shown[1][1:])


@pytest.mark.parametrize(
    ("images", "maps", "captions"),
    [([], [], None), (images(2), np.zeros((1, 8, 8)), None), (images(2), np.zeros((2, 8, 8)), "a")],
)
def test_grad_cam_wants_a_map_and_a_caption_an_image(images, maps, captions):
    with pytest.raises(InputError, match="with a map and a caption for each"):
        plotting.plot_grad_cam(images, maps, captions)


def test_more_curves_than_colors_are_told_apart_by_their_dashes():
    histories = {str(i): {"val_accuracy": [0.1, i / 20]} for i in range(9)}
    lines = plotting.plot_histories(histories).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9


def test_robustness_draws_severities_in_order_and_the_sturdiest_first():
    figure = plotting.plot_robustness(ROBUSTNESS)
    jpeg, noise = figure.axes[0].lines
    np.testing.assert_allclose(jpeg.get_xydata(), [(0, 0.9), (1, 0.85), (2, 0.8)])
    np.testing.assert_allclose(noise.get_ydata(), [0.9, 0.8, 0.7])
    assert texts(figure.legends[0].texts) == ["jpeg, 80.0%", "gaussian noise, 70.0%"]


def trial(number, accuracy, width, rate, failure=""):
    return {
        "validation_accuracy": accuracy,
        "width": width,
        "learning_rate": rate,
        "failure": failure,
        "trial": number,
    }


def test_parallel_coordinates_have_a_line_a_trial_and_mark_the_best():
    space = {
        "width": [8, 16, 32],
        "learning_rate": {"low": 0.01, "high": 1.0, "sampling": "log"},
    }
    rows = [
        trial(0, 0.5, 8, 0.01),
        trial(1, 0.9, 32, 0.1),
        trial(2, None, 16, 1.0, "the loss became nan"),
        trial(3, None, 16, 1.0),  # unfinished
    ]
    figure = plotting.plot_parallel_coordinates(space, rows, "a search")
    (axes,) = figure.axes
    lines = {
        line.get_label(): list(line.get_ydata())
        for line in axes.get_lines()
        if line.get_label() in ("best: 90.00%", "failed")
    }
    assert lines["best: 90.00%"] == pytest.approx([1.0, 0.5, 1.0])
    assert lines["failed"] == pytest.approx([0.5, 1.0])
    trials = [line for line in axes.get_lines() if len(line.get_xdata()) == 3]
    assert len(trials) == 2
    texts = {text.get_text() for text in axes.texts}
    assert {"8", "16", "32", "0.01", "1.0", "50.0%", "90.0%", "learning\nrate"} <= texts
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == {"best: 90.00%", "failed"}


def test_parallel_coordinates_are_as_dark_as_their_rank_not_as_their_accuracy():
    rows = [trial(n, accuracy, 8, 0.1) for n, accuracy in enumerate((0.1, 0.88, 0.89, 0.9))]
    axes = plotting.plot_parallel_coordinates({"width": [8, 16]}, rows).axes[0]
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 2][:3]
    darkness = [-sum(matplotlib.colors.to_rgb(line.get_color())) for line in lines]
    assert np.diff(darkness).min() > 0.4  # 0.88 and 0.89 are told apart, though 0.1 is far away


def test_importances_are_bars_with_the_doubt_beside_them():
    figure = plotting.plot_importances({"width": 0.7, "dropout": 0.1}, 0.25, "a search")
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [0.7, 0.1]
    assert axes.get_title(loc="left") == "a search: out-of-bag R² of the forest 0.25"


def test_class_counts_are_bars_the_largest_on_top():
    (axes,) = plotting.plot_class_counts({"a": 3, "b": 9, "c": 5}).axes
    assert [bar.get_width() for bar in axes.patches] == [3, 5, 9]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "c", "b"]


def test_image_sizes_are_dots_at_width_and_height():
    (axes,) = plotting.plot_image_sizes(np.array([4, 9, 9]), np.array([5, 7, 7])).axes
    (dots,) = axes.collections
    np.testing.assert_array_equal(dots.get_offsets(), [[4, 5], [9, 7]])
    small, large = dots.get_sizes()
    assert small < large
    assert "width" in axes.get_xlabel()


def test_a_range_test_marks_the_rate_that_it_suggests():
    (axes,) = plotting.plot_range_test([0.1, 1.0], [2.0, 1.0], [2.0, 1.5], 0.5).axes
    steps, smoothed, mark = axes.lines
    np.testing.assert_array_equal(steps.get_xydata(), [[0.1, 2.0], [1.0, 1.0]])
    np.testing.assert_array_equal(smoothed.get_xydata(), [[0.1, 2.0], [1.0, 1.5]])
    assert set(mark.get_xdata()) == {0.5}


def test_effects_are_points_above_or_below_the_reference():
    rows = [
        {"variant": "usual", "mean": 0.70, "verdict": ""},
        {"variant": "wide", "mean": 0.72, "verdict": "better"},
    ]
    effects = [{"study": "a_study", "reference": "usual", "variants": rows}]
    (axes,) = plotting.plot_effects(effects, 0.01).axes
    dots = next(each for each in axes.collections if len(each.get_offsets()) == 2)
    found = sorted(dots.get_offsets()[:, 0])
    np.testing.assert_allclose(found, [0, 2], atol=1e-9)
    named = {text.get_text(): text.xy[0] for text in axes.texts}
    assert named["wide"] == pytest.approx(2)
