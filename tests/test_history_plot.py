"""The picture of a measure's history: drawn where it stands, whatever the values."""

import base64
import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.model_output.history_plot import MOST_BARS, MOST_CHARACTERS, MOST_VALUES, bars, plot

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.floats(min_value=-1e12, max_value=1e12, allow_subnormal=False)


def drawn(markdown: str) -> ElementTree.Element:
    """The picture in the Markdown."""
    found = re.fullmatch(r"!\[history\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert found is not None, markdown
    return ElementTree.fromstring(base64.b64decode(found[1]))


def line(picture: ElementTree.Element) -> list[tuple[int, int]]:
    """The points of the line, from its relative steps."""
    (path,) = [one.get("d", "") for one in picture.iter(f"{SVG}path") if one.get("fill") == "none"]
    begin, _, steps = path.removeprefix("M").partition("l")
    x, y = map(int, begin.split())
    numbers = [int(number) for number in re.findall(r"-?\d+", steps)]
    points = [(x, y)]
    for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
        points.append((points[-1][0] + dx, points[-1][1] + dy))
    return points


@given(values=st.lists(NUMBERS, min_size=1, max_size=90), limits=st.lists(NUMBERS, max_size=2))
def test_every_picture_is_short_enough_to_be_drawn_where_it_stands(values: list[float], limits: list[float]) -> None:
    markdown = plot(values, limits, "characters")
    assert len(markdown) <= MOST_CHARACTERS
    picture = drawn(markdown)
    points = line(picture)
    assert len(points) == min(len(values), MOST_VALUES)
    width, height = float(picture.get("width", 0)), float(picture.get("height", 0))
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
    (dot,) = picture.iter(f"{SVG}circle")
    assert (int(dot.get("cx", 0)), int(dot.get("cy", 0))) == points[-1]


@given(values=st.lists(NUMBERS, min_size=1, max_size=90))
def test_bars_stand_in_the_order_of_their_values(values: list[float]) -> None:
    last = values[-MOST_BARS:]
    found = bars(values)
    assert len(found) == len(last)
    by_value = [bar for _, bar in sorted(zip(last, found, strict=True))]
    assert by_value == sorted(by_value)
    assert by_value[0] == "▁" and by_value[-1] == ("█" if max(last) > min(last) else "▁")


def test_higher_values_stand_higher_and_the_words_say_from_where_to_where() -> None:
    picture = drawn(plot([1.0, 3.0, 2.0], [4.0], "hours"))
    heights = [y for _, y in line(picture)]
    assert heights[0] > heights[2] > heights[1]
    (limit,) = [one.get("d", "") for one in picture.iter(f"{SVG}path") if one.get("stroke-dasharray")]
    assert int(limit.removeprefix("M0 ").partition("h")[0]) < heights[1]
    assert picture.find(f"{SVG}text").text == "3 batches, 1 to 4 hours; dashed: limit"  # type: ignore[union-attr]


def test_batch_without_history_is_a_dot() -> None:
    picture = drawn(plot([0.2]))
    assert len(line(picture)) == 1
    assert picture.find(f"{SVG}text").text == "1 batch, 0.2 to 0.2"  # type: ignore[union-attr]
