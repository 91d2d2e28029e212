"""Which languages the texts are in, by their scripts and their small words.

A light method with limits: a script is certain, a language is a guess that takes three small words
or more, and texts with fewer are counted as too short to tell. Languages of one script that has no
list here are named by the script; texts that mix languages count under the most common one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from choose.schema.check import Language, Languages
from choose.types import Example

FUNCTION_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "English": (
            "the and is are was were i my you your to of in it that this for on with have has had "
            "not be can do does did we they what when where why how if from at by or but an am "
            "there would could should will please been me our he she his her their which who"
        ),
        "German": (
            "der die das und ist sind war ich mein meine mir mich sie ihr wir nicht ein eine einen "
            "einem einer zu von mit auf für den dem des im in es dass wie wann wo warum wenn kann "
            "habe hat haben aber oder auch noch bei nach aus werden wird bitte was an um so"
        ),
        "French": (
            "le la les et est sont était je mon ma mes vous votre nous ne pas un une des du de à "
            "au aux en dans que qui pour sur avec ce cette il elle se plus mais ou où comment "
            "quand pourquoi si ai avez être fait bonjour par sans"
        ),
        "Spanish": (
            "el la los las y es son era yo mi mis usted su no un una unos de del a al en que quien "
            "para por con se lo me te más pero o donde dónde cómo como cuando cuándo si he ha está "
            "están puedo tengo hay sin sobre este esta qué"
        ),
        "Portuguese": (
            "o os as e é são era eu meu minha meus você seu não um uma uns de do da dos das em no "
            "na nos que quem para por com se me mais mas ou onde como quando porque está estão "
            "posso tenho há sem sobre este esta isso ao à pelo"
        ),
        "Italian": (
            "il lo la i gli le e è sono era io mio mia miei lei suo non un una di del della dei a "
            "al in nel che chi per con su si mi ti più ma o dove come quando perché se ho ha "
            "posso questo questa da dal anche alla"
        ),
        "Dutch": (
            "de het een en is zijn was ik mijn je jij u uw wij niet van met op voor aan te in dat "
            "die dit wat wie waar hoe wanneer waarom als kan heb heeft hebben maar of ook nog bij "
            "naar uit worden wordt er om"
        ),
        "Swedish": (
            "och är var jag min mitt mina du din vi inte en ett av med på för att i det den som "
            "vad vem hur när varför om kan har men eller också till från hos ut blir de så"
        ),
        "Danish or Norwegian": (
            "og er var jeg min mit mine du din vi ikke en et af av med på for at å i det den som "
            "hvad hva hvem hvordan hvornår når hvorfor om kan har men eller også til fra hos ut "
            "blir bliver de så"
        ),
        "Polish": (
            "i w z na do nie się to jest są był ja mój moja moje że jak kiedy gdzie dlaczego czy "
            "co kto ale lub albo dla od po przez przy ze za o mam może proszę już tylko mi"
        ),
        "Czech or Slovak": (
            "a v z na do ne se to je jsou byl já můj moje že jak kdy kde proč co kdo ale nebo pro "
            "od po při ze za o mám může prosím už jen mi si som sa čo ako alebo"
        ),
        "Turkish": (
            "ve bir bu şu o ben benim sen siz biz için ile de da ne nasıl neden nerede zaman mi mı "
            "mu mü değil var yok ama veya çok daha gibi kadar olarak lütfen"
        ),
        "Indonesian or Malay": (
            "dan yang di ke dari ini itu saya kamu anda kami tidak bukan untuk dengan pada apa "
            "siapa bagaimana kapan mengapa kenapa jika bisa boleh ada akan sudah belum atau tetapi "
            "mohon tolong"
        ),
        "Vietnamese": (
            "và là của tôi bạn không một các những cho với trong này đó gì ai như khi nào tại sao "
            "nếu có thể được đã sẽ hoặc nhưng xin vui lòng rồi"
        ),
        "Romanian": (
            "și şi este sunt era eu meu mea dumneavoastră nu un o de la în din pe cu care cine "
            "pentru că ce cum când unde dacă am are au dar sau mai să se vă rog"
        ),
    }.items()
}


UNKNOWN = "too short to tell"


NO_LETTERS = "no letters"


# Small words that a language must have, in all and of all words; code and lists have few.
_CLEAR, _SHARE = 3, 0.15


# Characters of a text that are looked at.
_HEAD = 2_000


_NAMED = {"CJK": "Han", "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "HANGUL": "Korean"}


_KANA = "Japanese"


def languages_of(rows: Sequence[Example]) -> Languages:
    """Guess the language of every text and count."""
    counts = Counter(language_of(e.text) for e in rows)
    unknown = counts.pop(UNKNOWN, 0) + counts.pop(NO_LETTERS, 0)
    order = sorted(counts.items(), key=lambda c: (-c[1], c[0]))
    return Languages(
        found=tuple(Language(name=name, rows=count) for name, count in order), unknown=unknown
    )


def language_of(text: str) -> str:
    """Return a language, a script, `UNKNOWN` or `NO_LETTERS`."""
    head = text[:_HEAD]
    scripts = _scripts(head)
    if not scripts:
        return NO_LETTERS
    if scripts["Han"] and scripts[_KANA]:
        scripts[_KANA] += scripts.pop("Han")
    script, letters = scripts.most_common(1)[0]
    if script != "Latin":
        return script if letters > 1 else UNKNOWN
    words = Counter(re.findall(r"[^\W\d_]+", head.casefold()))
    hits = {
        language: sum(n for word, n in words.items() if word in small)
        for language, small in FUNCTION_WORDS.items()
    }
    (best, most), (_, second) = Counter(hits).most_common(2)
    enough = most >= max(_CLEAR, _SHARE * words.total())
    return best if enough and most > second else UNKNOWN


def _scripts(text: str) -> Counter[str]:
    latin = len(re.findall(r"[A-Za-z]", text))
    counts = Counter(_script(c) for c in text if not c.isascii() and c.isalpha())
    counts["Latin"] += latin
    return Counter({script: n for script, n in counts.items() if n})


@lru_cache(maxsize=4096)
def _script(char: str) -> str:
    first = unicodedata.name(char, "OTHER").split()[0].split("-")[0]
    return _NAMED.get(first, first.capitalize())
