"""Graph: in which order flags are evaluated, so that each comes after those it depends on, and which cannot be."""

from collections.abc import Mapping, Sequence


def in_order(dependencies: Mapping[str, Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """The keys, dependencies first and otherwise as they come, and the cycles, each as the keys that lie on it.

    Keys on a cycle are left out of the order, those that depend on them are not. Unknown dependencies don't count.
    Strongly connected components by Tarjan (SIAM J. Comput. 1, 1972), without recursion.
    """
    order: list[str] = []
    cycles: list[list[str]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_keys: dict[str, None] = {}  # those whose component is not known yet, in the order of their numbers
    for root in dependencies:
        path = [(root, iter(dependencies[root]))] if root not in number else []
        while path:
            key, rest = path[-1]
            if key not in number:
                number[key] = lowest[key] = len(number)
                open_keys[key] = None
            for parent in rest:
                if parent not in dependencies:
                    continue
                if parent not in number:
                    path.append((parent, iter(dependencies[parent])))
                    break
                if parent in open_keys:
                    lowest[key] = min(lowest[key], number[parent])
            else:
                path.pop()
                if path:
                    child = path[-1][0]
                    lowest[child] = min(lowest[child], lowest[key])
                if lowest[key] == number[key]:
                    component = [open_keys.popitem()[0]]
                    while component[-1] != key:
                        component.append(open_keys.popitem()[0])
                    if len(component) > 1 or key in dependencies[key]:
                        cycles.append(component[::-1])
                    else:
                        order.append(key)
    return order, cycles


def needed_for(keys: Sequence[str], dependencies: Mapping[str, Sequence[str]]) -> set[str]:
    """The keys that are known, with everything they depend on, directly or not."""
    needed: set[str] = set()
    open_keys = [key for key in keys if key in dependencies]
    while open_keys:
        key = open_keys.pop()
        if key not in needed:
            needed.add(key)
            open_keys += [parent for parent in dependencies[key] if parent in dependencies]
    return needed
