"""Exact copies and near duplicates of images, from digests and thumbnails."""

from dataclasses import dataclass

import numpy as np

_CONTRAST = 5.0  # standard deviation of grey levels below which an image is flat
_FREQUENCIES = 5  # of a thumbnail, in each direction, by which neighbors are found
_NEIGHBORS = 6  # of each image that are compared with it
_FARTHEST = 0.7  # that they may be apart; unrelated images are 1.4 apart
_CHUNK = 4096  # images or pairs at once
_LARGEST = 0.45, 0.55  # share of the contrast that may differ: on average, and at one place
_LEAST = 0.2  # of these, however alike other images are
_RARE = 0.005  # of the images may have a pair just above the limit


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
    the limit is lowered until few pairs lie just above it.

    Args:
        digests: Array `(n,)` that says which files are equal; an empty one equals no other.
        thumbnails: `uint8` array `(n, height, width, 3)` of whole images.

    Returns:
        `Duplicates`. Time and memory grow with n, also where thousands of images are alike.
    """
    digests = np.asarray(digests)
    groups, known = np.arange(len(digests)), np.flatnonzero(digests != digests.dtype.type())
    groups[known] = known[_first(digests[known])]
    exact = _sets(groups)
    contrast, places = _describe(thumbnails)
    asked = firsts = np.unique(groups[contrast >= _CONTRAST])
    limit = 0.0
    while len(asked):  # again for the first of each group: nearer copies may have hidden others
        pairs = _neighbors(places, firsts, asked)
        scores = _differences(thumbnails, pairs)
        limit = limit or _choose_limit(pairs, scores, len(firsts))
        pairs = pairs[scores <= limit]
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
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(groups)
    left = np.concatenate([np.arange(count), pairs[:, 0]])
    right = np.concatenate([groups, pairs[:, 1]])
    graph = coo_array((np.ones(len(left), bool), (left, right)), (count, count))
    return _first(connected_components(graph, directed=False)[1])


def _inner(thumbnails):
    """Return thumbnails without their edge, which a border would change."""
    return thumbnails[:, 1:-1, 1:-1]


def _describe(thumbnails):
    """Return the contrast of each image, and its place among others: its low frequencies."""
    from scipy.fft import dctn

    contrasts, places = [np.zeros(0)], [np.zeros((0, _FREQUENCIES**2 - 1))]
    for start in range(0, len(thumbnails), _CHUNK):
        grey = _inner(thumbnails[start : start + _CHUNK]).mean(3)
        contrasts.append(contrast := grey.std((1, 2)))
        waves = dctn(grey, axes=(1, 2), norm="ortho")[:, :_FREQUENCIES, :_FREQUENCIES]
        length = np.maximum(contrast, 1) * np.sqrt(grey[0].size)
        places.append(waves.reshape(len(grey), -1)[:, 1:] / length[:, None])
    return np.concatenate(contrasts), np.concatenate(places)


def _neighbors(places, firsts, asked):
    """Return pairs of positions, shape `(m, 2)`: the nearest of `firsts` to each of `asked`."""
    from scipy.spatial import KDTree

    tree = KDTree(places[firsts])
    _, found = tree.query(places[asked], _NEIGHBORS + 1, distance_upper_bound=_FARTHEST, workers=-1)
    pairs = np.stack([np.repeat(asked, found.shape[1]), np.append(firsts, -1)[found].ravel()], 1)
    pairs = np.sort(pairs[(pairs[:, 1] >= 0) & (pairs[:, 0] != pairs[:, 1])], axis=1)
    return np.unique(pairs, axis=0)


def _differences(thumbnails, pairs):
    """Return how much the images of each pair differ, where 1 is the most that copies may."""
    parts = [
        _difference(*np.swapaxes(thumbnails[pairs[start : start + _CHUNK]], 0, 1))
        for start in range(0, len(pairs), _CHUNK)
    ]
    return np.concatenate([np.zeros(0), *parts])


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


def _choose_limit(pairs, scores, count):
    """Return the largest limit, 1 at most, that few images have a pair just above."""
    nearest = np.full(pairs.max(initial=0) + 1, np.inf)
    np.minimum.at(nearest, pairs.ravel(), np.repeat(scores, 2))
    for limit in np.geomspace(1, _LEAST, 18):
        if np.count_nonzero((nearest > limit) & (nearest <= 1.2 * limit)) <= max(2, _RARE * count):
            break
    return limit
