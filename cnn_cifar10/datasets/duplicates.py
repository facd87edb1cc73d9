"""Exact copies and near duplicates of images, from digests and thumbnails."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cnn_cifar10.utils import usable_cores

_GREY = np.array([0.299, 0.587, 0.114], "float32")  # of red, green and blue, as eyes weigh them
_CONTRAST = 5.0  # standard deviation of grey levels below which an image is flat
_FREQUENCIES = 4  # of a thumbnail, in each direction, by which neighbors are found
_NEIGHBORS = 6  # of each image that are compared with it
_FARTHEST = 0.6  # that they may be apart; unrelated images are 1.4 apart
_CHUNK = 512  # pairs at once: few, to fit the processor's cache, many for each thread's start
_LARGEST = 0.5, 0.6  # share of the contrast that may differ: on average, and at one place
_CORRELATED = 0.6  # less than copies that were measured, and than any pair that is _COMPARED
_COMPARED = 1.7  # times as much as that is measured
_LEAST = 0.25  # of these, however alike other images are
_APART = 0.4  # of the difference to any other image makes two that are near copies in any case
_RARE = 0.01  # of the images may be within the limit of an image that is no copy


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Images of which there are several copies.

    Args:
        groups: `int64` array `(n,)`: images with one number are copies of each other, and an
            image without a copy has a number of its own.
        exact: Positions of the images of each set of files with equal content.
        near: Positions of the images of each set that shows the same and whose files are not
            all equal.
    """

    groups: np.ndarray
    exact: list[tuple[int, ...]]
    near: list[tuple[int, ...]]


def find_duplicates(digests: np.ndarray, thumbnails: np.ndarray) -> Duplicates:
    """Find images that are copies of each other.

    Near duplicates are copies in another format, quality or size, a tenth lighter, darker or
    of less contrast, without a few percent of a side or with a narrow border, a little blurred
    or noisy. Mirrored images and those in other colors or in grey are none: such differences
    may tell two classes apart. Of images that are nearly one color only exact copies are found.

    Where images that are no copies are alike too, as glyphs and icons are, less may differ:
    the limit is lowered to where few of them would be within it, or two images must be much
    nearer to each other than to any other.

    Args:
        digests: Array `(n,)` that says which files are equal; an empty one equals no other.
        thumbnails: `uint8` array `(n, height, width, 3)` of whole images; `(0, height, width, 3)`
            finds exact copies alone.

    Returns:
        `Duplicates`. Time and memory grow with n, also where thousands of images are alike.
    """
    digests = np.asarray(digests)
    groups, known = np.arange(len(digests)), np.flatnonzero(digests != digests.dtype.type())
    groups[known] = known[_first(digests[known])]
    exact = _sets(groups)
    contrast, places = _describe(thumbnails)
    asked = firsts = np.unique(groups[: len(contrast)][contrast >= _CONTRAST])
    limit = 0.0
    while len(asked):  # again for the first of each group: nearer copies may have hidden others
        pairs = _neighbors(places, firsts, asked)
        scores = _differences(thumbnails, pairs)
        limit = limit or _choose_limit(pairs, scores, len(firsts))
        others = _APART * _next_nearest(pairs, scores)
        pairs = pairs[(scores <= limit) | (scores <= np.minimum(others, 1))]
        groups = _join(groups, pairs)
        firsts, asked = np.unique(groups[firsts]), np.unique(groups[pairs])
    equal = set(exact)
    return Duplicates(groups, exact, [each for each in _sets(groups) if each not in equal])


def _first(values):
    """Return the position of the first value that equals each."""
    _, first, same = np.unique(values, return_index=True, return_inverse=True)
    return first[same]


def _sets(groups):
    """Return the positions of each group of several, the group of the first image first."""
    order = np.argsort(groups, kind="stable")
    _, counts = np.unique(groups, return_counts=True)
    ends = np.cumsum(counts)
    return [
        tuple(order[end - n : end].tolist()) for end, n in zip(ends, counts, strict=True) if n > 1
    ]


def _join(groups, pairs):
    left = np.concatenate([np.arange(len(groups)), pairs[:, 0]])
    right = np.concatenate([groups, pairs[:, 1]])
    return _first(connect(left, right, len(groups)))


