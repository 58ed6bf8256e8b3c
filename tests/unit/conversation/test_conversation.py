"""What replies mean and what follows."""

from __future__ import annotations

import pytest

from gateway.conversation import Understanding, brief, respond, understand

OFFERED = ("fixed", "broken", "call")


@pytest.mark.parametrize(
    "text",
    ["STOP", "stop.", " Stop ", "StopAll", "UNSUBSCRIBE", "退订", "TD", "Baja", "abmelden", "Please don't text me",
     "stop sending me messages", "不要再发了", "no me escriba más", "Keine SMS mehr"],
)  # fmt: skip
def test_a_contact_who_wants_no_more_messages_is_understood(text):
    assert understand(text, OFFERED).intent == "stop"


@pytest.mark.parametrize(
    "text", ["the bus stop is nearby", "can you cancel the visit?", "I don't have the app", "when does it end?"]
)
def test_words_of_opting_out_within_other_sentences_are_not_one(text):
    assert understand(text, OFFERED).intent != "stop"


@pytest.mark.parametrize(
    ("text", "answer"),
    [("1", "fixed"), (" 2. ", "broken"), ("3)", "call"), ("②", "broken"), ("二", "broken"), ("２", "broken"),
     ("#1", "fixed"),
     ("Fixed it, thanks", "fixed"), ("It is still not working", "broken"), ("not fixed", "broken"), ("换好了", "fixed"),
     ("还是不行", "broken"), ("Please call me", "call"), ("sigue fallando", "broken"), ("läuft wieder", "fixed"),
     ("It's still making that noise!", "broken"), ("it has got worse", "broken"), ("情况更严重了", "broken"),
     ("还在响", "broken")],
)  # fmt: skip
def test_numbers_and_plain_words_answer_what_was_offered(text, answer):
    meaning = understand(text, OFFERED)

    assert (meaning.intent, meaning.answer) == ("answer", answer)


@pytest.mark.parametrize(
    "text",
    ["not done yet", "nothing is fixed", "it has not been replaced", "when will it be fixed?", "is it solved",
     "It restarted again by itself", "I replaced the battery but it is dead", "I am done with this company",
     "什么时候修好", "换好了但是没反应", "wann ist das behoben", "aún no está resuelto"],
)  # fmt: skip
def test_what_asks_denies_or_restricts_is_never_taken_for_fixed(text):
    assert understand(text, OFFERED).answer != "fixed"


@pytest.mark.parametrize(
    "text", ["done", "I restarted it", "It works now!", "I fixed it yesterday", "已解决", "ya funciona", "ist erledigt"]
)
def test_what_says_plainly_that_it_is_fixed_is_understood(text):
    assert understand(text, OFFERED).answer == "fixed"


@pytest.mark.parametrize("text", ["Is it still under warranty?", "it isn't getting worse", "still waiting for Friday"])
def test_questions_and_denials_are_left_to_a_person(text):
    assert understand(text, OFFERED).intent == "unknown"


@pytest.mark.parametrize(
    ("text", "called"), [("thanks", ""), ("1", "hand_over"), ("still broken", "still_broken"), ("When?", "hand_over")]
)
def test_no_machine_talks_while_a_person_does(text, called):
    response = respond(understand(text, OFFERED), person_wrote=True)

    assert (response.template, response.attention) == ("", called)


def test_danger_is_answered_and_stop_obeyed_even_while_a_person_talks():
    assert respond(understand("it is on fire"), person_wrote=True).template == "reply_urgent"
    assert respond(understand("STOP"), person_wrote=True).consent == "opt_out"


def test_a_number_that_was_not_offered_is_not_guessed():
    assert understand("4", OFFERED).intent == "unknown"
    assert understand("1").intent == "unknown"


@pytest.mark.parametrize("text", ["一直响", "一样", "三天了", "2天了", "in 2h", "3x", "not 1"])
def test_a_number_within_a_sentence_is_no_answer(text):
    assert understand(text, OFFERED).intent == "unknown"


@pytest.mark.parametrize(
    "text",
    ["It's smoking!", "there is fire", "冒烟了", "有焦味", "sale humo", "es brennt", "1 but it is smoking",
     "the smoke alarm rings and there is fire", "no smoke yet but it is burning"],
)  # fmt: skip
def test_danger_calls_a_person_at_once(text):
    response = respond(understand(text, OFFERED))

    assert (response.attention, response.priority, response.template) == ("danger", "urgent", "reply_urgent")


@pytest.mark.parametrize(
    "text",
    [
        "no smoke, all fine",
        "no fire and no smoke",
        "no smoke or fire",
        "the smoke detector needs a battery",
        "没有冒烟",
        "a brand new one",
    ],
)
def test_words_of_danger_that_deny_it_are_no_danger(text):
    assert understand(text, OFFERED).intent != "urgent"


@pytest.mark.parametrize("text", ["Don't text me, there is smoke coming out!", "stop sending me texts, it is on fire"])
def test_danger_is_heard_from_whoever_wants_no_more_messages_too(text):
    response = respond(understand(text, OFFERED))

    assert (response.consent, response.template) == ("opt_out", "")
    assert (response.attention, response.priority) == ("danger", "urgent")


def test_stop_gets_no_answer_and_the_provider_is_not_doubled():
    assert respond(understand("STOP")).template == ""
    assert respond(understand("STOP")).consent == "opt_out"
    assert respond(understand("START")).template == "reply_start"
    assert respond(understand("HELP"), told_by_provider=True).template == ""


def test_what_is_not_understood_goes_to_a_person_and_is_answered_once_in_a_row():
    unknown = understand("What does the blue light mean?")

    assert respond(unknown).attention == "hand_over"
    assert respond(unknown).template == "reply_hand_over"
    assert respond(unknown, earlier=[unknown]).template == ""
    assert respond(unknown, earlier=[unknown]).attention == "hand_over"


def test_an_angry_contact_is_a_persons_business():
    assert respond(understand("THIS IS RIDICULOUS, I WANT A REFUND")).attention == "angry"
    assert respond(understand("fixed, but this is unacceptable")).attention == "angry"


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        ("fixed", "confirmed", "waiting"),
        ("fine", "no_fault_found", "waiting"),
        ("broken", None, "open"),
        ("call", None, "open"),
    ],
)
def test_answers_label_and_move_the_ticket(answer, outcome, status):
    response = respond(Understanding(intent="answer", answer=answer))

    assert (response.outcome, response.status) == (outcome, status)


def test_the_brief_says_what_was_said_and_what_to_do():
    meaning = understand("still broken, I am worried about my baby", OFFERED)

    text = str(brief("still_broken", meaning, said="still broken", facts=["Battery at 12 %"]))

    assert text.splitlines() == [
        "Customer wrote: still broken",
        "Mood: worried. Next: The advised step did not help: look at the evidence, then call or send a technician.",
        "Battery at 12 %",
    ]
