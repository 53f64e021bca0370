"""Redaction: e-mail addresses and the numbers of phones, cards and accounts become a word before a text is told.

What people write is kept whole in the warehouse. A log, a notice, a picture and Dagster's metadata are read by more
people and kept elsewhere, so they get `redact(text)`.

| word | what it stands for |
|---|---|
| `[e-mail]` | an address with a top-level domain |
| `[card]` | 13 to 19 digits in any groups, that begin as cards do and whose check digit is right (Luhn, ISO/IEC 7812-1) |
| `[account]` | an IBAN whose check digits are right (ISO 13616, remainder 1 by 97); 9 digits or more in one run; four groups of four; 6 digits or more behind a word such as "account" |
| `[phone]` | + or 00 and 8 to 15 digits (E.164); 0 and 8 to 11 more; digits in the groups of a phone; 6 digits or more behind a word such as "phone" |

A run of 9 digits is nobody's count: this project groups its own by thousands, while 8 digits may be a date. A number
with a unit or a currency is an amount, however long, and one that begins with 000 is padded.

Left as they are: dates and times, batches, run ids, digests, amounts, decimals, versions, and ids such as m-00123456789.
Names, postal addresses and numbers written in words are not found.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

E_MAIL, PHONE, CARD, ACCOUNT = "[e-mail]", "[phone]", "[card]", "[account]"

MOST_ROUNDS = 4
"""A line takes one where nothing is found, and two where something is."""

_MONTH, _OF_MONTH = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[T _]?(?:[01]\d|2[0-3]):?[0-5]\d(?::?[0-5]\d(?:[.,]?(?:\d{6}|\d{3}))?)?)?"
_MOMENT = rf"(?<!\d)(?:19|20)\d\d(?:-{_MONTH}-{_OF_MONTH}|{_MONTH}{_OF_MONTH}){_TIME}(?!\d)"
_UUID = r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])"
_DIGEST = (
    r"(?<![0-9A-Za-z])(?=\d*[a-f])(?![a-f]{2}\d+(?![0-9a-z]))"  # two letters and digits may be an IBAN
    r"(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32}|[0-9a-f]{16})(?![0-9A-Za-z])"
)
_PICTURE = r"data:[\w/+.;=-]{1,80};base64,[\w+/=]++"
_OURS = rf"{_PICTURE}|{_UUID}|{_DIGEST}|{_MOMENT}"
"""What this project writes itself, and people hardly."""

_UNIT = r"(?:[$€£¥%‰]|(?:EUR|USD|GBP|CHF|JPY|percent|rows?|lines?|messages?|characters?|tokens?|bytes?|[kKMGT]i?B|ms|seconds?)\b)"
_AMOUNT = (
    r"(?:[$€£¥]|\b(?:EUR|USD|GBP|CHF|JPY))[ \u00a0]?\d++(?:[.,]\d++)*+"
    rf"|(?<![\w.,+-])\d++(?:[.,]\d++)*+[ \u00a0]?{_UNIT}"
)

_LOCAL = r"[\w.%+-]"
_E_MAIL = re.compile(rf"(?<!{_LOCAL}){_LOCAL}++(?:'{_LOCAL}++)*+@(?:[\w-]++\.)+[^\W\d_]{{2,}}")

_BLANK = " \u00a0\u202f"
_IBAN = re.compile(
    rf"{_OURS}|(?P<found>(?<![0-9A-Za-z\]])[A-Za-z]{{2}}\d\d"
    rf"(?:(?:[{_BLANK}-][0-9A-Za-z]{{4}}){{2,7}}(?:[{_BLANK}-][0-9A-Za-z]{{1,3}})?|[0-9A-Za-z]{{11,30}})(?![0-9A-Za-z\[]))"
)

_IN_CARD = rf"[{_BLANK}–-]{{1,3}}"
_CARD = re.compile(
    rf"{_OURS}|(?P<dotted>(?<![\d.])\d{{4}}\.(?:\d{{4}}\.\d{{4}}\.\d{{4}}(?:\.\d{{3}})?|\d{{6}}\.\d{{4,5}})(?!\.?\d))"
    rf"|(?P<found>(?<!\d)\d++(?:{_IN_CARD}\d++)*+)"
)
_CARD_BEGINS = re.compile(r"[3-6]|2[2-7]")
_NO_CARD_BEHIND = re.compile(r"\d\.$|\+$")  # decimals, and the number of a phone
_DOUBLED = str.maketrans("0123456789", "0246813579")

_START = r"(?<![\w\]])(?<![^\W\d]-)(?<!\d\.)"
_END = r"(?![\w\[])(?![.:]\d)"
"""A word that was put in counts as letters, so that a second redaction finds what the first did."""

_OPEN = r"(?:\((?=\d{1,6}\)))?"
_IN_PHONE = rf"[{_BLANK}./)-]{{0,2}}{_OPEN}"
_PHONE = re.compile(
    rf"(?P<word>\b(?:(?:tele)?phone|tel|mobile|cell|fax|whatsapp|(?:call|ring|text)(?: (?:me|us|back|at|on))+)"
    rf"(?: number| no| nr)?(?: is)?[^\w\n+(]{{0,4}})(?!{_OURS}|{_AMOUNT})(?:\+|00)?{_OPEN}\d(?:{_IN_PHONE}\d){{5,14}}{_END}"
    rf"|{_OURS}|{_AMOUNT}"
    r"|(?P<found>"
    rf"(?:\+|{_START}00){_OPEN}[1-9](?:{_IN_PHONE}\d){{7,14}}{_END}"
    rf"|(?:{_START}|(?=\()){_OPEN}0[1-9](?:{_IN_PHONE}\d){{7,10}}{_END}"
    rf"|(?:{_START}|(?=\())(?:1[{_BLANK}.-])?(?:\([2-9]\d\d\)|[2-9]\d\d)[{_BLANK}.-]{{1,2}}\d{{3}}[{_BLANK}.-]\d{{4}}{_END}"  # North America
    rf"|{_START}(?:\d{{3}}(?P<a>[ -])\d{{4}}(?P=a)\d{{4}}|\d{{2,3}}(?P<b>[ -])\d{{3}}(?P=b)\d\d(?P=b)\d\d"
    rf"|\d{{3}}(?P<c>[ -])\d\d(?P=c)\d\d(?P=c)\d\d|[6-9]\d{{4}}[ -]\d{{5}}){_END}"  # China, Spain, India
    r")",
    re.IGNORECASE,
)

_ACCOUNT = re.compile(
    rf"(?P<word>\b(?:account|acct|konto|iban|sort code|customer|member(?:ship)?|policy)(?: (?:number|no|nr|id))?(?: is)?"
    rf"[^\w\n]{{0,4}})(?!{_OURS}|{_AMOUNT})\d(?:[ -]?(?!{_MOMENT})\d){{5,19}}{_END}"
    rf"|{_OURS}|{_AMOUNT}"
    r"|(?P<found>"
    rf"{_START}(?!000)\d{{9,}}+{_END}(?!%|-[^\W\d])"
    rf"|{_START}(?!(?:(?:19|20)\d\d[ -]){{3}})\d{{4}}(?P<a>[ -])\d{{4}}(?P=a)\d{{4}}(?P=a)\d{{4}}{_END}"  # no years
    rf"|(?<![\w\]])[A-Z]{{2}}\d{{13,32}}{_END}"  # an IBAN with a mistake
    r")",
    re.IGNORECASE,
)

_CHAIN = re.compile(rf"\d++(?:[{_BLANK}./()+–-]*\d++)*+")


def redact(text: str, keep: Iterable[str] = ()) -> str:
    """The text with a word in the place of every address and number; linear in its length.

    `keep` are ids that stay where they stand alone, also those that look like a number or an address: people look
    messages up by them, and a sender may have made them of twenty digits. What is redacted stays so when it is redacted
    again.

    >>> redact("Call 0176 1234567 about 4111 1111 1111 1111, jane@example.com")
    'Call [phone] about [card], [e-mail]'
    """
    redacted = _redact(text)
    if redacted == text:
        return text
    kept = sorted({word for word in keep if word in text and _redact(word) != word}, key=len, reverse=True)
    if not kept:
        return redacted
    parts = re.split(rf"(?<!\w)({'|'.join(map(re.escape, kept))})(?!\w)", text)
    return "".join(part if number % 2 else _redact(part) for number, part in enumerate(parts))


def redact_values(value: Any, keep: Iterable[str] = ()) -> Any:
    """A JSON value whose texts are redacted, at every depth; the names in an object stay."""
    if isinstance(value, str):
        return redact(value, keep)
    if isinstance(value, Mapping):
        return {name: redact_values(inner, keep) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [redact_values(inner, keep) for inner in value]
    return value


def _redact(text: str) -> str:
    """Line by line: no number goes over the end of one."""
    return "\n".join(map(_redact_line, text.split("\n")))


def _redact_line(line: str) -> str:
    """Until nothing is found: a word that was put in may lay bare what stood beside it. Numbers that are run together so
    that it takes more rounds than `MOST_ROUNDS`, as nobody writes them, go all of them.
    """
    for _ in range(MOST_ROUNDS):
        once = _round(line)
        if once == line:
            return line
        line = once
    return _CHAIN.sub(lambda chain: ACCOUNT if sum(map(str.isdigit, chain[0])) >= 6 else chain[0], line)


def _round(text: str) -> str:
    if "@" in text:
        text = _E_MAIL.sub(E_MAIL, text)
    if not any(map(str.isdigit, text)):
        return text
    text = _IBAN.sub(_without_iban, text)
    text = _CARD.sub(_without_cards, text)
    text = _PHONE.sub(_putting(PHONE), text)
    return _ACCOUNT.sub(_putting(ACCOUNT), text)


def _putting(word: str) -> Callable[[re.Match[str]], str]:
    """Puts the word in the place of what is found, behind the word that it was found by; all else stays."""

    def put(match: re.Match[str]) -> str:
        if match["word"] is not None:
            return match["word"] + word
        return match[0] if match["found"] is None else word

    return put


def _without_iban(match: re.Match[str]) -> str:
    """What follows an IBAN may look like another group of it: the longest beginning whose check digits are right."""
    found = match["found"]
    while found:
        if _is_iban(re.sub(r"[^0-9A-Za-z]", "", found)):
            return ACCOUNT + match[0][len(found) :]
        found = found[: max(map(found.rfind, f"{_BLANK}-"), default=-1)] if re.search(r"\W", found) else ""
    return match[0]


def _is_iban(text: str) -> bool:
    if not 15 <= len(text) <= 34 or not (text.isupper() or text.islower()) or sum(map(str.isdigit, text)) < 10:
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def _without_cards(match: re.Match[str]) -> str:
    """Other numbers may stand before and behind a card's, so each row of whole groups is tried, the longest first."""
    if match["dotted"] is not None:
        return CARD if _is_card(match["dotted"].replace(".", "")) else match[0]
    chain = match["found"]
    if chain is None or len(chain) < 13:
        return match[0]
    groups = [(group.start(), group.end()) for group in re.finditer(r"\d+", chain)]
    text, start = match.string, match.start()
    shown: list[str] = []
    place, number = 0, 0
    while number < len(groups):
        begin, _ = groups[number]
        end = 0
        if not _NO_CARD_BEHIND.search(text[max(0, start + begin - 2) : start + begin]):
            end = _card_end(chain, groups, number)
        if end:
            shown += [chain[place:begin], CARD]
            place = groups[end - 1][1]
        number = end or number + 1
    return "".join([*shown, chain[place:]])


def _card_end(chain: str, groups: list[tuple[int, int]], first: int) -> int:
    """Behind which group the longest card's number ends that begins with this one; 0: none does."""
    if chain[groups[first][0]] not in "23456":
        return 0
    digits, found = "", 0
    for number in range(first, min(first + 19, len(groups))):
        begin, end = groups[number]
        digits += chain[begin:end]
        if len(digits) > 19:
            break
        if _is_card(digits):
            found = number + 1
    return found


def _is_card(digits: str) -> bool:
    if not 13 <= len(digits) <= 19 or not _CARD_BEGINS.match(digits):
        return False
    return (sum(map(int, digits[::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))) % 10 == 0
