"""From raw text to the log lines of a batch: severity, redaction, and a bound on how many a source may send."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge.redact import redact
from edge.wire import MAX_SOURCE, MAX_TEXT, SEVERITIES, LogLine

DEBUG, INFO, WARNING, ERROR, CRITICAL = range(len(SEVERITIES))
MINUTE_MS = 60_000
MAX_SOURCES = 200  # names told apart; further ones share `other`

WORDS = {
    **dict.fromkeys(("trace", "debug", "dbg", "verbose"), DEBUG),
    **dict.fromkeys(("info", "inf", "notice", "information"), INFO),
    **dict.fromkeys(("warn", "warning", "wrn"), WARNING),
    **dict.fromkeys(("err", "error", "severe"), ERROR),
    **dict.fromkeys(("crit", "critical", "fatal", "panic", "emerg", "emergency", "alert"), CRITICAL),
}
_LEVEL = "|".join(sorted(WORDS, key=len, reverse=True))
TAGGED = re.compile(
    rf"\b(?:level|lvl|severity|priority)[\"']?\s*[=:]\s*[\"']?({_LEVEL})\b"  # level=warn, "severity": "error"
    rf"|[\[<(]\s*({_LEVEL})\s*[\])>]"  # [error]
    rf"|(?:^|\s)({_LEVEL})\s*[:|]",  # error: ...
    re.I,
)
SHOUTED = re.compile(rf"\b({_LEVEL.upper()})\b")
SYSLOG = re.compile(r"^<(\d{1,3})>")  # RFC 3164: facility * 8 + severity, 0 the worst
SYSLOG_SEVERITY = (CRITICAL, CRITICAL, CRITICAL, ERROR, WARNING, INFO, INFO, DEBUG)
SAID = (
    (re.compile(r"\b(?:panic|oops|segfault|core dumped|out of memory|oom-kill\w*)\b", re.I), CRITICAL),
    (re.compile(r"\b(?:error|failed|failure|fatal|exception|traceback|cannot|unable to)\b", re.I), ERROR),
    (re.compile(r"\b(?:warn(?:ing)?|timed? ?out|retry(?:ing)?|deprecated)\b", re.I), WARNING),
)
HEAD = 160  # characters in which a level is looked for


def severity_of(text: str) -> int:
    """The severity of a raw line: what its level field says, else what its words suggest, else `info`."""
    head = text[:HEAD]
    if found := SYSLOG.match(head):
        return SYSLOG_SEVERITY[int(found[1]) % 8]
    if found := TAGGED.search(head):
        return WORDS[next(word for word in found.groups() if word).lower()]
    if found := SHOUTED.search(head):
        return WORDS[found[1].lower()]
    return next((severity for pattern, severity in SAID if pattern.search(head)), INFO)


@dataclass(slots=True)
class _Allowance:
    """One source's lines in the current minute."""

    minute: int = -1
    passed: int = 0
    suppressed: int = 0
    worst: int = DEBUG


@dataclass(slots=True, kw_only=True)
class LogGate:
    """Lets log lines through, redacted and bounded. What it holds back is counted in `drops`, and told in a line."""

    level: int = INFO
    lines_per_minute: int = 60
    extra: Sequence[re.Pattern[str]] = ()
    drops: Counter[str] = field(default_factory=Counter)
    _sources: dict[str, _Allowance] = field(default_factory=dict)

    def admit(self, t_ms: int, severity: int, source: str, text: str) -> list[LogLine]:
        """The line as it may be sent, behind a `suppressed n lines` where a minute with too many has ended.

        Empty for what is below `level` or over the rate of its source.
        """
        if severity < self.level:
            return []
        source = source[:MAX_SOURCE]
        if source not in self._sources and len(self._sources) >= MAX_SOURCES:
            source = "other"
        allowance = self._sources.setdefault(source, _Allowance())
        lines = self._turn(source, allowance, t_ms)
        if allowance.passed < self.lines_per_minute:
            allowance.passed += 1
            # Redact before cutting: half of a secret is still one.
            lines.append(LogLine(t_ms, severity, source, redact(text[: 4 * MAX_TEXT], self.extra)[:MAX_TEXT]))
        else:
            allowance.suppressed += 1
            allowance.worst = max(allowance.worst, severity)
            self.drops["log_rate"] += 1
        return lines

    def tell(self, t_ms: int) -> list[LogLine]:
        """`suppressed n lines` of every source whose minute is over."""
        return [line for source, allowance in self._sources.items() for line in self._turn(source, allowance, t_ms)]

    @staticmethod
    def _turn(source: str, allowance: _Allowance, t_ms: int) -> list[LogLine]:
        minute = t_ms // MINUTE_MS
        if minute == allowance.minute:
            return []
        count, worst = allowance.suppressed, allowance.worst
        allowance.minute, allowance.passed, allowance.suppressed, allowance.worst = minute, 0, 0, DEBUG
        return [LogLine(t_ms, worst, source, f"suppressed {count} lines")] if count else []