def connect(left: np.ndarray, right: np.ndarray, count: int) -> np.ndarray:
    """Return a number for each of `count` nodes, equal for those that are linked, or in turn.

    Args:
        left: Nodes, from 0.
        right: The node that each of these is linked with.
        count: How many nodes there are.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left), bool), (left, right)), (count, count))
    return connected_components(graph, directed=False)[1]


def _inner(thumbnails):
    """Return thumbnails without their edge, which a border would change."""
    return thumbnails[:, 1:-1, 1:-1]


def _describe(thumbnails):
    """Return the contrast of each image, and its place among others: its low frequencies."""
    from scipy.fft import dctn

    contrasts, places = [np.zeros(0)], [np.zeros((0, _FREQUENCIES**2 - 1))]
    for start in range(0, len(thumbnails), 4096):
        grey = _inner(thumbnails[start : start + 4096]) @ _GREY
        contrasts.append(contrast := grey.std((1, 2)))
        waves = dctn(grey, axes=(1, 2), norm="ortho")[:, :_FREQUENCIES, :_FREQUENCIES]
        length = np.maximum(contrast, 1) * np.sqrt(grey[0].size)
        places.append(waves.reshape(len(grey), -1)[:, 1:] / length[:, None])
    return np.concatenate(contrasts), np.concatenate(places)


def _neighbors(places, firsts, asked):
    """Return pairs of positions, shape `(m, 2)`: the nearest of `firsts` to each of `asked`."""
    from scipy.spatial import KDTree

    tree, most = KDTree(places[firsts]), {"distance_upper_bound": _FARTHEST, "workers": -1}
    # Some may be others than the nearest, but not where these are a third as far, as copies are.
    _, found = tree.query(places[asked], _NEIGHBORS + 1, eps=2, **most)
    pairs = np.stack([np.repeat(asked, found.shape[1]), np.append(firsts, -1)[found].ravel()], 1)
    pairs = np.sort(pairs[(pairs[:, 1] >= 0) & (pairs[:, 0] != pairs[:, 1])], axis=1)
    return np.unique(pairs, axis=0)


def _differences(thumbnails, pairs):
    """Return how much the images of each pair differ, where 1 is the most that copies may."""

    def compare(start):
        found = np.full(len(pairs[start : start + _CHUNK]), np.inf)
        left, right = thumbnails[pairs[start : start + _CHUNK]].swapaxes(0, 1)
        greys = (left @ _GREY)[..., None], (right @ _GREY)[..., None]
        # Of many pairs few are left by each step, and the next takes longer.
        if (close := _correlation(*greys) >= _CORRELATED).any():
            found[close] = _difference(*(grey[close] for grey in greys))
        if (close := found <= _COMPARED).any():
            found[close] = _difference(left[close], right[close])
        return found

    with ThreadPoolExecutor(usable_cores()) as threads:
        return np.concatenate([np.zeros(0), *threads.map(compare, range(0, len(pairs), _CHUNK))])


def _correlation(left, right):
    left, right = (_inner(each).reshape(len(each), -1) for each in (left, right))
    left, right = (each - each.mean(1, keepdims=True) for each in (left, right))
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return (left * right).sum(1) / np.maximum(lengths, 1e-6)


def _difference(left, right):
    """Return what of the difference of images no small change of the whole image explains.

    A change of contrast, brightness or sharpness, or of scale and place in either direction,
    adds to every pixel a multiple of the image, of 1, of its Laplacian or of its gradients.
    """
    from scipy.ndimage import uniform_filter

    left, right = left.astype("float64"), right.astype("float64")
    middle = (left + right) / 2
    down, across = np.gradient(middle, axis=(1, 2))
    laplacian = np.gradient(down, axis=1) + np.gradient(across, axis=2)
    y, x = np.ogrid[-1 : 1 : middle.shape[1] * 1j, -1 : 1 : middle.shape[2] * 1j]
    y, x = y[..., None], x[..., None]
    parts = (middle, np.ones_like(middle), laplacian, across, down, across * x, down * y)
    changes = np.stack([_inner(part).reshape(len(part), -1) for part in parts], axis=2)
    target = _inner(right - left).reshape(len(left), -1, 1)
    turned = changes.swapaxes(1, 2)
    ridge = 10 * np.eye(len(parts))  # decides where an image has no gradient
    rest = target - changes @ np.linalg.solve(turned @ changes + ridge, turned @ target)
    rest = rest.reshape(_inner(left).shape)
    contrast = np.minimum(*(_inner(each).std((1, 2)).mean(1) for each in (left, right)))
    average = np.sqrt(np.square(rest).mean((1, 2, 3)))
    place = np.abs(uniform_filter(rest, (0, 3, 3, 0))).mean(3).max((1, 2))
    largest = np.maximum(average / _LARGEST[0], place / _LARGEST[1])
    return largest / np.maximum(contrast, 1e-6)


def _next_nearest(pairs, scores):
    """Return for each pair how much one of its images differs from its nearest other one."""
    images, scores = pairs.T.ravel(), np.tile(np.minimum(scores, _COMPARED), 2)
    order = np.lexsort((scores, images))
    _, start, image = np.unique(images[order], return_index=True, return_inverse=True)
    ends = np.append(start[1:], len(images)) - 1
    first = scores[order][start][image]
    second = np.where(start < ends, scores[order][np.minimum(start + 1, ends)], _COMPARED)[image]
    others = np.empty(len(images))
    others[order] = np.where(np.arange(len(images)) == start[image], second, first)
    return others.reshape(2, -1).min(0)


def _choose_limit(pairs, scores, count):
    """Return the largest limit, 1 at most, within which few images have one that is no copy.

    How many have one grows as a power of the limit; it is read off just above 1, where no
    copies are. An image with many others within 1 is no copy of these either.
    """
    near = np.flatnonzero((scores > 1) & (scores <= _COMPARED))
    nearest = np.full(pairs.max(initial=0) + 1, np.inf)
    np.minimum.at(nearest, pairs[near].ravel(), np.repeat(scores[near], 2))
    nearest[np.bincount(pairs[scores <= 1].ravel(), minlength=len(nearest)) >= _NEIGHBORS] = 1
    middle = np.sqrt(_COMPARED)
    inside = np.count_nonzero(nearest <= middle)
    outside = max(np.count_nonzero(nearest <= _COMPARED) - inside, inside + 1)
    share = inside**2 / (outside - inside) / count  # of the images, within 1
    if share <= _RARE:
        return 1.0
    power = np.log(outside / inside) / np.log(middle)
    return max(_LEAST, (_RARE / share) ** (1 / power))
