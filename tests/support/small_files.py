"""Small files as teams bring them, all labelled correctly: what `check` must not cry wolf about.

Each is written as a CSV file; `FLAGS` holds the columns to name on the command line.
"""

import csv
import random
from collections.abc import Sequence
from pathlib import Path

FLAGS = {
    "stars": ("--text-column", "review", "--label-column", "stars"),
    "rare": ("--text-column", "message", "--label-column", "fraud"),
    "japanese": ("--text-column", "text", "--label-column", "label"),
    "german": ("--text-column", "Nachricht", "--label-column", "Kategorie"),
    "twelve": ("--text-column", "text", "--label-column", "label"),
    "dirty": ("--text-column", "utterance", "--label-column", "intent"),
}


def write(name: str, folder: Path) -> Path:
    """Write one of the files and return its path."""
    rows = {
        "stars": stars,
        "rare": rare,
        "japanese": japanese,
        "german": german,
        "twelve": twelve,
        "dirty": dirty,
    }[name]()
    flags = FLAGS[name]
    path = folder / f"{name}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((flags[1], flags[3]))
        writer.writerows(rows)
    return path


def stars() -> list[tuple[str, str]]:
    """150 reviews, 30 for each of 1 to 5 stars: every verdict comes in two wordings of one review.

    No word tells the stars of another review, so a text baseline is at chance.
    """
    tone = (
        "broken|useless|dreadful|rusty|smelly|scary|leaking|cracked|awful|cheap|horrid|dead|"
        "faulty|filthy|rotten",
        "flimsy|noisy|slow|clumsy|dented|dull|sticky|weak|bulky|wobbly|thin|short|stiff|vague|faded",
        "average|ordinary|plain|decent|passable|usual|fair|middling|modest|typical|standard|"
        "moderate|common|neutral|acceptable",
        "solid|handy|quiet|sturdy|tidy|quick|pleasant|neat|smooth|clever|steady|warm|nice|useful|"
        "light",
        "superb|perfect|brilliant|gorgeous|flawless|amazing|splendid|fabulous|stunning|ideal|"
        "magnificent|wonderful|excellent|marvellous|unbeatable",
    )
    things = ("kettle", "toaster", "blender", "mixer", "grill", "juicer", "scale", "heater")
    rows = []
    for star, joined in enumerate(tone, 1):
        for i, word in enumerate(joined.split("|")):
            thing = things[(5 * i + star) % len(things)]
            rows.append((f"I have used this {thing} for three weeks: {word}.", str(star)))
            rows.append((f"I have used this {thing} for three weeks, and: {word}!", str(star)))
    random.Random("stars").shuffle(rows)
    return rows


def rare() -> list[tuple[str, str]]:
    """400 messages of bank customers, 12 of them about fraud, in words that others use too."""
    made = random.Random("rare")
    opening = ("hello", "good morning", "hi there", "dear team", "please", "quick question")
    object_ = ("my card", "the transfer", "my account", "the app", "my statement", "the payment")
    usual = ("does not load", "shows the wrong date", "takes too long", "needs a new address")
    usual += ("was declined in a shop", "should be cancelled", "cannot be found", "needs a limit")
    end = ("thanks", "what can I do", "please call me back", "it is urgent", "any idea", "regards")
    rows = [
        (f"{made.choice(opening)}, {made.choice(object_)} {made.choice(usual)}, {made.choice(end)}")
        + f" {i}"
        for i in range(388)
    ]
    fraud = (
        "hello, the transfer on my statement was not made by me, please call me back",
        "my card shows a payment in a shop that I never went to, what can I do",
        "good morning, a stranger asked for the code of the app and now money is gone",
        "dear team, the payment of 900 was sent to a name that I do not know",
        "hi there, my account was opened from another country last night",
        "please stop my card, my bag was stolen and it is used in a shop right now",
        "quick question, the app says that I changed my address but I did not",
        "hello, a caller who said he was from the bank made me confirm a transfer",
        "my statement shows two withdrawals while the card was in my drawer",
        "good morning, I clicked a link in a message and entered my password, it is urgent",
        "dear team, the seller took the payment and the shop does not exist any more",
        "hi there, my mother sent money to somebody who pretended to be me",
    )
    labelled = [(text, "0") for text in rows] + [(text, "1") for text in fraud]
    made.shuffle(labelled)
    return labelled


