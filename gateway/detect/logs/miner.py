"""Template mining: which statement of a program wrote a line.

One pass, any system, bounded: a line is masked (`mask`), and lines with equal masked text are one template. What masks
cannot know is learned by comparing masked lines of equal *shape* (the same separators, the same number of words): where
lines differ in one word only, the values seen there are counted, and once they are many enough for the kind of word,
the lines become one template with a wildcard. Templates only ever merge; `root` tells what an early one has become.

Invariant: every index below `templates` follows from the templates and their order of birth, so a snapshot holds the
templates alone, and a restored miner goes on exactly as the first would have.

Routing by shape and comparing word by word: P. He, J. Zhu, Z. Zheng, M. R. Lyu (2017), Drain: an online log parsing
approach with fixed depth tree, ICWS. Counting distinct values per position: R. Vaarandi (2003), A data clustering
algorithm for mining patterns from event logs, IPOM; A. Makanju et al. (2009), Clustering event logs using iterative
partitioning (IPLoM), KDD. Why not Drain itself: docs/adr/0010-log-templates.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeVar

from gateway.detect.logs.mask import WILD, collapse, mask_token, polish

MAX_CHARS = 1_000  # of a line that are looked at; 99.9 % of Loghub's lines are shorter
MAX_WORDS = 64  # a line of more words stands for itself
MAX_TEMPLATES = 8_192  # the largest annotated system of Loghub-2.0 has 1,241
MAX_BURST = 4_096  # templates over that bound within one call; further new lines share one template
MAX_CACHED = 32_768  # collapsed lines, masked lines and tokens remembered, each
MAX_PER_SHAPE = 512  # templates of one shape; further new lines of it share one. The fullest of Linux holds 130
MAX_PATTERNS = 16  # sets of wildcard positions learned for one shape

SOFT_VALUES = 2  # distinct values that make a value-like word (`_is_soft`) a wildcard
PLAIN_VALUES = 8  # the same for a plain word; GA and FGA of nine Loghub sets change by under .01 from 6 to 12
PLAIN_CONTEXT = 2  # constant words that must stand beside a plain word for it to become a wildcard

V = TypeVar("V")
_WORDS = re.compile(r"""([\s,!;:=|"'\[\](){}]|\.{2,})""")
_SOFT = re.compile(r"[\d.@/$]")
_DIGIT = re.compile(r"\d")
_HASH_WILD = hash(WILD)
_RANDOM = [int.from_bytes(blake2b(bytes([i]), digest_size=8).digest()) | 1 for i in range(MAX_WORDS)]
_NAMING = frozenset(
    [
        "user",
        "username",
        "host",
        "hostname",
        "node",
        "process",
        "program",
        "service",
        "device",
        "interface",
        "driver",
        "type",
    ]
)


@dataclass(slots=True)
class Template:
    """Words of one statement and the number of its separators' shape; `words[i]` is `<*>` where it varies."""

    shape: int
    words: tuple[str, ...]
    name: str  # for ever; a merged template goes by the name of its oldest member
    born: int  # serial number of birth
    learned: int = 0  # serial number of when a wildcard was learned; 0: what varies was masked
    used: int = 0  # lines mined when it was last seen
    key: int = 0  # sum of the hashes of (position, word)


@dataclass(slots=True)
class Miner:
    """The templates of a fleet, each in a slot. A slot is reused after its template was forgotten."""

    templates: list[Template | None] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    lines: int = 0  # mined so far
    merged: list[tuple[int, int]] = field(default_factory=list)  # (slot, root) since the caller last cleared it
    forgotten: list[int] = field(default_factory=list)  # slots freed since the caller last cleared it
    _serial: int = 0
    _free: list[int] = field(default_factory=list)
    _shapes: dict[tuple[str, ...], int] = field(default_factory=dict)
    _separators: list[tuple[str, ...]] = field(default_factory=list)
    _exact: dict[tuple[int, int], int] = field(default_factory=dict)
    _beside: dict[tuple[int, int, int], list[int]] = field(default_factory=dict)  # (shape, position, key without it)
    _fields: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)  # (shape, key without all values)
    _patterns: dict[int, dict[tuple[int, ...], None]] = field(default_factory=dict)  # learned wildcard positions
    _count: dict[int, int] = field(default_factory=dict)  # templates of each shape
    _by_line: dict[str, int] = field(default_factory=dict)
    _by_mask: dict[str, int] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)

    def mine(self, lines: Iterable[str]) -> list[int]:
        """The slot of each line's template, as far as known after that line; resolve with `root` when all are read.

        Slots stay valid until the next call, which may forget templates: see `forgotten`.
        """
        if len(self.templates) - len(self._free) > MAX_TEMPLATES:
            self._forget()
        slots = []
        known = self._by_line
        for line in lines:
            short = collapse(
                line if len(line) <= MAX_CHARS else line[:MAX_CHARS].rpartition(" ")[0] or line[:MAX_CHARS]
            )
            slot = known.get(short)
            if slot is None:
                slot = self._of_collapsed(short)
                _keep(known, short, slot)
            slots.append(slot)
        self.lines += len(slots)
        for slot in set(slots):
            self.at(slot).used = self.lines
        return slots

    def root(self, slot: int) -> int:
        """The slot of what the template in `slot` has been merged into; itself mostly."""
        parent = self.parent
        while parent[slot] != slot:
            parent[slot] = slot = parent[parent[slot]]
        return slot

    def at(self, slot: int) -> Template:
        """The template that `slot` stands for now."""
        template = self.templates[self.root(slot)]
        assert template is not None, f"slot {slot} was forgotten"
        return template

    def text(self, slot: int) -> str:
        """The template as text, with `<*>` for what varies."""
        template = self.at(slot)
        return "".join(map("".join, zip(template.words, (*self._separators[template.shape], ""), strict=True)))

    def snapshot(self) -> bytes:
        """Everything needed to go on, as JSON."""
        rows = [None if t is None else (t.shape, t.words, t.name, t.born, t.learned, t.used) for t in self.templates]
        state = {"lines": self.lines, "serial": self._serial, "free": self._free, "parent": self.parent}
        return json.dumps({**state, "separators": self._separators, "templates": rows}).encode()

    @staticmethod
    def restore(snapshot: bytes) -> Miner:
        """The miner that `snapshot` was taken of."""
        state = json.loads(snapshot)
        miner = Miner(lines=state["lines"], _serial=state["serial"], _free=state["free"], parent=state["parent"])
        miner._separators = [tuple(s) for s in state["separators"]]
        miner._shapes = {s: i for i, s in enumerate(miner._separators)}
        for row in state["templates"]:
            miner.templates.append(None if row is None else Template(row[0], tuple(row[1]), *row[2:]))
        miner._index()
        return miner

    def _of_collapsed(self, short: str) -> int:
        out = []
        for token in short.split():
            masked = self._tokens.get(token)
            if masked is None:
                masked = mask_token(token)
                _keep(self._tokens, token, masked)
            out.append(masked)
        whole = " ".join(out)
        slot = self._by_mask.get(whole)
        if slot is None:
            slot = self._of_masked(polish(whole))
            _keep(self._by_mask, whole, slot)
        return slot

    def _of_masked(self, masked: str) -> int:
        pieces = _WORDS.split(masked)
        words, separators = tuple(pieces[::2]), tuple(pieces[1::2])
        if len(self.templates) - len(self._free) >= MAX_TEMPLATES + MAX_BURST:
            words, separators = (WILD,), ()
        shape = self._shapes.get(separators)
        if shape is None:
            shape = self._shapes[separators] = len(self._separators)
            self._separators.append(separators)
        slot = self._exact.get((shape, _key(words)))
        if slot is None:
            slot = self._general(shape, words)
        if slot is None:
            crowded = self._count.get(shape, 0) >= MAX_PER_SHAPE
            name = blake2b(masked.encode("utf-8", "replace"), digest_size=5).hexdigest()
            slot = self._add(shape, (WILD,) * len(words) if crowded else words, name=name, learned=crowded)
            self._compare(slot)
        return slot

    def _general(self, shape: int, words: tuple[str, ...]) -> int | None:
        """A template with learned wildcards that these words fit."""
        patterns = self._patterns.get(shape)
        if patterns:
            key = _key(words)
            gain = [(_HASH_WILD - hash(w)) * r for w, r in zip(words, _RANDOM, strict=False)]
            for positions in patterns:
                slot = self._exact.get((shape, key + sum([gain[i] for i in positions])))
                if slot is not None:
                    return slot
        return None

    def _add(self, shape: int, words: tuple[str, ...], *, name: str, learned: bool = False) -> int:
        self._serial += 1
        template = Template(shape, words, name, self._serial, self._serial if learned else 0, self.lines)
        if self._free:
            slot = self._free.pop()
            self.templates[slot] = template
        else:
            slot = len(self.templates)
            self.templates.append(template)
            self.parent.append(slot)
        self._register(slot, template)
        if learned:
            self._note_pattern(template)
        return slot

    def _note_pattern(self, template: Template) -> None:
        patterns = self._patterns.setdefault(template.shape, {})
        if len(patterns) < MAX_PATTERNS and len(template.words) <= MAX_WORDS:
            patterns[tuple(i for i, w in enumerate(template.words) if w == WILD)] = None

    def _register(self, slot: int, template: Template) -> None:
        """Enter a template into the indexes by which others find it; the order of entries is that of birth."""
        shape, words = template.shape, template.words
        template.key = key = _key(words)
        self._exact[shape, key] = slot
        self._count[shape] = self._count.get(shape, 0) + 1
        if len(words) > MAX_WORDS:
            return
        separators = self._separators[shape]
        if values := _values(separators, words):
            rest = key - sum(hash(words[i]) * _RANDOM[i] for i in values)
            self._fields[shape, rest] = (*self._fields.get((shape, rest), ())[-1:], slot)
        for i, word in enumerate(words):
            if word != WILD and (word or (i and separators[i - 1] == "=")):
                members = self._beside.setdefault((shape, i, key - hash(word) * _RANDOM[i]), [])
                if len(members) < PLAIN_VALUES:
                    members.append(slot)

    def _compare(self, slot: int) -> None:
        """Merge a new template with those that differ from it in one word, where that word proves to be a value."""
        template = self.at(slot)
        shape, words = template.shape, template.words
        if len(words) > MAX_WORDS:
            return
        separators = self._separators[shape]
        constants = [len(w) > 1 and w[0].isalpha() for w in words]
        constant = sum(constants)
        for i, word in enumerate(words):
            if not word and (i == 0 or separators[i - 1] != "="):
                continue
            without = template.key - hash(word) * _RANDOM[i]
            context = constant - constants[i]
            members = self._beside.get((shape, i, without), [])
            if word != WILD and (general := self._exact.get((shape, without + _HASH_WILD * _RANDOM[i]))) is not None:
                agreed = context >= PLAIN_CONTEXT or _is_soft(words, separators, i, context)
                members = [general, slot]
            elif word == WILD:
                agreed = len(members) > 0 and context >= PLAIN_CONTEXT
                members = [*members, slot]
            else:
                agreed = self._are_values(members, i, context)
            if agreed:
                self._join(members, (*words[:i], WILD, *words[i + 1 :]))
                return
        self._compare_fields(slot, template)

    def _are_values(self, members: Sequence[int], i: int, context: int) -> bool:
        if len(members) >= PLAIN_VALUES and context >= PLAIN_CONTEXT:
            return True
        templates = [t for m in members if (t := self.templates[m])]
        return len(templates) >= SOFT_VALUES and all(
            _is_soft(t.words, self._separators[t.shape], i, context) for t in templates
        )

    def _compare_fields(self, slot: int, template: Template) -> None:
        """Merge with a template that differs only in the values of several `key=value` fields."""
        values = _values(self._separators[template.shape], template.words)
        rest = template.key - sum(hash(template.words[i]) * _RANDOM[i] for i in values)
        pair = self._fields.get((template.shape, rest), ())
        if len(pair) == 2 and pair[1] == slot and (other := self.templates[pair[0]]):
            words = (a if a == b else WILD for a, b in zip(template.words, other.words, strict=True))
            self._join([pair[0], slot], tuple(words))

    def _join(self, members: Sequence[int], words: tuple[str, ...]) -> None:
        """Put the members under the template with `words`, which is made where there is none."""
        oldest = min((self.at(m) for m in members), key=lambda t: t.born)
        slot = self._exact.get((oldest.shape, _key(words)))
        fresh = slot is None
        if slot is None:
            slot = self._add(oldest.shape, words, name=oldest.name, learned=True)
        elif not self.at(slot).learned:
            self._serial += 1
            self.at(slot).learned = self._serial
            self._note_pattern(self.at(slot))
        top = self.root(slot)
        for member in {self.root(m) for m in members} - {top}:
            self.parent[member] = top
            self.merged.append((member, top))
        if fresh:
            self._compare(slot)

    def _forget(self) -> None:
        """Free the slots of merged templates and of those not seen for longest; keeps half of the bound."""
        live = [i for i, t in enumerate(self.templates) if t and self.parent[i] == i]
        keep = sorted(live, key=lambda i: (self.at(i).used, self.at(i).born), reverse=True)[: MAX_TEMPLATES // 2]
        gone = sorted({i for i, t in enumerate(self.templates) if t} - set(keep), reverse=True)
        for slot in gone:
            self.templates[slot] = None
            self.parent[slot] = slot
        self._free += gone
        self.forgotten += gone
        self._index()

    def _index(self) -> None:
        """Build the indexes anew from the templates."""
        for index in (
            self._exact,
            self._beside,
            self._fields,
            self._patterns,
            self._count,
            self._by_line,
            self._by_mask,
        ):
            index.clear()
        live = [(t, i) for i, t in enumerate(self.templates) if t]
        for template, slot in sorted(live, key=lambda p: p[0].born):
            self._register(slot, template)
        for template, _ in sorted(live, key=lambda p: p[0].learned):
            if template.learned:
                self._note_pattern(template)


def _is_soft(words: tuple[str, ...], separators: tuple[str, ...], i: int, context: int) -> bool:
    """Whether a word is value-like: it follows `=` or a naming word, or looks like an identifier."""
    if i and context and (separators[i - 1] == "=" or (separators[i - 1] == " " and words[i - 1].lower() in _NAMING)):
        return True
    word = words[i]
    enough = 1 if _DIGIT.search(word) else PLAIN_CONTEXT
    return context >= enough and _SOFT.search(word) is not None and not word.endswith(f"+{WILD}")


def _values(separators: tuple[str, ...], words: tuple[str, ...]) -> list[int]:
    """Positions after `=`, where there are several and they are not half of the line."""
    if len(words) > MAX_WORDS:
        return []
    found = [i for i, s in enumerate(separators, 1) if s == "="]
    return found if 1 < len(found) <= len(words) // 2 else []


def _key(words: tuple[str, ...]) -> int:
    """A hash of the words that can be had again without some of them; for a long line, of its text alone."""
    if len(words) > MAX_WORDS:
        return hash(words)
    return sum([hash(w) * r for w, r in zip(words, _RANDOM, strict=False)])


def _keep(memory: dict[str, V], key: str, value: V) -> None:
    if len(memory) >= MAX_CACHED:
        memory.clear()
    memory[key] = value
