"""Masks: a log line without the parts that any engineer would call a value.

One set of rules for every system: numbers, hexadecimal, addresses, paths, identifiers, times, booleans and quoted
values become `<*>`; words stay. What rules cannot know (a user's name, a daemon's) is left to `miner`, which sees the
other lines.

The work is done in steps of growing cost, each kept by a bounded memory of the one before, since most lines repeat once
their digits are gone: `collapse` folds digit runs (one pass of one expression over the line), `mask_token` looks at one
blank-separated token, `polish` at the whole masked line.

The written form follows the corrected templates of Loghub: `10.0.0.1:80` is `<*>:<*>`, `1.2.3` is `<*>`, `blk_-123` is
`<*>`, `core.2275` is `core.<*>`. Source of the form: Z. M. Khan, D. Shin, D. Bianculli, L. Briand (2022), Guidelines
for assessing the accuracy of log message template identification techniques, ICSE, section 4.
"""

from __future__ import annotations

import re

WILD = "<*>"

COLLAPSE = re.compile(r"0[xX][0-9a-fA-F]+|(?<![A-Za-z\d])\d+")
"""Digit runs that do not end a word (`ssh2` stays) and hexadecimal literals."""

_PLAIN = re.compile(r"[A-Za-z]+(?:[=:][A-Za-z]+)?[.,:;]?$")
_MAC = re.compile(
    r"\b(?:[0-9a-fA-F]{1,2}[:-]){5,}[0-9a-fA-F]{1,2}\b|\b0:0\w?:\w{1,2}\.0\b"
)  # MAC, GUID-64; PCI address
_SPLIT = re.compile(r"""([\s,!;:=|"'\[\](){}<>]+|\.{2,})""")
_PARTS = re.compile(r"[.\-+@#$%&/\\~_]")
_HEX_WORD = re.compile(r"[0-9a-fA-F]{8,}$")
_NAMED_UNIT = re.compile(r"(?:[A-Za-z]{2,}\d{1,2}|[A-Za-z]\d)$")  # eth0, tty2, ssh2, IPv4, L1, u0
_NAME = re.compile(r"[A-Za-z][A-Za-z_]+$")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*$")
_FAULT = re.compile(r"(?:Exception|Error|Fault)$")  # the class of an exception is the message, not a value
_NUMBER = re.compile(r"[\d.]+$")
_SYMBOL = re.compile(r"([A-Za-z_]\w*)\+0/0$")  # a return address in a stack trace: the function is the message
_VALUE = re.compile(r"""(?<==)[^\s=,;|"'()\[\]{}:]*(?::[^\s=,;|"'()\[\]{}:]+)+""")  # `key=a:b:c`
_NOTHING = frozenset({"true", "false", "null", "root", "admin"})  # Khan et al., rules BL and US
_NOTHING_IN = re.compile("|".join(sorted(_NOTHING)), re.IGNORECASE)
_TAIL = ".-+%#?*"
_HEAD = ".-+#*@$%&~"

_DAY, _MONTH = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)", "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_POLISH: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"{_DAY},? {_MONTH} <\*> <\*>:<\*>:<\*>(?: [A-Z]{{3,4}})? <\*>"), "<*>:<*>:<*>"),  # ctime
    (re.compile(rf"{_DAY}, <\*> {_MONTH} <\*> <\*>:<\*>:<\*>(?: GMT| UTC)?"), "<*>:<*>:<*>"),  # RFC 1123
    (re.compile(rf"{_MONTH} <\*> <\*>:<\*>:<\*>(?: <\*>)?"), WILD),  # syslog
    (re.compile(r'"(GET|POST|PUT|DELETE|HEAD|OPTIONS|PATCH|CONNECT) [^"]*"'), r'"\1 <*>"'),  # request lines
    (re.compile(r'="[^"]*"'), '="<*>"'),
    (re.compile(r"<\*>(?:[.,]?<\*>)+"), WILD),  # rules DV and CV: `<*>.<*>`, `<*><*>`, and comma-joined values
    (re.compile(r"\[<\*>\](?:\[<\*>\])+"), WILD),
    (re.compile(r"<\*>(?:([ :]|, )<\*>)(?:\1<\*>){4,}"), WILD),  # a list of six or more values is one
    (re.compile(r"<\*>:<\*>(?: <\*>:<\*>){4,}"), WILD),
    (re.compile(r" \(\)"), " (<*>)"),
    (re.compile(r"\[ +\]"), "[]"),
)


