"""Strata: the segments of a breakdown, within which units are compared (post-stratification).

A segment in which some arm has few units says little of their difference, and nothing of its variance. Such segments
are one stratum together; where they are too few even so, they join the smallest other one. It goes by numbers of units
alone, whatever these did, so nothing is chosen by results.
"""

from collections.abc import Sequence

from evaluation.significance.moments import ArmMoments

FEWEST = 20  # units of each arm in a stratum

Arms = Sequence[ArmMoments]  # of one allocation, in the order of the variants


def strata(segments: Sequence[Arms]) -> list[Arms]:
    """The strata of one allocation, whose segments are these."""
    present = [place for place, arms in enumerate(zip(*segments, strict=True)) if any(arm.n for arm in arms)]

    def smallest(arms: Arms) -> int:
        return min((arms[place].n for place in present), default=0)

    large = [arms for arms in segments if smallest(arms) >= FEWEST]
    small = [arms for arms in segments if smallest(arms) < FEWEST]
    if not small:
        return large
    rest = _together(small)
    if large and smallest(rest) < FEWEST:
        nearest = min(range(len(large)), key=lambda number: smallest(large[number]))
        large[nearest] = _together([large[nearest], rest])
        return large
    return [*large, rest]


def _together(several: Sequence[Arms]) -> Arms:
    return [sum(arms, ArmMoments()) for arms in zip(*several, strict=True)]
