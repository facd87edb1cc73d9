import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest

from cnn_cifar10 import plotting
from cnn_cifar10.errors import InputError

NAMES_100 = [f"class number {i}" for i in range(100)]
HISTORY = {
    "loss": [2.0, 1.0, 0.5, 0.25],
    "val_loss": [1.9, 1.2, 0.9, 1.0],
    "accuracy": [0.3, 0.6, 0.8, 0.95],
    "val_accuracy": [0.35, 0.55, 0.71, 0.7],
    "learning_rate": [0.1, 0.1, 0.1, 0.1],
    "seconds": [10.0, 20.0, 30.0, 40.0],
}
SUMMARIES = [
    {"run": "a", "model": "a", "mean": 0.9, "std": 0.012, "n": 3},
    {"run": "b", "model": "b", "mean": 0.95, "std": None, "n": 1},
]


def per_class(count):
    rng = np.random.default_rng(0)
    return [
        {"class": name, "precision": p, "recall": r, "f1": 2 * p * r / (p + r), "support": 9}
        for name, p, r in zip(NAMES_100[:count], *rng.uniform(0.2, 1, (2, count)), strict=True)
    ]


def texts(artists):
    return [artist.get_text() for artist in artists]


def images(count, side=8):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), "uint8")


def overlap(figure, artists):
    figure.draw_without_rendering()
    boxes = [artist.get_window_extent() for artist in artists]
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


FIGURES = {
    "confusion_matrix": lambda: plotting.plot_confusion_matrix(np.eye(3), "abc", "title"),
    "history": lambda: plotting.plot_history(HISTORY, "title"),
    "histories": lambda: plotting.plot_histories({"a": HISTORY, "b": HISTORY}),
    "images": lambda: plotting.plot_images(images(3), ["a", "b", "c"]),
    "mistakes": lambda: plotting.plot_mistakes(images(2), "ab", "ba", [0.9, 0.8]),
    "per_class": lambda: plotting.plot_per_class(per_class(4)),
    "comparison": lambda: plotting.plot_comparison(SUMMARIES),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_is_shown_once_and_leaves_no_trace(name, tmp_path):
    before = dict(matplotlib.rcParams)
    figure = FIGURES[name]()
    assert dict(matplotlib.rcParams) == before
    # A figure that pyplot knows would be shown a second time at the end of a cell.
    assert matplotlib.pyplot.get_fignums() == []
    assert figure._repr_png_().startswith(b"\x89PNG")
    figure.savefig(tmp_path / "figure.png")


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
    assert texts(captions) == ["predicted n02105855, She…, 99%\ntrue cat"] * 8
    assert not overlap(figure, captions)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_per_class_is_sorted_and_names_every_class(classes):
    rows = per_class(classes)
    figure = plotting.plot_per_class(rows, "title")
    axes = figure.axes[0]
    ordered = sorted(rows, key=lambda row: row["f1"])
    assert texts(axes.get_yticklabels()) == [row["class"] for row in ordered]
    assert [bar.get_width() for bar in axes.patches] == [row["f1"] for row in ordered]
    precision, recall = axes.collections
    assert precision.get_offsets()[:, 0].tolist() == [row["precision"] for row in ordered]
    assert recall.get_offsets()[:, 0].tolist() == [row["recall"] for row in ordered]
    assert not overlap(figure, axes.get_yticklabels())


def test_comparison_writes_mean_deviation_and_number_of_runs():
    axes = plotting.plot_comparison(SUMMARIES).axes[0]
    assert texts(axes.get_yticklabels()) == ["a", "b"]
    assert texts(axes.texts) == ["90.00 ± 1.20 %  (n = 3)", "95.00 %  (n = 1)"]
    bar = axes.collections[0].get_segments()[0]
    assert bar[:, 0] == pytest.approx([0.888, 0.912])