def collapse(line: str) -> str:
    """The line with every free-standing digit run folded to `0`; total, linear in the length."""
    return COLLAPSE.sub("0", line)


def mask_token(token: str) -> str:
    """One blank-separated token of a collapsed line with its variable parts replaced by `<*>`."""
    if _PLAIN.match(token) and not (_NOTHING_IN.search(token)):
        return token
    token = _MAC.sub(WILD, token)
    if "=" in token:
        token = _VALUE.sub(WILD, token)
    bare = token.lstrip("\"'([{")
    if bare[:1] == "/" and ("?" in bare or "=" in bare):  # a URL's query is no place for words
        end = bare.rstrip("\"')]},;")
        return token[: len(token) - len(bare)] + WILD + bare[len(end) :]
    pieces = _SPLIT.split(token)
    for i in range(0, len(pieces), 2):
        if pieces[i] and pieces[i] != "*":
            follows = pieces[i + 1] if i + 1 < len(pieces) else ""
            pieces[i] = _mask_piece(pieces[i], called=follows[:1] == "(", value=i > 0 and pieces[i - 1][-1:] == "=")
    return "".join(pieces).replace("<<*>>", WILD) if "<" in token else "".join(pieces)


def _mask_piece(piece: str, *, called: bool, value: bool) -> str:
    """A run without separators; `called`: an opening bracket follows; `value`: it stands after `=`."""
    if piece.lower() in _NOTHING or _is_path(piece):
        return WILD
    core = piece.rstrip(_TAIL)
    tail = piece[len(core) :]
    stem = core.lstrip(_HEAD)
    head = core[: len(core) - len(stem)]
    if not stem or (called and _IDENTIFIER.match(stem)):
        return piece
    if head in ("-", "+"):
        head = ""  # a sign belongs to its number
    if any(c.isdigit() for c in stem):
        masked = _mask_digits(stem)
        return piece if masked == stem else head + masked + tail.replace("%", "")
    dotted = "." in stem and (value or stem.count(".") > 1) and not _FAULT.search(stem)
    return head + WILD + tail if dotted or "@" in stem or _HEX_WORD.match(stem) else piece


def _is_path(piece: str) -> bool:
    slashes = piece.count("/")
    return slashes > 0 and (
        (piece[0] == "/" and len(piece) > 1) or slashes > 1 or ("." in piece and len(piece) > 4 and _one_path(piece))
    )


def _one_path(piece: str) -> bool:
    left, right = piece.split("/", 1)
    return not (_NUMBER.match(left) and _NUMBER.match(right))


def _mask_digits(stem: str) -> str:
    """A piece that holds a digit: a named unit keeps its name, of two parts the word is kept, all else is a value."""
    if _NAMED_UNIT.match(stem):
        return stem
    if symbol := _SYMBOL.match(stem):
        return f"{symbol[1]}+{WILD}"
    if "@" in stem:  # an object and its address
        return f"{WILD}@{WILD}"
    parts = _PARTS.split(stem)
    return _mask_pair(stem, *parts) if len(parts) == 2 else WILD


def _mask_pair(stem: str, first: str, second: str) -> str:
    """Two parts and what joins them, of which one at least holds a digit."""
    joint = stem[len(first)]
    named = len(first) > 2 and _NAME.match(first)
    if joint == "/":
        if _NUMBER.match(first) and _NUMBER.match(second):
            return f"{WILD}/{WILD}"
        return f"{first}/{WILD}" if _NAME.match(first) else f"{WILD}/{second}" if _NAME.match(second) else WILD
    if joint == "-" and named and second[:1].isalpha() and len(second) < 6:
        return stem  # BIOS-e820
    return f"{first}{joint}{WILD}" if named and joint != "_" else WILD


def polish(masked: str) -> str:
    """A masked line with the values that span tokens (dates, requests, quoted values, lists) folded to `<*>`."""
    for pattern, text in _POLISH:
        masked = pattern.sub(text, masked)
    return masked
