"""Polylines from label maps: exact where the logits are linear, complete always."""

from collections import Counter

import numpy as np
import pytest

from geoexplorer.geometry.contours import class_contours


def _map(*logits):
    """Labels and margins of logits given as arrays (H, W)."""
    stacked = np.stack(logits)
    ordered = np.sort(stacked, axis=0)
    return stacked.argmax(axis=0), ordered[-1] - ordered[-2]


def _grid(rows, columns):
    return np.mgrid[:rows, :columns].astype(float)


def _is_closed(points):
    return len(points) > 2 and np.array_equal(points[0], points[-1])


def test_a_line_between_two_linear_logits_is_exact():
    y, x = _grid(20, 30)
    margin = 0.3 * x - 0.7 * y + 0.123
    ((classes, points),) = class_contours(*_map(margin, -margin))
    assert classes == (0, 1)
    assert np.abs(0.3 * points[:, 0] - 0.7 * points[:, 1] + 0.123).max() < 1e-12
    on_rim = (points[[0, -1]] == 0) | (points[[0, -1]] == [29, 19])
    assert on_rim.any(axis=1).all()


def test_a_circle_is_one_closed_polyline():
    y, x = _grid(40, 50)
    margin = (12.3**2 - (x - 25.2) ** 2 - (y - 19.7) ** 2) / 24.6
    ((classes, points),) = class_contours(*_map(-margin, margin))
    assert classes == (0, 1)
    assert _is_closed(points)
    radius = np.hypot(points[:, 0] - 25.2, points[:, 1] - 19.7)
    assert np.abs(radius - 12.3).max() < 0.02


def test_three_classes_meet_in_one_point():
    y, x = _grid(31, 31)
    angles = [0.4, 0.4 + 2.1, 0.4 + 4.2]
    logits = [np.cos(a) * (x - 14.3) + np.sin(a) * (y - 15.6) for a in angles]
    contours = class_contours(*_map(*logits))
    assert sorted(classes for classes, _ in contours) == [(0, 1), (0, 2), (1, 2)]
    ends = Counter(tuple(points[end]) for _, points in contours for end in (0, -1))
    ((meeting, count),) = [item for item in ends.items() if item[1] > 1]
    assert count == 3
    assert np.hypot(meeting[0] - 14.3, meeting[1] - 15.6) < 1.0
    for (first, second), points in contours:
        difference = np.cos(angles[first]) - np.cos(angles[second])
        other = np.sin(angles[first]) - np.sin(angles[second])
        away = difference * (points[:, 0] - 14.3) + other * (points[:, 1] - 15.6)
        far = np.hypot(points[:, 0] - 14.3, points[:, 1] - 15.6) > 2.5
        assert np.abs(away[far]).max() / np.hypot(difference, other) < 1e-9


def test_four_classes_meet_in_one_point():
    labels = np.array([[0, 1], [2, 3]])
    contours = class_contours(labels, np.ones((2, 2)))
    assert sorted(classes for classes, _ in contours) == [(0, 1), (0, 2), (1, 3), (2, 3)]
    assert all((points == [0.5, 0.5]).all(axis=1).any() for _, points in contours)


@pytest.mark.parametrize("stronger", [0, 1])
def test_on_a_chessboard_the_class_that_is_higher_stays_connected(stronger):
    labels = np.array([[0, 1], [1, 0]])
    margins = np.where(labels == stronger, 3.0, 1.0)
    contours = class_contours(labels, margins)
    assert len(contours) == 2
    # A polyline cuts off one pixel of the weaker class: it passes nearer to its corner.
    for _, points in contours:
        middle = points.mean(axis=0)
        nearest = np.round(middle).astype(int)
        assert labels[nearest[1], nearest[0]] != stronger


def test_of_three_classes_the_one_on_both_corners_stays_connected():
    contours = class_contours(np.array([[5, 2], [7, 5]]), np.ones((2, 2)))
    assert sorted(classes for classes, _ in contours) == [(2, 5), (5, 7)]


def test_where_both_margins_are_zero_the_crossing_is_in_the_middle():
    ((_, points),) = class_contours(np.array([[0, 1], [0, 1]]), np.zeros((2, 2)))
    assert points.tolist() == [[0.5, 0.0], [0.5, 1.0]]


def test_a_map_of_one_class_has_no_boundary():
    assert class_contours(np.zeros((9, 9), dtype=int), np.ones((9, 9))) == []


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_every_crossing_of_a_random_map_is_passed_once(classes):
    random = np.random.default_rng(classes)
    labels = random.integers(0, classes, (23, 17))
    contours = class_contours(labels, random.random((23, 17)))
    passed = Counter()
    ends = Counter()
    for pair, points in contours:
        closed = _is_closed(points)
        whole = points == np.round(points)
        for point in points[:-1] if closed else points:
            passed[tuple(point)] += 1
        # Inside, between two crossings of a polyline, only these two classes occur.
        for column, row in points[whole.any(axis=1)]:
            around = {
                labels[int(np.floor(row)), int(np.floor(column))],
                labels[int(np.ceil(row)), int(np.ceil(column))],
            }
            assert around == set(pair)
        if not closed:
            ends.update(tuple(points[end]) for end in (0, -1))
    expected = (labels[1:] != labels[:-1]).sum() + (labels[:, 1:] != labels[:, :-1]).sum()
    crossings = {point: n for point, n in passed.items() if any(v == round(v) for v in point)}
    assert len(crossings) == expected
    assert set(crossings.values()) == {1}
    for (column, row), count in ends.items():
        assert count >= 3 or column in (0, 16) or row in (0, 22)


def test_transposing_the_map_transposes_the_polylines():
    y, x = _grid(25, 33)
    logits = [np.sin(x / 5 + k) + np.cos(y / 4 - 2 * k) for k in range(3)]
    straight = class_contours(*_map(*logits))
    turned = class_contours(*_map(*(values.T for values in logits)))
    as_sets = [
        {(classes, frozenset(map(tuple, np.round(points, 9)))) for classes, points in contours}
        for contours in (straight, [(c, p[:, ::-1]) for c, p in turned])
    ]
    assert as_sets[0] == as_sets[1]
