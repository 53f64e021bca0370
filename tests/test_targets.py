"""Targets of notices: what is read as one, and names that tell no secret."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.core.targets import read_targets, target_name

SECRET = b"key of a home"

NAMES = {
    "json://example.org": "json://example.org#",
    "jsons://me:hunter2@example.org:8443/hunter2?+X-Token=hunter2": "jsons://example.org:8443#",
    "json://127.0.0.1:8080/hunter2": "json://127.0.0.1:8080#",
    "json://[::1]:8080/hunter2": "json://[::1]:8080#",
    "mailto://me:hunter2@example.org": "mailto://example.org#",
    "slack://T1JJ3T3L2/A1BRTD4JD/hunter2hunter2hunter2hun": "slack#",
    "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/hunter2hunter2hunter2hun": "slack#",
    "discord://hunter2/JHMHI8qBe7bk2ZwO5U711o3dV_js": "discord#",
    "tgram://123456789:hunter2hunter2/12315544/": "tgram#",
    "ntfy://hunter2": "ntfy#",
}
"""URL → how its name begins; where a token stands in the place of the host, none of it is in the name."""


@pytest.mark.parametrize("url", NAMES)
def test_a_name_says_where_to_and_no_secret(url: str) -> None:
    name = target_name(url, SECRET)
    assert name.startswith(NAMES[url])
    assert "hunter2" not in name
    assert read_targets(url) == (url,)


def test_names_differ_with_the_url_and_with_the_home() -> None:
    found = {target_name(url, key) for url in ("json://a.example/1", "json://a.example/2") for key in (b"1", b"2")}
    assert len(found) == 4


@pytest.mark.parametrize(
    "text",
    [
        "json://a.example,mailto://me:x@b.example?to=c@d.example,e@f.example",
        " json://a.example  mailto://me:x@b.example?to=c@d.example,e@f.example ",
        "json://a.example,\n,mailto://me:x@b.example?to=c@d.example,e@f.example, json://a.example",
    ],
)
def test_commas_and_blanks_separate_and_a_comma_within_an_url_does_not(text: str) -> None:
    assert read_targets(text) == ("json://a.example", "mailto://me:x@b.example?to=c@d.example,e@f.example")


@pytest.mark.parametrize(
    "url", ["hunter2", "jsno://me:hunter2@a.example", "json://", "http://a.example/hunter2", "://"]
)
def test_what_apprise_cannot_read_is_refused_by_its_place_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="URL 2 of 2 is none") as refusal:
        read_targets(f"json://a.example {url}")
    assert "hunter2" not in str(refusal.value)


@given(st.lists(st.sampled_from(sorted(NAMES)), min_size=1, unique=True), st.sampled_from([",", " ", ", ", "\n"]))
def test_any_urls_are_read_whatever_separates_them(urls: list[str], separator: str) -> None:
    assert read_targets(separator.join(urls)) == tuple(urls)


def test_without_a_target_apprise_is_not_imported() -> None:
    code = (
        "import sys; from orchestration_project.dispatch import delivery; import orchestration_project.cli.main; "
        "from orchestration_project.core.settings import Settings; Settings.from_environment({}); "
        "print('apprise' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "False"
