"""Ratings from a CSV file and from a prepared set; how they are split."""

import numpy as np
import pytest

from gradjax.data import ratings
from gradjax.errors import Refusal

HEADER = "user,item,rating,time"
ROWS = [f"u{k % 4},i{k % 5},{1 + k % 5},{100 - k}" for k in range(12)]


def write(folder, *lines, name="mine.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes("\n".join(lines).encode(encoding))
    return str(path)


def test_reads_a_csv_in_the_order_of_time(tmp_path):
    loaded = ratings.load(write(tmp_path, HEADER, *ROWS, ""))
    assert loaded.name == "mine.csv"
    assert (np.diff(loaded.time) > 0).all()
    last = ROWS[0].split(",")  # the largest time
    assert loaded.users[loaded.user[-1]] == last[0]
    assert loaded.items[loaded.item[-1]] == last[1]
    assert loaded.rating[-1] == float(last[2])
    assert loaded.titles.tolist() == loaded.items.tolist()
    assert loaded.genres.shape == (5, 0)
    types = [loaded.user.dtype, loaded.rating.dtype, loaded.time.dtype]
    assert types == [np.int32, np.float32, np.float64]


def test_equal_times_keep_the_order_of_the_lines(tmp_path):
    rows = [f"u,i{k},{k},7" for k in range(10)]
    loaded = ratings.load(write(tmp_path, HEADER, *rows))
    assert loaded.rating.tolist() == list(range(10))


def test_reads_quoted_titles_genres_and_movielens_names(tmp_path):
    header = "\ufeffuserId,movieId,rating,timestamp,title,genres"
    rows = [
        f'{k},"7",4.5,{k},"Good, the ""Bad"" (1966)","Comedy|Drama"' for k in range(9)
    ]
    rows.append("9,8,1,9,,Drama")
    loaded = ratings.load(write(tmp_path, header, *rows))
    assert loaded.titles.tolist() == ['Good, the "Bad" (1966)', "8"]
    assert loaded.genres.tolist() == [[True, True], [False, True]]


REFUSED = [
    ([""], ": empty; expected text"),
    ([HEADER], ": no row below its header"),
    (["user,item,time", *[f"a,b,{k}" for k in range(9)]], ":1: no column rating in"),
    (["user,userId,item,rating,time", "a,a,b,1,2"], ":1: two columns for user"),
    ([HEADER, *ROWS, "a,b,good,3"], ":14: rating 'good'; expected a finite"),
    ([HEADER, *ROWS, "a,b,nan,3"], ":14: rating 'nan'"),
    ([HEADER, "a,b,inf,3", *ROWS], ":2: rating 'inf'"),
    ([HEADER, "a,b,1e39,3", *ROWS], ":2: rating '1e39'"),
    ([HEADER, *ROWS[:3], "a,b,3,", *ROWS], ":5: time ''"),
    ([HEADER, *ROWS, "a,b,3"], ":14: 3 fields; expected 4"),
    ([HEADER, *ROWS, "a,Good, the,3,4"], ":14: 5 fields; expected 4"),
    ([HEADER, *ROWS, " ,b,3,4"], ":14: an empty user"),
    ([HEADER, *ROWS, 'a,"b,3,4'], ":14: unexpected end of data"),
    ([HEADER, *ROWS[:5]], ": 5 ratings; expected at least 10"),
    (["a,b", *["c,d"] * 12], ": 2 columns without a header; expected user, item"),
]


@pytest.mark.parametrize(("lines", "said"), REFUSED)
def test_refuses_a_csv_with_its_line(tmp_path, lines, said):
    path = write(tmp_path, *lines)
    with pytest.raises(Refusal) as caught:
        ratings.load(path)
    line = str(caught.value)
    assert line.startswith(path) and said in line and "\n" not in line


def test_refuses_what_is_no_text_or_no_file(tmp_path):
    path = write(tmp_path, HEADER, *ROWS, "caf\xe9,b,3,4", encoding="latin-1")
    with pytest.raises(Refusal, match=":14: byte 0xe9 is not UTF-8"):
        ratings.load(path)
    with pytest.raises(Refusal, match="none.csv': No such file"):
        ratings.load(str(tmp_path / "none.csv"))


def test_refuses_a_set_that_is_not_prepared(tmp_path):
    with pytest.raises(Refusal, match="is not prepared: .*prepare .*a file of"):
        ratings.load("movielens/1m-ratings", tmp_path)


def drawn(num_ratings):
    path_free = np.arange(num_ratings)
    names = np.arange(num_ratings).astype(str)
    return ratings.Ratings(
        "drawn",
        path_free.astype(np.int32),
        path_free.astype(np.int32),
        np.ones(num_ratings, np.float32),
        path_free.astype(np.float64),
        names,
        names,
        names,
        np.zeros((num_ratings, 0), bool),
        "",
        "",
    )


@pytest.mark.parametrize("by", ratings.SPLITS)
@pytest.mark.parametrize("num_ratings", [10, 11, 999])
def test_the_parts_hold_every_rating_once(by, num_ratings):
    parts = ratings.split(drawn(num_ratings), by)
    together = np.concatenate(parts)
    assert sorted(together.tolist()) == list(range(num_ratings))
    assert len(parts.test) == len(parts.validation) == round(num_ratings / 10)


def test_by_time_the_latest_are_for_test():
    parts = ratings.split(drawn(100), "time")
    assert parts.test.tolist() == list(range(90, 100))
    assert parts.validation.tolist() == list(range(80, 90))


def test_random_splits_differ_by_their_index_alone():
    loaded = drawn(1_000)
    tests = [set(ratings.split(loaded, "random", k).test.tolist()) for k in (0, 0, 1)]
    assert tests[0] == tests[1]
    assert len(tests[0] & tests[2]) < 30, "a tenth of 100 is expected by chance"


BAD_SPLITS = [
    (("randm", 0), "'random' or 'time'"),
    (("random", -1), "split_index=-1"),
    (("time", 1), "one split by time"),
]


@pytest.mark.parametrize(("arguments", "said"), BAD_SPLITS)
def test_refuses_a_split_that_is_none(arguments, said):
    with pytest.raises(Refusal, match=said):
        ratings.split(drawn(20), *arguments)
