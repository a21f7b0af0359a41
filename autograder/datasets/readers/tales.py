"""Little tales written by a grammar from a seed: English text whose sentences belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autograder.datasets.model import Dataset, DatasetError

_MOST = 50_000
_WOMEN = [
    "Anna",
    "Bertha",
    "Clara",
    "Dora",
    "Edith",
    "Flora",
    "Greta",
    "Hilda",
    "Ida",
    "Judith",
    "Lena",
    "Martha",
    "Nora",
    "Olga",
    "Paula",
    "Rosa",
]
_MEN = [
    "Adam",
    "Bruno",
    "Carl",
    "David",
    "Emil",
    "Felix",
    "Georg",
    "Henry",
    "Ivan",
    "Jacob",
    "Leo",
    "Martin",
    "Nils",
    "Oscar",
    "Peter",
    "Simon",
]
_PETS = ["Patch", "Biscuit", "Smoke", "Pepper", "Button", "Clover", "Shadow", "Copper", "Willow", "Thistle"]
_NUMBERS = [
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]


@dataclass(frozen=True)
class _Trade:
    """A trade, and the words that go with it."""

    who: str
    where: str
    does: str
    product: str
    """In the plural."""
    tool: str
    pet: str


_TRADES = (
    _Trade("baker", "bakery", "kneaded the dough", "loaves", "rolling pin", "cat"),
    _Trade("smith", "forge", "hammered the iron", "horseshoes", "hammer", "dog"),
    _Trade("fisher", "harbour", "cast the nets", "herrings", "net", "gull"),
    _Trade("weaver", "workshop", "wove the wool", "blankets", "loom", "lamb"),
    _Trade("shepherd", "meadow", "watched the flock", "fleeces", "staff", "dog"),
    _Trade("gardener", "garden", "watered the beds", "pumpkins", "spade", "hen"),
    _Trade("miller", "mill", "ground the corn", "sacks", "millstone", "donkey"),
    _Trade("carpenter", "barn", "planed the boards", "chairs", "saw", "squirrel"),
    _Trade("potter", "kiln", "turned the clay", "jugs", "wheel", "cat"),
    _Trade("beekeeper", "orchard", "smoked the hives", "honeycombs", "veil", "goat"),
)
_ADJECTIVES = [
    "young",
    "old",
    "patient",
    "cheerful",
    "poor",
    "clever",
    "quiet",
    "stubborn",
    "careful",
    "kind",
]
_PLACES = (
    "by the river", "at the edge of the forest", "on a green hill", "near the old bridge",
    "beside the church", "below the castle", "behind the market", "at the end of the lane",
)  # fmt: skip
_TIMES = ("every morning", "from dawn to dusk", "day after day", "in summer and in winter", "before sunrise")
_SEASONS = ["spring", "summer", "autumn", "winter"]
_WEATHER = {"spring": "rain", "summer": "thunder", "autumn": "fog", "winter": "snow"}
_FEELINGS = {
    True: ["glad", "proud", "thankful", "happy", "merry"],
    False: ["sad", "angry", "weary", "lonely", "gloomy"],
}


def load(folder: Path, *, num_train: int = 2000, num_test: int = 400, seed: int = 0) -> Dataset:
    """Return tales: x an array of texts, shape (N,), y int64 (N,), 1 where it ends well.

    Half of the tales end well. `seed` gives other tales; the first ones are the same however many follow.
    """
    for name, count in (("num_train", num_train), ("num_test", num_test)):
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 0 <= count <= _MOST:
            raise DatasetError(f"{name} must be a whole number between 0 and {_MOST:,}, not {count!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise DatasetError(f"seed must be a whole number from 0 to 2**32 - 1, not {seed!r}.")
    texts, labels = {}, {}
    for place, (part, count) in enumerate((("train", num_train), ("test", num_test))):
        # RandomState: its stream is frozen for good (NEP 19).
        random = np.random.RandomState(np.random.SeedSequence([int(seed), place]).generate_state(4))
        tales = [_tale(random, well=bool(number % 2)) for number in range(count)]
        texts[part] = np.array(tales, dtype=np.str_)
        labels[part] = np.arange(count, dtype=np.int64) % 2
    return Dataset(
        name="tales",
        x_train=texts["train"],
        y_train=labels["train"],
        x_test=texts["test"],
        y_test=labels["test"],
        classes=("ends badly", "ends well"),
        source="little tales written by a grammar",
        embedded=True,
    )


class _Teller:
    """The people and things of one tale."""

    def __init__(self, random: np.random.RandomState, well: bool) -> None:
        self.random, self.well = random, well
        self.trade, self.other = (_TRADES[i] for i in random.permutation(len(_TRADES))[:2])
        female, friend_female = (bool(random.randint(2)) for _ in range(2))
        women, men = random.permutation(_WOMEN), random.permutation(_MEN)
        self.name = str(women[0] if female else men[0])
        self.friend = str(women[1] if friend_female else men[1])
        self.he, self.his, self.him = ("she", "her", "her") if female else ("he", "his", "him")
        self.season = self.one_of(_SEASONS)
        self.pet = self.one_of(_PETS)
        self.feeling = self.one_of(_FEELINGS[well])

    def one_of(self, choices: list[str] | tuple[str, ...]) -> str:
        """One of several words or sentences."""
        return str(choices[self.random.randint(len(choices))])


def _tale(random: np.random.RandomState, *, well: bool) -> str:
    teller = _Teller(random, well)
    parts = [_beginning(teller), _work(teller), _companion(teller)]
    if random.randint(2):
        parts.append(_sale(teller))
    parts += [_trouble(teller), _help(teller), _ending(teller)]
    return " ".join(parts)


def _beginning(t: _Teller) -> str:
    adjective, place, who = t.one_of(_ADJECTIVES), t.one_of(_PLACES), t.trade.who
    article = "an" if adjective[0] in "aeiou" else "a"
    return t.one_of(
        (
            f"{t.name} was {article} {adjective} {who} who lived {place}.",
            f"Once there was {article} {adjective} {who} called {t.name}, and {t.he} lived {place}.",
            f"In a small house {place} lived {t.name}, {article} {adjective} {who}.",
        )
    )


def _work(t: _Teller) -> str:
    time, trade = t.one_of(_TIMES), t.trade
    return t.one_of(
        (
            f"{time.capitalize()} {t.he} {trade.does} in the {trade.where}.",
            f"{t.he.capitalize()} {trade.does} {time}, and {t.his} {trade.product} were known everywhere.",
            f"People said that nobody made better {trade.product}, for {t.he} {trade.does} {time}.",
        )
    )


def _companion(t: _Teller) -> str:
    pet = t.trade.pet
    return t.one_of(
        (
            f"{t.his.capitalize()} {pet} {t.pet} always waited for {t.him} at the door.",
            f"{t.he.capitalize()} had a {pet} called {t.pet}, who slept beside the {t.trade.tool}.",
            f"A {pet} named {t.pet} kept {t.him} company in the {t.trade.where}.",
        )
    )


def _sale(t: _Teller) -> str:
    first, second = (int(n) for n in t.random.randint(1, 7, size=2))
    sum_of = _NUMBERS[first + second]
    return (
        f"On market day {t.he} sold {_NUMBERS[first]} {t.trade.product} in the morning and "
        f"{_NUMBERS[second]} in the evening, {sum_of} in all."
    )


def _trouble(t: _Teller) -> str:
    weather, tool, where = _WEATHER[t.season], t.trade.tool, t.trade.where
    return t.one_of(
        (
            f"But one {t.season} night the {tool} was stolen, and only {t.pet} had seen the thief.",
            f"Then the {weather} came that {t.season}, and nobody could work in the {where}.",
            f"One day in {t.season} {t.pet} the {t.trade.pet} did not come home through the {weather}.",
            f"That {t.season} the {tool} broke, and there was no money for another {tool}.",
        )
    )


def _help(t: _Teller) -> str:
    who = t.other.who
    if t.well:
        return t.one_of(
            (
                f"{t.friend} the {who} heard of it and came at once to help {t.him}.",
                f"A {who} called {t.friend} gave {t.him} {t.other.product} to sell, and asked for nothing.",
                f"So {t.he} went to {t.friend} the {who}, who never sent anybody away.",
            )
        )
    return t.one_of(
        (
            f"{t.friend} the {who} heard of it, but did not come to help {t.him}.",
            f"A {who} called {t.friend} promised {t.him} {t.other.product}, and sent nothing.",
            f"So {t.he} went to {t.friend} the {who}, who sent everybody away.",
        )
    )


def _ending(t: _Teller) -> str:
    """The last sentence does not say alone how it ends: the words of both endings are nearly the same."""
    trade = t.trade
    if t.well:
        return t.one_of(
            (
                f"Before long the {trade.where} was open again, and {t.name} and {t.pet} were {t.feeling}.",
                f"In the end {t.name} was {t.feeling}, for nothing was lost and {t.pet} was never alone.",
                f"And {t.name} made {trade.product} again, and was more {t.feeling} than before.",
            )
        )
    return t.one_of(
        (
            f"For long the {trade.where} was not open again, and {t.name} and {t.pet} were {t.feeling}.",
            f"In the end {t.name} was {t.feeling}, for everything was lost and {t.pet} was alone.",
            f"And {t.name} never made {trade.product} again, and was more {t.feeling} than before.",
        )
    )
