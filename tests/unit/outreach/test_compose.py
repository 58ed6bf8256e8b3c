"""What messages say and cost."""

from __future__ import annotations

import pytest
import yaml

import rules
from gateway.errors import ConfigError
from gateway.outreach import compose, cost, load_texts
from gateway.outreach.compose import MAX_CHARS

TEXTS = load_texts()


def say(template="battery_wearing_out", language="en", facts=None, texts=TEXTS, device_type="smart_lock"):
    return compose(texts, template, language, facts or {}, sender="Beforehand", device_type=device_type)


def test_a_message_names_the_sender_the_device_the_time_the_answers_and_the_way_out():
    assert say(facts={"days": 12}).text == (
        "Beforehand: The battery of your smart lock is wearing out and may be empty in about 12 days. "
        "Please fit a new one soon. Reply 1 = fixed, 2 = still broken, 3 = please call me. Reply STOP to end messages."
    )


def test_a_chinese_contact_reads_chinese_and_an_unknown_language_english():
    assert "智能门锁" in say(language="zh-CN").text
    assert say(language="tlh").language == "en"
    assert say(facts={"days": 1}).text.count("1 day.") == 1


@pytest.mark.parametrize("language", sorted(TEXTS.languages))
def test_every_language_has_every_text_and_answer(language):
    held, english = TEXTS.languages[language], TEXTS.languages["en"]

    assert held.texts.keys() == english.texts.keys()
    assert held.answers.keys() == english.answers.keys()
    assert all(held.texts[name].answers == text.answers for name, text in english.texts.items())


@pytest.mark.parametrize("language", sorted(TEXTS.languages))
def test_no_message_costs_more_than_four_segments_or_asks_for_yes(language):
    for template in TEXTS.languages[language].texts:
        for device in TEXTS.languages[language].devices:
            composed = say(template, language, {"days": 100}, device_type=device)

            assert composed.cost.segments <= 4, composed.text
            assert not any(word in composed.text.upper().split() for word in ("YES", "YES,"))


def test_every_template_that_rules_name_is_written():
    named = {rule.tell_customer.template for rule in rules.load().rules if rule.tell_customer}

    assert named <= set(TEXTS.languages["en"].texts)


def test_an_unknown_template_and_a_missing_fact_give_the_default_text(tmp_path):
    write(tmp_path, {"texts": {"needs_fact": {"text": "It is {{ celsius }} degrees."}}})
    texts = load_texts(tmp_path)
    default = say("default").text

    assert say("never_heard_of").text == default
    assert say("needs_fact", texts=texts).text == default
    assert "21.5 degrees" in say("needs_fact", facts={"celsius": 21.5}, texts=texts).text


@pytest.mark.parametrize(
    "attack",
    [
        "{{ 'a' * 10**9 }}",
        "{{ 2 ** 10**9 }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ facts.append(1) }}",
        "{% for i in range(10**9) %}a{% endfor %}",
    ],
)
def test_a_hostile_text_gives_the_default_text_at_once(tmp_path, attack):
    write(tmp_path, {"texts": {"attack": {"text": attack}}})

    assert say("attack", texts=load_texts(tmp_path)).text == say("default").text


def test_a_text_without_end_is_cut(tmp_path):
    write(tmp_path, {"texts": {"long": {"text": "{% for i in range(90000) %}ab {% endfor %}"}}})

    assert len(say("long", texts=load_texts(tmp_path)).text) <= MAX_CHARS


@pytest.mark.parametrize("content", ["texts: [", "[]", "texts: {x: {text: '{{ '}}", "texts: {x: {txt: hello}}"])
def test_a_file_that_is_wrong_is_told_at_start(tmp_path, content):
    (tmp_path / "en.yaml").write_text(content)

    with pytest.raises(ConfigError, match="bad_template"):
        load_texts(tmp_path)


def write(folder, content):
    (folder / "en.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("gsm7", 0, 1)),
        ("a" * 160, ("gsm7", 160, 1)),
        ("a" * 161, ("gsm7", 161, 2)),
        ("a" * 306, ("gsm7", 306, 2)),
        ("a" * 307, ("gsm7", 307, 3)),
        ("€" * 80, ("gsm7", 160, 1)),
        ("a" * 152 + "€" + "a" * 152, ("gsm7", 306, 3)),  # the escape pair does not fit the first part's last place
        ("好" * 70, ("ucs2", 70, 1)),
        ("好" * 71, ("ucs2", 71, 2)),
        ("a" * 159 + "’", ("ucs2", 160, 3)),
        ("👍" * 35, ("ucs2", 70, 1)),
        ("好" * 66 + "👍" + "好" * 66, ("ucs2", 134, 3)),
    ],
)
def test_segments_are_counted_as_the_network_does(text, expected):
    counted = cost(text)

    assert (counted.encoding, counted.units, counted.segments) == expected
