"""Owners that do not exist: a name, a language, and a telephone number kept for fiction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from firmware_sim.noise import keys, uniform
from firmware_sim.region import REGIONS, phone

GIVEN: Final = ("Ada", "Ben", "Chloe", "David", "Elena", "Felix", "Grace", "Hugo", "Iris", "Jonas", "Kira", "Leo")
FAMILY: Final = ("Abbott", "Baker", "Castillo", "Dunn", "Ellis", "Fischer", "Grant", "Hayes", "Ito", "Jensen", "Kaur")
GIVEN_ZH: Final = ("伟", "芳", "娜", "秀英", "敏", "静", "丽", "强", "磊", "军", "洋", "勇", "艳", "杰")
FAMILY_ZH: Final = ("王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐")


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """A customer: whom to write to, in which language, at which local time."""

    customer: str
    name: str
    phone: str  # E.164
    language: str
    zone: str  # IANA


def owner_of(seed: int, *, household: int, region: int, neighbour: int) -> Owner:
    """The owner of a household's devices; `neighbour` counts households of a region, and chooses the telephone."""
    here = REGIONS[region]
    first, last = uniform(keys(seed, "name", np.array([household])), np.arange(2))
    if here.language == "zh":
        name = FAMILY_ZH[int(last * len(FAMILY_ZH))] + GIVEN_ZH[int(first * len(GIVEN_ZH))]
    else:
        name = f"{GIVEN[int(first * len(GIVEN))]} {FAMILY[int(last * len(FAMILY))]}"
    return Owner(f"c-{household + 1:04d}", name, phone(here, neighbour), here.language, here.zone)
