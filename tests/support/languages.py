"""Made-up sentences in seven languages about four things; three of the languages put no spaces between words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from label_studio_al.learning.features import Features
from label_studio_al.learning.layouts import TFIDF, Encoder
from label_studio_al.learning.learner import Tuning, train
from tests.support.queries import labelled

N_SENTENCES = 300
LABELS = ("weather", "food", "sport", "travel")


@dataclass(frozen=True)
class Language:
    """What sentences are made of: `pattern` takes one of each, which bars separate.

    topics: the verbs and the things of each label. Nothing else in a sentence tells its label.
    """

    pattern: str
    times: str
    people: str
    ends: str
    topics: tuple[tuple[str, str], ...]

    def sentences(self, n: int, seed: int = 0) -> tuple[list[str], list[str]]:
        """Made at random, with their labels, each as often as the others; a sentence may come again."""
        random = np.random.default_rng(seed)
        labels = [LABELS[place % len(LABELS)] for place in range(n)]
        return [self._sentence(self.topics[LABELS.index(label)], random) for label in labels], labels

    def _sentence(self, topic: tuple[str, str], random: np.random.Generator) -> str:
        verbs, things = topic
        parts = {"time": self.times, "person": self.people, "verb": verbs, "thing": things, "end": self.ends}
        return self.pattern.format(**{name: str(random.choice(some.split("|"))) for name, some in parts.items()})


LANGUAGES = {
    "Chinese": Language(
        "{time}{person}{verb}{thing}{end}",
        "昨天下午|今天早上|上个星期|听说|每年春天|刚才",
        "我妈妈|隔壁的老师|小王|那位客人|我们班|他的朋友",
        "真让人高兴|有点意外|大家都这么说|一直到晚上|可惜时间不长|我记得很清楚",
        (
            ("遇到了|担心|谈起", "大雨|台风|寒流|雷阵雨|浓雾"),
            ("做了|想吃|买了", "红烧肉|饺子|豆腐汤|炒面|绿豆糕"),
            ("练习|参加了|看了", "足球赛|乒乓球|游泳|马拉松|篮球决赛"),
            ("错过了|预订了|等", "高铁|航班|出租车|轮船|地铁"),
        ),
    ),
    "Japanese": Language(
        "{time}{person}が{thing}{verb}{end}",
        "昨日の午後|今朝早く|先週の日曜日に|毎年の春に|さっき|久しぶりに",
        "母|隣の先生|田中さん|あのお客さん|友達|弟",
        "ので驚いた|と聞いた|のを覚えている|らしい|からみんな喜んだ|けれど短かった",
        (
            ("を心配した|に出会った|の話をした", "大雨|台風|濃い霧|夕立|吹雪"),
            ("を作った|を食べた|を注文した", "味噌汁|天ぷら|おにぎり|うどん|焼き魚"),
            ("を練習した|を見た|に参加した", "サッカー|水泳|野球の試合|卓球|相撲"),
            ("に乗り遅れた|を予約した|を待った", "新幹線|飛行機|地下鉄|夜行バス|船"),
        ),
    ),
    "Thai": Language(
        "{time}{person}{verb}{thing}{end}",
        "เมื่อวานตอนบ่าย|เช้านี้|สัปดาห์ที่แล้ว|ทุกปี|เมื่อกี้|นานมาแล้ว",
        "แม่ของฉัน|ครูข้างบ้าน|สมชาย|ลูกค้าคนนั้น|เพื่อนของเขา|น้องชาย",
        "ทุกคนดีใจมาก|จนถึงตอนเย็น|แต่เวลาสั้นไป|ฉันจำได้ดี|น่าแปลกใจ|ใครๆก็พูดถึง",
        (
            ("เจอ|กังวลเรื่อง|พูดถึง", "ฝนตกหนัก|พายุ|หมอกหนา|อากาศหนาว|ฟ้าผ่า"),
            ("ทำ|อยากกิน|ซื้อ", "ข้าวผัด|ต้มยำกุ้ง|ส้มตำ|ก๋วยเตี๋ยว|ขนมหวาน"),
            ("ฝึก|ดู|เข้าร่วม", "ฟุตบอล|ว่ายน้ำ|มวยไทย|แบดมินตัน|วิ่งมาราธอน"),
            ("จอง|รอ|พลาด", "รถไฟ|เครื่องบิน|แท็กซี่|เรือด่วน|รถทัวร์"),
        ),
    ),
    "Hindi": Language(
        "{time} {person} {thing} {verb} {end}",
        "कल दोपहर|आज सुबह|पिछले हफ़्ते|हर साल|अभी अभी|बहुत दिनों बाद",
        "मेरी माँ ने|पड़ोसी अध्यापक ने|राजू ने|उस ग्राहक ने|मेरे दोस्त ने|छोटे भाई ने",
        "और सब खुश हुए|शाम तक|पर समय कम था|मुझे अच्छी तरह याद है|यह अजीब था|सब यही कहते हैं",
        (
            ("की बात की|की चिंता की|का सामना किया", "भारी बारिश|तूफ़ान|घने कोहरे|ठंडी हवा|बिजली"),
            ("बनाई|खाई|खरीदी", "दाल|कचौड़ी|पनीर की सब्ज़ी|गरम रोटी|मिठाई"),
            ("का अभ्यास किया|में भाग लिया|को देखा", "फुटबॉल मैच|तैराकी|क्रिकेट|कुश्ती|मैराथन दौड़"),
            ("का इंतज़ार किया|का टिकट लिया|को छोड़ दिया", "रेलगाड़ी|हवाई जहाज़|टैक्सी|नाव|रात की बस"),
        ),
    ),
    "Arabic": Language(
        "{time} {verb} {person} {thing} {end}",
        "بَعْدَ ظُهْرِ أَمْس|صَبَاحَ الْيَوْم|فِي الْأُسْبُوعِ الْمَاضِي|كُلَّ عَام|قَبْلَ قَلِيل|مُنْذُ زَمَن",
        "أَبِي|الْمُعَلِّمُ جَارُنَا|سَامِي|ذَلِكَ الزَّبُون|صَدِيقِي|أَخِي الصَّغِير",
        "وَفَرِحَ الْجَمِيع|حَتَّى الْمَسَاء|لَكِنَّ الْوَقْتَ قَصِير|أَذْكُرُ ذَلِكَ جَيِّدًا|وَكَانَ ذَلِكَ غَرِيبًا|هَكَذَا يَقُولُون",
        (
            ("وَاجَهَ|خَافَ|ذَكَرَ", "الْمَطَرَ الْغَزِير|الْعَاصِفَة|الضَّبَابَ الْكَثِيف|الرِّيحَ الْبَارِدَة|الْبَرْق"),
            ("طَبَخَ|أَكَلَ|اِشْتَرَى", "الرُّزّ|الْخُبْزَ السَّاخِن|شُورْبَةَ الْعَدَس|السَّمَكَ الْمَشْوِيّ|الْحَلْوَى"),
            ("مَارَسَ|شَاهَدَ|أَحَبَّ", "كُرَةَ الْقَدَم|السِّبَاحَة|الْمُلَاكَمَة|سِبَاقَ الْجَرْي|كُرَةَ السَّلَّة"),
            ("اِنْتَظَرَ|حَجَزَ|رَكِبَ", "الْقِطَار|الطَّائِرَة|سَيَّارَةَ الْأُجْرَة|السَّفِينَة|الْحَافِلَة"),
        ),
    ),
    "Korean": Language(
        "{time} {person} {thing} {verb} {end}",
        "어제 오후에|오늘 아침|지난주에|해마다|방금|오랜만에",
        "어머니가|옆집 선생님이|민수가|그 손님이|친구가|동생이",
        "모두 기뻐했다|저녁까지 그랬다|시간은 짧았다|나는 잘 기억한다|좀 놀라웠다|다들 그렇게 말한다",
        (
            ("만났다|걱정했다|이야기했다", "큰비를|태풍을|짙은 안개를|찬 바람을|소나기를"),
            ("만들었다|먹었다|주문했다", "김치찌개를|비빔밥을|만두를|칼국수를|불고기를"),
            ("연습했다|보았다|좋아했다", "축구를|수영을|야구 경기를|탁구를|마라톤을"),
            ("기다렸다|놓쳤다|예약했다", "기차를|비행기를|택시를|밤 버스를|배를"),
        ),
    ),
    "Russian": Language(
        "{time} {person} {verb} {thing}, {end}",
        "Вчера днём|Сегодня утром|Прошлой весной|Каждый год|Только что|Давно",
        "моя мама|соседский учитель|Иван|тот клиент|мой друг|младший брат",
        "и все рады|до самого вечера|но времени мало|я хорошо это помню|это странно|так все говорят",
        (
            ("видит|вспоминает|обсуждает", "сильный дождь|грозу|густой туман|холодный ветер|метель"),
            ("готовит|ест|покупает", "борщ|пельмени|жареную рыбу|гречневую кашу|пирог"),
            ("смотрит|любит|выбирает", "футбол|плавание|хоккей|марафон|настольный теннис"),
            ("ждёт|заказывает|пропускает", "поезд|самолёт|такси|ночной автобус|паром"),
        ),
    ),
}


def accuracy(name: str, n_labels: int, seed: int, encoder: Encoder | None = None, choice: str = TFIDF) -> float:
    """Of a model trained on so many of 300 different sentences, on the others. choice: which features it may use."""
    labels = dict(zip(*LANGUAGES[name].sentences(2 * N_SENTENCES, seed), strict=True))
    texts = list(labels)[:N_SENTENCES]
    y = np.array([labels[text] for text in texts])
    features, X = Features.fit_transform(texts, encoder)
    order = np.random.default_rng(seed).permutation(len(texts))
    known, others = order[:n_labels], order[n_labels:]
    model = train(labelled(X[known], y[known]), features.choices(), Tuning(choice))
    return float(np.mean(model.classes[np.argmax(model.believe(X[others]).wide, axis=1)] == y[others]))
