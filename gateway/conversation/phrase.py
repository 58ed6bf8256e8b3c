"""Words and phrases by which the deterministic layer knows what a reply means, in the languages we write in.

Providers know English opt-out words only (Twilio's defaults: STOP, STOPALL, UNSUBSCRIBE, CANCEL, END, QUIT, REVOKE,
OPTOUT), so the other languages and free-text revocation are ours. A single keyword counts only as the whole message.
Patterns run over text that is NFKC-normalised and case-folded, with straight apostrophes.
"""

from __future__ import annotations

import re

STOP = frozenset(
    {
        *("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"),
        *("td", "t", "退订", "退訂", "取消订阅", "停止", "不要再发"),
        *("baja", "parar", "alto", "cancelar", "detener"),
        *("abmelden", "abbestellen", "stopp", "aufhören"),
    }
)
START = frozenset(
    {"start", "unstop", "subscribe", "订阅", "訂閱", "开始", "恢复", "alta", "suscribir", "anmelden"}
)  # not YES, which we never ask for
HELP = frozenset({"help", "info", "帮助", "幫助", "ayuda", "hilfe"})


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


REVOKED = _any(
    r"\b(don'?t|do not|stop|quit) ((please|ever|want|send|sending|me|any|more|to) ){0,4}(text|messag|sms|contact|writ)",
    r"\btake me off\b|\bleave me alone\b|\bunsubscribe\b",
    r"不要(再)?(给我)?发|别(再)?(给我)?发|取消短信",
    r"\bno me (escriba|env[ií]e|mande)|\bkeine (weiteren )?(sms|nachrichten)\b",
)
DANGER = _any(
    r"\b(smok(e|ing|es)|fire|burn(s|ing|t)|flames?|spark(s|ing)|explo\w+|gas leak|electric shock)\b",
    r"冒烟|冒煙|着火|著火|起火|火灾|烧焦|焦味|爆炸|触电|漏电|火花",
    r"\b(humo|fuego|incendio|se quema|chispas)\b|\b(raucht?|qualmt|feuer|brennt|funken)\b",
)
NO_DANGER = _any(
    r"\bno (smoke|fire|flames?)((,| or| and)( no)? (smoke|fire|flames?))*\b|\bsmoke (detector|alarm)s?\b",
    r"没有?冒烟|没着火",
    r"\bsin humo\b|\bkein (rauch|feuer)\b",
)
"""Taken out before danger is looked for: "the smoke alarm rings, there is fire" speaks of fire."""
ANSWERS = {
    "broken": _any(
        r"\b(still|not|isn'?t|doesn'?t|didn'?t|won'?t)\b.*\b(broken|work\w*|fixed|better|help\w*)\b|\bbroken\b",
        r"\bstill\b.{0,40}\b(nois[ey]\w*|loud|beep\w*|hot|cold|leak\w*|slow\w*|stuck|same|happen\w*|doing it)\b",
        r"(?<!not )(?<!no )(?<!n't )\b(got(ten)?|gett?ing|gets|become\w*|even|much|is) worse\b",
        r"没(有)?(修好|解决|用)|还是?(不行|有问题|坏)|不行|仍有问题|(更|越来越)(严重|糟|差|坏)|还在(响|漏|报警)|还是?(很|太)?(热|烫|慢|冷|响)",
        r"\bsigue (fallando|igual|mal)\b|\bno funciona\b|\bnoch (immer )?(defekt|kaputt)\b|\bgeht nicht\b",
    ),
    "fixed": _any(
        r"\b(fixed|solved|replaced|changed (it|the)|works? (now|again|fine)|done(?! with\b))\b",
        r"(?<!\bit )\brestarted\b(?! (again|by itself|itself)\b)",
        r"已?(解决|修好|更换|换好|换了|恢复)|好了",
        r"\b(resuelto|arreglad[oa]|cambiad[oa]|ya funciona)\b",
        r"\b(behoben|erledigt|gewechselt|läuft wieder|funktioniert wieder)\b",
    ),
    "call": _any(
        r"\b(call|phone|ring) me\b|\bplease call\b", r"来电|打(个)?电话", r"\bll[aá]me", r"\banrufen\b|\brufen sie\b"
    ),
}
"""In this order, so that "not fixed" is broken."""
UNSURE = _any(
    r"[?？]|^(is|has|was|can|did) (it|this|that)\b|n't\b",
    r"\b(not|never|nothing|nobody|but|when|if|until|unless|will|would|should|cannot|waiting)\b",
    r"没|不|未|但|吗|什么时候|几时",
    r"\b(pero|cuándo|cuando|aún no|todavía no|no est[aá]|no (lo )?he|aber|nicht|kein\w*|wann|wenn|noch)\b",
)
"""What asks, denies or restricts; "not done yet" and "when will it be fixed?" say nothing is fixed: a person reads."""
THANKS = re.compile(
    r"((ok(ay)?|thanks?|thank you|so much|very much|thx|great|谢谢|多谢|好的|收到|gracias|vale|danke|👍|🙏)[\s,.!。]*)+"
)
ANGRY = _any(
    r"\b(angry|furious|ridiculous|unacceptable|terrible|worst|useless|lawyer|complain\w*|scam|refund)\b|!!",
    r"太差|垃圾|投诉|骗子|退款|气死|无语",
    r"\b(inaceptable|vergüenza|frechheit|unverschämt)\b",
)
WORRIED = _any(
    r"\b(worr(y|ied)|afraid|scared|urgent\w*|asap|danger\w*|baby|elderly)\b",
    r"担心|害怕|着急|紧急|危险",
    r"\b(preocupad[oa]|sorge\w*|dringend)\b",
)
