"""Redaction: what is replaced by a word, what is left, and what holds for every text."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration_project.core.redaction import ACCOUNT, CARD, E_MAIL, PHONE, redact, redact_values

E_MAILS = [
    "jane@example.com",
    "jane.o'neill+box@mail.example.co.uk",
    "JANE_99%x@EXAMPLE.ORG",
    "zoë@exämple.de",
    "4155552671@example.com",
]
CARDS = [
    "4111111111111111",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "4111 - 1111 - 1111 - 1111",
    "4111.1111.1111.1111",
    "4111-1111 1111-1111",
    "41111111 11111111",
    "4222222222222",  # 13 digits
    "3782 822463 10005",
    "3782.822463.10005",
    "3056 930902 5904",
    "2223 0031 2200 3222",
    "6304 0000 0000 0000 000",  # 19 digits
]
ACCOUNTS = [
    "DE89 3704 0044 0532 0130 00",
    "DE89370400440532013000",
    "de89 3704 0044 0532 0130 00",
    "GB29 NWBK 6016 1331 9268 19",
    "NO93 8601 1117 947",
    "MT84MALT011000012345MTLCAST001S",
    "be68539007547034",
    "DE89370400440532013001",  # one digit is wrong
    "123456789",
    "12345678901234567890",
    "1234 5678 9012 3456",  # a card with a mistake, or the customer's
    "4155552671",  # a phone, but who knows
]
PHONES = [
    "+44 20 7946 0958",
    "+4915112345678",
    "+49 (0)176 1234567",
    "+1 (415) 555-2671",
    "0049 176 1234567",
    "0176 12345678",
    "(020) 7946 0958",
    "030/901820",
    "06 12 34 56 78",
    "06.12.34.56.78",
    "(415) 555-2671",
    "415-555-2671",
    "415.555.2671",
    "1-800-555-0199",
    "138 0000 0000",
    "612 34 56 78",
    "91 234 56 78",
    "98765 43210",
]
OURS = [
    "2026-11-26",
    "17:05:36",
    "2026-11-26 17:05 UTC",
    "2026-11-26T17:05:36.123456+00:00",
    "2026-11-26 2026-11-27 2026-11-28",
    "2023 2024 2025 2026",
    "20261126",
    "20261126170536",
    "20261126T170536Z-c41cc7",
    "20261126T170536Z-412345",
    "Batch 20261126T170536Z-412345/message/1",
    "0f3c1d2e-1234-5678-9abc-def012345678",
    "12345678-1234-1234-1234-123456789012",
    "abc123def4567890",
    "4111111111111111" * 3 + "4111a11111111111",
    "512:9f2b112233445566",
    "jsons://example.org#1f0c93a2",
    "http://127.0.0.1:3000/runs/0f3c1d2e-1234-5678-9abc-def012345678",
    "192.168.100.200:8080",
    "$1,234.56",
    "1.234.567,89 €",
    "EUR 1234567890",
    "1234567890 bytes",
    "12,345,678 rows",
    "12345678",
    "0.123456789012",
    "4.123456789012345",
    "1764201936.123456",
    "+12.3%",
    "+1,234% against the usual 12.0",
    "1.13.27",
    "2026.11.26.1705",
    "3.11.0rc1",
    "m-00123",
    "m-0012345678901",
    "order-1234567890",
    "part-000001.parquet",
    "audit/000000000001-000000000003.jsonl",
    "24|168",
    "sentiment@3.1.2",
    "user@host",
    "@dg.asset",
    "null share of account 12.3%, usually 1.0% (6.1 standard deviations; limit 6)",
    "account: 250, 2026-11-26",
    "account: 250 2026-11-26",
    "by phone 2026-11-26 12:30",
    "call 12 of 345678",
    "data:image/png;base64,iVBORw0KGgo+4111111111111111/123456789012=",
]


def examples() -> list[tuple[str, str]]:
    named = {E_MAIL: E_MAILS, CARD: CARDS, ACCOUNT: ACCOUNTS, PHONE: PHONES}
    return [(text, word) for word, texts in named.items() for text in texts]


@pytest.mark.parametrize(("text", "word"), examples())
@pytest.mark.parametrize("around", ["{}", "Write to {}, please.", "({})", "'{}'", "| {} |", "\n{}\n", '{{"a": "{}"}}'])
def test_address_or_number_becomes_its_word_wherever_it_stands(text: str, word: str, around: str) -> None:
    assert redact(around.format(text)) == around.format(word)


@pytest.mark.parametrize("text", OURS)
@pytest.mark.parametrize("around", ["{}", "It is {}, they say.", "({})", "'{}'", "| {} |", "\n{}\n", '{{"a": "{}"}}'])
def test_what_the_project_writes_stays(text: str, around: str) -> None:
    assert redact(around.format(text)) == around.format(text)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("", ""),
        ("My account is 12345678.", f"My account is {ACCOUNT}."),
        ("Account number: 1234-5678", f"Account number: {ACCOUNT}"),
        ("sort code 12-34-56", f"sort code {ACCOUNT}"),
        ("phone: 555-2671", f"phone: {PHONE}"),
        ("call me at 5552671", f"call me at {PHONE}"),
        ("please call me 9148445695", f"please call me {PHONE}"),
        ("tel-415-555-2671", f"tel-{PHONE}"),
        ("paid with Visa4111111111111111x", f"paid with Visa{CARD}x"),
        ("room 12 4111 1111 1111 1111 12/27", f"room 12 {CARD} 12/27"),
        ("4111 1111 1111 1111 and 2026-11-26", f"{CARD} and 2026-11-26"),
        ("BE68 5390 0754 7034 from me", f"{ACCOUNT} from me"),
        ("DE89 3704 0044 0532 0130 00 4111 1111 1111 1111", f"{ACCOUNT} {CARD}"),
        ("<jane@example.com>, joe@example.com", f"<{E_MAIL}>, {E_MAIL}"),
        ("mailto:jane@example.com?x=1", f"mailto:{E_MAIL}?x=1"),
        ("4155552671,123456789,jane@example.com", f"{ACCOUNT},{ACCOUNT},{E_MAIL}"),
        ("phone number:\n2026 boxes", "phone number:\n2026 boxes"),
        ("Jane, 12 High Street", "Jane, 12 High Street"),
    ],
)
def test_words_around_it_stay(text: str, redacted: str) -> None:
    assert redact(text) == redacted


def test_ids_that_are_named_stay_where_they_stand_alone() -> None:
    ids = ["570306133677760513", "4111111111111111", "a1$b=c@mail.example.com", "4111"]
    text = "Of 570306133677760513, <a1$b=c@mail.example.com> and 4111111111111111: 4111 1111 1111 1111, 123456789"
    assert redact(text, ids) == text.replace("4111 1111 1111 1111", CARD).replace("123456789", ACCOUNT)
    assert redact("x4111111111111111", ids) == f"x{CARD}"


def test_values_are_redacted_at_every_depth_and_their_names_stay() -> None:
    value = {"jane@example.com": [1, None, True, 4111111111111111, {"text": "a@example.com", "id": "123456789"}]}
    redacted = {"jane@example.com": [1, None, True, 4111111111111111, {"text": E_MAIL, "id": "123456789"}]}
    assert redact_values(value, ["123456789"]) == redacted


# What holds for every text

PIECES = [
    *E_MAILS,
    *CARDS,
    *ACCOUNTS,
    *PHONES,
    *OURS,
    E_MAIL,
    PHONE,
    CARD,
    ACCOUNT,
    "phone",
    "account ",
    "a",
    "DE",
    "12",
]
MIXED = st.lists(st.sampled_from([*PIECES, " ", "-", ".", ",", "@", "+", "(", "\n"]) | st.text("09a@.-+ ", max_size=6))


def card_number(digits: str) -> str:
    """The digits with the check digit behind them."""
    doubled = [int(digit) * (2 - number % 2) for number, digit in enumerate(reversed(digits))]
    return f"{digits}{-sum(value // 10 + value % 10 for value in doubled) % 10}"


card_numbers = st.from_regex(r"(?:[3-6]\d|2[2-7])\d{10,16}", fullmatch=True, alphabet=string.digits).map(card_number)


@given(MIXED.map("".join) | st.text())
def test_redacted_text_stays_as_it_is(text: str) -> None:
    redacted = redact(text)
    assert redact(redacted) == redacted


@given(
    card_numbers,
    st.lists(st.sampled_from(["", "", " ", "-", "\u00a0", " - "]), min_size=18, max_size=18),
    st.sampled_from(["", "My card ", "12 ", "Visa", "(", "é", "On 2026-11-26: "]),
    st.sampled_from(["", " 12/27", " 3", ".", ")", " is mine", "\n"]),
)
def test_no_card_number_survives_however_it_is_grouped(card: str, gaps: list[str], before: str, behind: str) -> None:
    written = "".join(f"{digit}{gap}" for digit, gap in zip(card, [*gaps, *gaps], strict=False)).rstrip("- \u00a0")
    assert card not in re.sub(r"\D", "", redact(f"{before}{written}{behind}"))


@given(st.text(st.characters(exclude_categories=["Nd"], exclude_characters="@")))
def test_text_without_address_and_number_stays(text: str) -> None:
    assert redact(text) == text


@given(st.integers(0, 10**12 - 1), st.datetimes(), st.floats(0, 1e6), st.uuids())
def test_counts_times_shares_and_runs_stay(number: int, moment: object, share: float, run: object) -> None:
    text = f"{number:,} rows until {moment} in run {run}: {share:.1%}, {share:.4f}"
    assert redact(text) == text


GLUED = ["0176 12345678)6", "91 234 56 78-3056 930902 59043", "+44 20 7946 09581", ".0176 12345678(415) 555-2671"]


@pytest.mark.parametrize("piece", GLUED)
def test_numbers_that_are_run_together_go_all_of_them(piece: str) -> None:
    redacted = redact(f"On 2026-11-26.\n{piece * 50}")
    assert redacted.startswith("On 2026-11-26.\n")
    assert not re.search(r"\d{6}", redacted.partition("\n")[2])
    assert redact(redacted) == redacted


@pytest.mark.parametrize(
    "piece",
    [
        *GLUED,
        "1",
        "4 ",
        "4111 ",
        "1.",
        "1,",
        "a@",
        "a.",
        "+1-",
        "((",
        "phone ",
        "account 1",
        "ab12",
        "a'",
        "0",
        "DE89 3704 ",
    ],
)
def test_hundred_thousand_characters_are_redacted(piece: str) -> None:
    """Patterns that looked back again and again would take hours here."""
    text = (piece * 100_000)[:100_000]
    assert redact(redact(text)) == redact(text)
