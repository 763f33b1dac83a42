"""Task distributions: as text, as draws, as grids."""

import numpy as np
import pytest

from minorml.rl.tasks import Choice, Uniform, grid_tasks, parse, sample_tasks


def test_parse():
    assert parse("rotation=uniform:-1.5,2") == Uniform("rotation", -1.5, 2.0)
    assert parse("swapped=choice:0,1") == Choice("swapped", (0.0, 1.0))


@pytest.mark.parametrize("text", ["rotation", "rotation=uniform", "rotation=uniform:1", "rotation=uniform:2,1",
                                  "rotation=uniform:a,b", "rotation=normal:0,1", "=uniform:0,1", "x=uniform:0,inf",
                                  "x=uniform:nan,nan", "a b=uniform:0,1", "x=choice:", "x=choice:a", ""])
def test_bad_text_is_quoted(text):
    with pytest.raises(ValueError, match="vary: expected NAME=uniform:LOW,HIGH") as error:
        parse(text)
    assert repr(text) in str(error.value)


def test_draws_fill_the_range():
    draws = [task["x"] for task in sample_tasks([Uniform("x", 2, 4)], np.random.default_rng(0), 1000)]
    assert 2 <= min(draws) < 2.05 and 3.95 < max(draws) <= 4


def test_grid_takes_the_middles():
    assert grid_tasks([Uniform("x", 0, 4)], 4) == [{"x": 0.5}, {"x": 1.5}, {"x": 2.5}, {"x": 3.5}]


def test_grid_of_two_attributes_is_a_latin_hypercube():
    tasks = grid_tasks([Uniform("x", 0, 8), Uniform("y", 0, 8)], 8)
    middles = [i + 0.5 for i in range(8)]
    assert [t["x"] for t in tasks] == middles and sorted(t["y"] for t in tasks) == middles
    assert [t["y"] for t in tasks] != middles
    assert tasks == grid_tasks([Uniform("x", 0, 8), Uniform("y", 0, 8)], 8)


def test_choices_are_drawn_equally_often_in_random_order():
    def draws(n):
        return [tuple(task["x"] for task in sample_tasks([Choice("x", (0, 1))], np.random.default_rng(i), n))
                for i in range(40)]

    assert all(sorted(draw) == [0, 0, 1, 1] for draw in draws(4))
    assert len(set(draws(4))) == 6, "all six orders"
    assert set(draws(1)) == {(0,), (1,)}


def test_grid_of_choices_holds_each_once():
    assert grid_tasks([Choice("x", (0, 1))], 16) == [{"x": 0}, {"x": 1}]