def japanese() -> list[tuple[str, str]]:
    """48 requests to a help desk, 12 for each of four teams."""
    texts = {
        "請求": "請求書の金額が先月と違います|支払い方法を変更したいです|"
        "領収書を再発行してください|"
        "二重に引き落とされました|返金はいつ届きますか|税込みの合計を教えてください|"
        "クレジットカードが使えません|口座番号を登録し直したい|割引が適用されていません|"
        "分割払いはできますか|見積もりの有効期限はいつですか|年間契約の料金を知りたい",
        "配送": "荷物がまだ届きません|届け先を会社に変えたいです|箱がつぶれていました|"
        "時間指定はできますか|追跡番号が見つかりません|不在票が入っていました|"
        "注文と違う品が来ました|海外にも送れますか|送料はいくらかかりますか|"
        "今日中に受け取れますか|梱包を簡単にしてください|置き配をお願いします",
        "技術": "画面が真っ暗になります|ログインできなくなりました|更新すると落ちます|"
        "音が出ません|文字が小さくて読めません|同期が途中で止まります|"
        "印刷すると余白がずれます|通知が来なくなりました|動作がとても遅いです|"
        "写真を取り込めません|パスワードを忘れました|機種変更の手順を教えて",
        "採用": "募集はまだ続いていますか|面接の日程を変えられますか|履歴書の送り先はどこですか|"
        "未経験でも応募できますか|在宅勤務はありますか|給与の目安を知りたい|"
        "インターンを希望しています|結果の連絡はいつ頃ですか|勤務地は選べますか|"
        "副業は認められますか|試用期間は何か月ですか|会社説明会に参加したい",
    }
    rows = [(text, label) for label, joined in texts.items() for text in joined.split("|")]
    random.Random("japanese").shuffle(rows)
    return rows


def german() -> list[tuple[str, str]]:
    """60 messages to a housing association, 15 for each of four departments."""
    texts = {
        "Heizung": "Im Bad wird es nicht mehr warm|Der Thermostat zeigt nichts an|Es klopft in den "
        "Rohren|Nachts ist alles kalt|Die Anlage verliert Druck|Warmwasser fehlt seit gestern|Der "
        "Keller riecht nach Öl|Im Wohnzimmer bleibt der Körper kalt|Wann kommt der Monteur|Das "
        "Ventil klemmt|Es tropft unter dem Kessel|Die Uhr der Anlage geht falsch|Bitte entlüften|"
        "Seit dem Umbau heizt nichts mehr|Die Wärme reicht nicht bis oben",
        "Miete": "Warum ist die Abbuchung höher|Ich brauche eine Bescheinigung|Kann ich später "
        "zahlen|Die Kaution wurde nicht verzinst|Wem gehört das neue Konto|Bitte um Ratenzahlung|"
        "Die Abrechnung ist falsch|Wann endet mein Vertrag|Ich ziehe im Mai aus|Darf ich "
        "untervermieten|Der Brief über die Erhöhung kam nicht an|Wie kündige ich den Stellplatz|"
        "Mein Name hat sich geändert|Das Amt will eine Kopie|Es wurde doppelt eingezogen",
        "Lärm": "Über mir wird nachts getanzt|Der Hund bellt jeden Morgen|Bohren am Sonntag|Die "
        "Kneipe unten ist zu laut|Kinder rennen im Flur|Jemand übt bis Mitternacht Trompete|Die "
        "Waschmaschine läuft um drei|Türen knallen ständig|Auf dem Hof wird gefeiert|Die Baustelle "
        "beginnt um fünf|Der Aufzug brummt durch die Wand|Der Fernseher nebenan dröhnt|Streit im "
        "Treppenhaus|Musik bei offenem Fenster|Motorräder im Innenhof",
        "Müll": "Die gelbe Tonne war voll|Sperrgut steht vor der Tür|Wann wird abgeholt|Ratten im "
        "Hof|Glas liegt auf dem Weg|Es fehlt ein Behälter für Papier|Fremde werfen bei uns ein|Der "
        "Deckel ist zerbrochen|Es stinkt im Verschlag|Wohin mit alter Farbe|Der Schlüssel passt "
        "nicht|Die Tonnen blockieren den Eingang|Windeln in der Biotonne|Keiner stellt sie raus|"
        "Laub liegt seit Wochen",
    }
    rows = [(text, label) for label, joined in texts.items() for text in joined.split("|")]
    random.Random("german").shuffle(rows)
    return rows


def twelve() -> list[tuple[str, str]]:
    """Twelve rows, four for each of three labels."""
    texts = {
        "order": "two pizzas please|I would like a salad|a large tea to go|same as last week",
        "cancel": "forget the soup|I changed my mind|please stop my delivery|no dinner after all",
        "complain": "it came cold|there was a hair in it|the rider was rude|wrong sauce again",
    }
    return [(text, label) for label, joined in texts.items() for text in joined.split("|")]


def dirty() -> list[tuple[str, str]]:
    """60 utterances of four intents, one of which was once spelled `wether`."""
    verbs: dict[str, Sequence[str]] = {
        "weather": ("will it rain", "how warm is it", "is there snow", "do I need a coat"),
        "calls": ("ring", "phone", "dial the number of", "call back"),
        "music": ("play a song by", "turn up", "skip to", "shuffle the album of"),
        "alarms": ("wake me up", "set a timer", "snooze", "remind me"),
    }
    rest = {
        "weather": ("in Oslo", "tomorrow", "at the lake", "on Sunday"),
        "calls": ("mum", "the office", "Dr Weber", "a taxi"),
        "music": ("Nina", "the radio", "track nine", "that band"),
        "alarms": ("at six", "in ten minutes", "before lunch", "on Monday"),
    }
    rows = [
        (f"{verb} {end}", intent)
        for intent in verbs
        for verb in verbs[intent]
        for end in rest[intent]
    ]
    rows = [row for i, row in enumerate(rows) if i % 16 != 15]
    rows[3] = (rows[3][0], "wether")
    random.Random("dirty").shuffle(rows)
    return rows
