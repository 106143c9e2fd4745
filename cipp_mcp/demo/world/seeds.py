"""Chance that repeats itself: the same seed and topic give the same draw, whatever else was drawn before."""

from __future__ import annotations

import datetime
import random
import uuid


def source(*topic: object) -> random.Random:
    """A generator of its own for one topic."""
    return random.Random("/".join(map(str, topic)))


def guid(*topic: object) -> str:
    """The id that belongs to a topic."""
    return str(uuid.UUID(int=source("guid", *topic).getrandbits(128), version=4))


def draw_guid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def stamp(moment: datetime.datetime) -> str:
    """The time as Graph writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_stamp(text: str) -> datetime.datetime:
    return datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.UTC)


def days_before(today: datetime.datetime, days: float) -> str:
    return stamp(today - datetime.timedelta(days=days))
