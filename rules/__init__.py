"""The rule language and the library of rules. Pure: columns of facts come in, transitions go out."""

from rules import check
from rules.errors import CODES, RuleError
from rules.evaluation import RuleState, State, Transition, evaluate
from rules.expression import FUNCTIONS, UNITS, Expression, parse
from rules.fact import FACTS, metrics_of
from rules.ruleset import LIBRARY, RuleSet, load
from rules.schema import CustomerTold, ForecastSpec, Rule, TicketAsked
from rules.wording import render, written

__all__ = [
    "CODES",
    "FACTS",
    "FUNCTIONS",
    "LIBRARY",
    "UNITS",
    "CustomerTold",
    "Expression",
    "ForecastSpec",
    "Rule",
    "RuleError",
    "RuleSet",
    "RuleState",
    "State",
    "TicketAsked",
    "Transition",
    "check",
    "evaluate",
    "load",
    "metrics_of",
    "parse",
    "render",
    "written",
]
