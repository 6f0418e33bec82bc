"""Answers at up to three times the timeout, many of them; what the campaign found."""

from __future__ import annotations

from wires import read_rtu, rtu_reply

from bench.campaign_late import run
from drivers.late import OwedAnswers


def test_no_late_answer_is_taken_under_a_wrong_name():
    tally = run(3000, "7")
    assert tally["requests"] >= 3000
    assert tally["late"] > 500
    assert tally["answers"] > 200
    assert tally["wrong"] == 0


def test_an_answer_that_waited_unread_settles_the_older_of_two_equal_questions():
    asked, other = read_rtu(1, 10), read_rtu(1, 24)
    owed = OwedAnswers()
    owed.owe(asked, asked.reader(), until=3.0)
    owed.owe(asked, asked.reader(), until=4.0)
    # it arrived at 2.5, nobody read it before 3.5: the answer to the second question is still to come
    assert owed.hear(rtu_reply(1, 3, [0, 7]), False) == 1
    assert owed.until(other, 3.5) == 4.0
    owed.forget(4.0)
    assert owed.until(other, 4.0) == 4.0
