"""Disjoint sets against connected components found by search."""

import random

from texsyn.core.disjoint_sets import DisjointSets


def test_the_root_of_the_first_stands_for_both():
    sets = DisjointSets(5)
    sets.join(3, 1)
    sets.join(1, 4)
    assert [sets.root(n) for n in range(5)] == [0, 3, 2, 3, 3]
    assert sets.groups() == [[0], [1, 3, 4], [2]]
    sets.join(3, 4)
    assert sets.groups() == [[0], [1, 3, 4], [2]]


def test_groups_are_connected_components():
    numbers, count = random.Random(0), 60
    links = [(numbers.randrange(count), numbers.randrange(count)) for _ in range(45)]
    sets = DisjointSets(count)
    for first, second in links:
        sets.join(first, second)
    group = list(range(count))  # the smallest member of each one's group, spread until nothing changes
    for _ in range(count):
        for a, b in links:
            group[a] = group[b] = min(group[a], group[b])
    expected = [[n for n in range(count) if group[n] == least] for least in sorted(set(group))]
    assert sets.groups() == expected
