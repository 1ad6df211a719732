"""The question that a lab ends with: its answer is looked at for its length alone."""

import pytest

from labkit.check import conclusions, data, errors, metrics, training, unet

QUESTIONS = [
    (data.which_limits, 40),
    (unet.which_upsampling, 40),
    (metrics.which_score, 40),
    (training.which_rate, 40),
    (errors.worst_images, 40),
    (conclusions.next_step, 50),
]


@pytest.mark.parametrize(("question", "count"), QUESTIONS)
def test_a_written_answer_is_looked_at_for_its_length_alone(question, count):
    words = [f"word{number}" for number in range(count)]
    assert question(" ".join(words)).passed
    assert question(...).state == "not attempted"
    assert f"{count} different words" in question(" ".join(words[1:] * 2)).expected
    assert "quotes" in question(words).expected
