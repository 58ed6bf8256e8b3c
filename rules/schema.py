"""What a rule file may say. The field descriptions are the reference: docs/rules.md is checked against them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from rules.duration import duration_ms
from rules.expression import Expression, parse
from rules.fact import check_name
from rules.wording import names_in, render

Severity: TypeAlias = Literal["info", "warning", "critical"]
Priority: TypeAlias = Literal["low", "normal", "high", "urgent"]
Word: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
AlertName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]{1,63}$")]


def _sentence(text: str) -> str:
    if not isinstance(text, str) or not 1 <= len(text) <= 500:
        raise ValueError("must be 1 to 500 characters of text")
    names_in(text)
    return text


def _metric(text: str) -> str:
    if not isinstance(text, str) or "." in text:
        raise ValueError("must be the name of a metric")
    return text


def _expression(text: object) -> Expression:
    if not isinstance(text, str):
        raise ValueError("must be text")
    return parse(text)


Sentence: TypeAlias = Annotated[str, BeforeValidator(_sentence)]
Metric: TypeAlias = Annotated[Word, BeforeValidator(_metric)]
Duration: TypeAlias = Annotated[int, BeforeValidator(duration_ms)]


class Entry(BaseModel):
    """What every part of a rule file has in common: frozen, and no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_by_name=False)


class TicketAsked(Entry):
    """The ticket that a firing rule asks for."""

    priority: Priority = Field("normal", description="`low`, `normal`, `high` or `urgent`")
    title: Sentence = Field(description="one line for the queue; may hold placeholders")


class CustomerTold(Entry):
    """The message to the owner that a firing rule asks for; policy decides whether and when it goes."""

    template: Word = Field(description="name of the message's text in each language")
    urgent: bool = Field(False, description="whether it may be sent within quiet hours")


class Rule(Entry):
    """A declared condition, and what should follow when it holds for long enough."""

    alert: AlertName = Field(description="the rule's name, in CamelCase; unique")
    types: tuple[Word, ...] = Field((), description="product types it speaks of; empty means all")
    expr: Annotated[Expression, BeforeValidator(_expression)] = Field(description="the condition, over facts")
    for_ms: Duration = Field(0, alias="for", description="how long it must hold before it fires")
    keep_firing_for_ms: Duration = Field(
        0, alias="keep_firing_for", description="how long it must have ceased before it is resolved"
    )
    severity: Severity = Field("warning", description="`info`, `warning` or `critical`")
    cause: Word = Field("", description="alerts of one device and one cause share an incident; else the rule's own")
    inhibited_by: tuple[AlertName, ...] = Field((), description="alerts on the same device that explain this one away")
    ticket: TicketAsked | None = Field(None, description="the ticket to open; none: recorded only")
    tell_customer: CustomerTold | None = Field(None, description="the message to the owner; none: not told")
    charts: tuple[Metric, ...] = Field((), description="metrics to draw on the ticket")
    explain: Sentence | None = Field(None, description="one sentence for the support person; may hold placeholders")
    enabled: bool = Field(True, description="`false` switches the rule off")
    replace: bool = Field(False, description="`true`: this stands in for a rule of the same name loaded before it")

    @model_validator(mode="before")
    @classmethod
    def _cause_of_its_own(cls, entry: Any) -> Any:
        if isinstance(entry, dict) and "cause" not in entry and isinstance(entry.get("alert"), str):
            return entry | {"cause": _snake(entry["alert"])}
        return entry

    def explanation(self, value_of: Callable[[str], float]) -> str:
        """The rule's sentence with the device's values filled in; the expression where it has none."""
        return render(self.explain, value_of) if self.explain else self.expr.text

    def title(self, value_of: Callable[[str], float]) -> str:
        """The ticket's title with the device's values filled in; the rule's name where it asks for none."""
        return render(self.ticket.title, value_of) if self.ticket else self.alert


class ForecastSpec(Entry):
    """Which metric runs towards which limit: what the forecaster looks ahead for."""

    name: Word = Field(description="rules say `forecast.<name>_days_left`; unique for each product type")
    types: tuple[Word, ...] = Field((), description="product types it is for; empty means all that send the metric")
    metric: Metric = Field(description="the metric that is extrapolated")
    limit: float = Field(description="the value that must not be reached, in the metric's unit", allow_inf_nan=False)
    direction: Literal["falling", "rising"] = Field(description="from which side the limit is reached")


class RuleFile(Entry):
    """One YAML file: a mapping of these sections, or just a list of rules."""

    forecasts: tuple[ForecastSpec, ...] = Field((), description="what to look ahead for")
    rules: tuple[Rule, ...] = Field((), description="the rules")


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")[:64]


__all__ = ["CustomerTold", "ForecastSpec", "Rule", "RuleFile", "Severity", "TicketAsked", "check_name"]
