"""What one group of messages is about: the words and phrases that are typical of it against the other groups."""

import heapq
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

CLAUSE_END = re.compile(r"https?://\S+|[@＠]\w+|[^\w\s'’-]+|\n|\s-+\s")  # an address says nothing of the subject
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
# In scikit-learn's list of stop words, but what customers write about (flaw known since Nothman, Qin & Yurchak, 2018).
MEANINGFUL = frozenset(
    {"amount", "bill", "call", "computer", "detail", "empty", "fire", "interest", "serious", "system"}
)
# Not in that list, but said whatever a message is about: greetings, talk, time, and contractions without apostrophe.
SAYS_NOTHING = frozenset(
    WORD.findall("""
    hi hello hiya hey dear sir madam regards cheers thanks thank please pls sorry um er uh oh yes yeah ok okay lol just
    really quite actually maybe sure bit lot thing things way number numbers good nice want wanted like know think mean
    say says saying said tell telling told ask asked come comes coming came goes going gone gets getting got did does
    doing let today yesterday tomorrow tonight day days week weeks month months year years hour hours minute minutes
    morning afternoon evening time times monday tuesday wednesday thursday friday saturday sunday january february march
    april june july august september october november december dont doesnt didnt isnt wasnt arent wont wouldnt couldnt
    shouldnt havent hasnt hadnt im ive id ill youre youve theyre its thats theres whats wheres
    """)
)


def themes(texts_by_class: Mapping[str, Sequence[str]], top: int = 5) -> dict[str, list[str]]:
    """Name what is typical of each class: up to `top` words and two-word phrases, the most typical first.

    A term t of class c scores `tf(t, c) * ln(1 + A / f(t))`: its count in the class, the mean count of all terms in a
    class, its count in all classes (c-TF-IDF: Grootendorst, BERTopic, 2022). A message counts a term once, however
    often it repeats it. If only one class has text, its messages are the documents of a plain TF-IDF,
    `tf(t) * (ln((1 + n) / (1 + df(t))) + 1)`, with every repetition. Among equal scores phrases come first, then the
    alphabet decides.

    Stop words, numbers, single letters, web addresses and names after an @ are neither terms nor part of a phrase. A
    word is left out when a phrase that holds it ranks better, and a term said once where others are said more often. A
    class without any term gives `[]`.
    """
    ignored = stop_words()
    counts = {
        label: Counter(term for text in texts for term in set(_terms(text, ignored)))
        for label, texts in texts_by_class.items()
    }
    filled = [label for label in counts if counts[label]]
    if len(filled) == 1:
        texts, found_in = texts_by_class[filled[0]], counts[filled[0]]
        counts[filled[0]] = Counter(term for text in texts for term in _terms(text, ignored))
        weights = {term: math.log((1 + len(texts)) / (1 + number)) + 1 for term, number in found_in.items()}
    else:
        total = Counter[str]()
        for count in counts.values():
            total.update(count)
        mean = total.total() / max(1, len(filled))
        weights = {term: math.log(1 + mean / number) for term, number in total.items()}
    return {
        label: _best({term: number * weights[term] for term, number in _repeated(count).items()}, top)
        for label, count in counts.items()
    }


def stop_words() -> frozenset[str]:
    """English words that say nothing of a message's subject: scikit-learn's and `SAYS_NOTHING`, less `MEANINGFUL`."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return (ENGLISH_STOP_WORDS | SAYS_NOTHING) - MEANINGFUL


def _terms(text: str, ignored: frozenset[str]) -> Iterator[str]:
    """The words of a text, and the pairs of words that stand side by side in it."""
    for clause in CLAUSE_END.split(text.lower()):
        before = ""
        for written in WORD.findall(clause):
            word, _, ending = written.replace("’", "'").partition("'")  # customer's, we've, don't
            if ending == "t" or len(word) < 2 or word in ignored or not (word.isalpha() or any(map(str.isalpha, word))):
                before = ""
                continue
            yield word
            if before:
                yield f"{before} {word}"
            before = word


def _repeated(count: Mapping[str, int]) -> Mapping[str, int]:
    return {term: number for term, number in count.items() if number > 1} or count


def _best(scores: Mapping[str, float], top: int) -> list[str]:
    # one phrase takes at most its two words out, so that three times as many always suffice
    ranked = heapq.nsmallest(3 * top, scores, key=lambda term: (-scores[term], " " not in term, term))
    best: list[str] = []
    covered: set[str] = set()
    for term in ranked:
        if term not in covered:
            best.append(term)
            covered.update(term.split(" "))
    return best[:top]
