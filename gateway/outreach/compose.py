"""What a message says, in the recipient's language: texts in `templates/<language>.yaml`, filled in a sandbox.

A text names who writes, which device, what will happen when and what to do, and offers numbered answers: never YES or
NO, for providers take YES as an opt-in word. Operators may write texts, so they run sandboxed: no mutation, no `*` and
`**` (a length bomb), and at most `MAX_CHARS` come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.errors import ConfigError
from gateway.outreach.segment import Cost, cost, plain

TEMPLATES = Path(__file__).parent / "templates"
MAX_CHARS = 1_000  # Twilio refuses 1,600 and more (error 21617); nobody reads 1,000
FALLBACK = "en"
DEFAULT = "default"


class Text(BaseModel):
    """One text: its words, and the answers it offers in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    answers: tuple[str, ...] = ()


class Language(BaseModel):
    """One language's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: dict[str, str]  # product type -> what its owner calls it
    answers: dict[str, str]  # fixed | broken | call | ... -> words
    answer_line: str  # holds the offered answers
    between_answers: str = ", "
    opt_out_line: str  # how to stop messages
    texts: dict[str, Text]


@dataclass(frozen=True, slots=True)
class Texts:
    """Every text in every language."""

    languages: Mapping[str, Language]

    def language(self, wanted: str) -> str:
        """The language there are texts in that is nearest to the wanted one (`zh-TW` -> `zh` -> `en`)."""
        base = wanted.replace("_", "-").split("-")[0].lower()
        return base if base in self.languages else FALLBACK

    def answers(self, template: str, language: str) -> tuple[str, ...]:
        """The answers a text offers: number 1 is the first."""
        return self._text(template, self.language(language))[1].answers

    def _text(self, template: str, language: str) -> tuple[str, Text]:
        for tongue in (language, FALLBACK):
            if found := self.languages[tongue].texts.get(template):
                return tongue, found
        return language, self.languages[language].texts[DEFAULT]


@dataclass(frozen=True, slots=True)
class Composed:
    """A text ready to send."""

    text: str
    language: str
    cost: Cost


def load_texts(*folders: Path) -> Texts:
    """The texts that come with the gateway, then those of operators' folders, which replace equal names.

    Raises:
        ConfigError: `bad_template`: a file is no such file, or a text cannot be parsed.
    """
    languages: dict[str, dict[str, Any]] = {}
    for folder in (TEMPLATES, *folders):
        for file in sorted(folder.glob("*.yaml")):
            _merge(languages.setdefault(file.stem, {}), _read(file))
    try:
        texts = Texts({name: Language.model_validate(held) for name, held in languages.items()})
    except ValidationError as exc:
        raise ConfigError("bad_template", str(exc.errors(include_url=False, include_input=False)[0])) from exc
    for name, language in texts.languages.items():
        for template, text in language.texts.items():
            try:
                _sandbox().from_string(text.text)
            except TemplateError as exc:
                raise ConfigError("bad_template", f"{name}.yaml, {template}: {exc}") from exc
    return texts


def compose(
    texts: Texts, template: str, language: str, facts: Mapping[str, object], *, sender: str, device_type: str = ""
) -> Composed:
    """The text of a template in a language, with its answers and how to stop messages.

    An unknown template gives the default text; a fact a text needs and does not find, too.

    Args:
        texts: every text.
        template: name of the text, as rules give it.
        language: of the recipient; the nearest there is is taken.
        facts: what the text may name: `days`, `low_days`, `high_days`, `site`, `firmware`, ...
        sender: who the message says it comes from.
        device_type: product type; texts see it as `device`, in the words of the language.
    """
    tongue, text = texts._text(template, texts.language(language))
    words = texts.languages[tongue]
    known = {"device": words.devices.get(device_type, words.devices.get(DEFAULT, device_type))} | dict(facts)
    try:
        body = _render(text.text, known)
    except TemplateError:  # SecurityError is one
        text = words.texts[DEFAULT]
        body = _render(text.text, known)
    parts = [f"{sender}: {body}"]
    if text.answers:
        offered = [f"{n} = {words.answers[answer]}" for n, answer in enumerate(text.answers, 1)]
        parts.append(words.answer_line.format(answers=words.between_answers.join(offered)))
    if not template.startswith("reply_"):
        parts.append(words.opt_out_line)
    whole = plain(("" if tongue == "zh" else " ").join(parts))[:MAX_CHARS]
    return Composed(whole, tongue, cost(whole))


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(["*", "**"])

    def call_binop(self, context: object, operator: str, left: object, right: object) -> object:
        raise SecurityError(f"{operator} is not for texts")


@cache
def _sandbox() -> _Sandbox:
    return _Sandbox(undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True)


def _render(source: str, facts: Mapping[str, object]) -> str:
    pieces, length = [], 0
    for piece in _sandbox().from_string(source).generate(facts):
        pieces.append(piece)
        length += len(piece)
        if length > MAX_CHARS:
            break
    return " ".join("".join(pieces).split())


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as exc:
        raise ConfigError("bad_template", f"{file.name}: {exc}") from exc
    if not isinstance(content, dict):
        raise ConfigError("bad_template", f"{file.name}: not a mapping")
    return content


def _merge(held: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(held.get(key), dict):
            held[key] = {**held[key], **value}
        else:
            held[key] = value
