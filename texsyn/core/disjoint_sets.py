"""Disjoint sets (union-find): groups that only ever grow together."""

from __future__ import annotations


class DisjointSets:
    """The numbers 0 to `count` - 1, at first each a group of its own."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def root(self, member: int) -> int:
        """The member that stands for the whole group of `member`."""
        parent = self._parent
        while parent[member] != member:
            parent[member] = parent[parent[member]]  # halves the path for the next search
            member = parent[member]
        return member

    def join(self, first: int, second: int) -> None:
        """Make one group of two; the root of `first` stands for both."""
        self._parent[self.root(second)] = self.root(first)

    def groups(self) -> list[list[int]]:
        """All groups in the order of their smallest members, each in ascending order."""
        groups: dict[int, list[int]] = {}
        for member in range(len(self._parent)):
            groups.setdefault(self.root(member), []).append(member)
        return list(groups.values())
