"""Names and phrases of ten languages, and the pieces of invented names: tables of the identity world."""

from __future__ import annotations

import unicodedata
from itertools import accumulate

import msgspec


class Spelled(msgspec.Struct, frozen=True):
    """A name in its own script and as a handle writes it: lower-case ASCII letters."""

    own: str
    latin: str


class Tongue(msgspec.Struct, frozen=True, kw_only=True):
    """How creators of one language are called and speak.

    Names stand the frequent ones first. ``{name}`` is a given name, ``{place}`` a town, ``{subject}`` and ``{other}``
    what they create about, ``{n}`` a number, ``{year}`` a year.
    """

    code: str
    share: float
    countries: tuple[str, ...]
    given: tuple[Spelled, ...]
    family: tuple[Spelled, ...]
    places: tuple[str, ...]
    subjects: tuple[str, ...]
    openings: tuple[str, ...]
    extras: tuple[str, ...]
    titles: tuple[str, ...]
    family_first: bool = False


def frequencies(size: int, offset: int = 10) -> list[float]:
    """Cumulative weights 1 / (rank + ``offset``): as Zipf's law, with the top as flat as with names of people."""
    return list(accumulate(1 / (rank + offset) for rank in range(size)))


def _names(text: str) -> tuple[Spelled, ...]:
    """``own:latin``, or only ``own`` where taking the accents off is enough."""
    split = [word.partition(":") for word in text.split()]
    return tuple(Spelled(own, latin or _plain(own)) for own, _, latin in split)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _plain(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.lower().replace("ß", "ss"))
    return "".join(letter for letter in letters if letter.isascii() and letter.isalpha())


_BEGINNINGS = _words(
    "Ash Black Brad Bright Brook Cald Clear Cran Dal East Fair Farn Green Had Hart Hazel Hol Kings Lang Lin Mar Mill Nor Oak Pem Raven Red Rock Stan Stone Thorn Wake Wal West Whit Win Wood York"
)
_ENDINGS = _words(
    "berg brook burn bury by croft dale den field ford gate ham land ley man more ridge shaw son stead stone ton well wick wood worth"
)

TONGUES = (
    Tongue(
        code="en", share=0.34, countries=("US", "GB", "IN", "CA", "AU", "NG", "PH"),
        given=_names(
            "Alex Emma James Olivia Sam Sophia Michael Mia Ryan Emily Chris Chloe David Zoe Jack Grace Daniel Lily Ben Hannah"
            " Luke Ella Matt Ava Nick Lucy Josh Kate Tom Maya Adam Ruby Max Jordan Leo Sarah Jake Amy Noah Jess Liam Nina Ethan"
            " Holly Kyle Priya Aaron Tara Marcus Naomi Dylan Freya Owen Bella Sean Jade Kevin Alice Tyler Ivy Mason Clara Blake Erin"
            " Connor Leah Jason Rosie Eric Paige Theo Violet Simon Heidi Victor Wendy Toby Fiona Derek Skye Grant Imani Felix Ada"
        ),
        family=_names(
            "Smith Morgan Johnson Taylor Lee Brown Wilson Davis Clark Evans Walker Hall Young King Wright Scott Green Baker Adams Nelson"
            " Carter Mitchell Turner Parker Collins Stewart Cook Rogers Reed Bell Murphy Bailey Cooper Cox Ward Gray Price Bennett Wood Ross"
            " Foster Powell Long Hughes Butler Fisher Ellis Gibson Ford Marshall Wells Webb Tucker Hunter Hicks Palmer Mason Shaw Gordon Burns "
            + " ".join(f"{begin}{end}" for end in _ENDINGS for begin in _BEGINNINGS)
        ),
        places=("London", "Austin", "Toronto", "Sydney", "Lagos", "Manila", "Leeds", "Chicago", "Mumbai", "Portland"),
        subjects=("cooking", "travel", "fitness", "gaming", "makeup", "woodwork", "guitar", "running", "gardening", "film", "coding", "dogs"),
        openings=("Hi, I'm {name} from {place}.", "{name} here, making things about {subject}.", "Welcome to my little corner of {place}!", "{subject} and {other}, every week.", "I film {subject} so you don't have to."),
        extras=("Coffee first, questions later.", "Doing this since {year}.", "{n} countries and counting.", "Dad of {n}, fan of {other}.", "My book about {subject} is out.", "New uploads on Sundays.", "Not a professional, just obsessed with {other}."),
        titles=("I tried {subject} for {n} days", "{subject} mistakes I made in {year}", "My honest {subject} routine", "{n} things about {subject} nobody told me"),
    ),
    Tongue(
        code="es", share=0.13, countries=("MX", "ES", "AR", "CO", "CL"),
        given=_names("María José Lucía Juan Sofía Carlos Valentina Luis Camila Diego Daniela Andrés Paula Javier Laura Mateo Carmen Pablo Elena Miguel Ana Sergio Marta Raúl Alba Hugo Irene Iván Rocío Álvaro Nuria Rubén Noelia Adrián Inés Óscar Ximena Emiliano"),
        family=_names("García Rodríguez Martínez Hernández López González Pérez Sánchez Ramírez Torres Flores Rivera Gómez Díaz Cruz Morales Ortiz Gutiérrez Chávez Ramos Ruiz Álvarez Mendoza Vásquez Castillo Jiménez Moreno Romero Herrera Medina Aguilar Vargas Guerrero Salazar Estrada Ibáñez Quiroga Zamora Palacios Bustamante Arriaga Echeverría"),
        places=("Madrid", "Bogotá", "Monterrey", "Rosario", "Sevilla", "Lima"),
        subjects=("cocina", "viajes", "maquillaje", "videojuegos", "guitarra", "ciclismo", "fotografía", "perros", "yoga", "cine"),
        openings=("Hola, soy {name} y vivo en {place}.", "{subject} y {other} desde {place}.", "Aquí hablamos de {subject}.", "Me llamo {name}, bienvenidos a mi mundo."),
        extras=("Desde {year} por aquí.", "{n} países y sumando.", "Vídeos nuevos cada domingo.", "Loca por {other}.", "Mi libro sobre {subject} ya está a la venta."),
        titles=("Probé {subject} durante {n} días", "Mi rutina de {subject}", "{n} errores de {subject} en {year}"),
    ),
    Tongue(
        code="pt", share=0.12, countries=("BR", "BR", "PT"),
        given=_names("Maria João Ana Lucas Beatriz Pedro Larissa Gabriel Júlia Rafael Camila Matheus Fernanda Gustavo Amanda Thiago Letícia Bruno Mariana Felipe Isabela Rodrigo Carolina Vinícius Bianca Leandro Tatiane Caio Débora Renan Lívia Otávio Yasmin Davi"),
        family=_names("Silva Santos Oliveira Souza Lima Pereira Ferreira Costa Rodrigues Almeida Nascimento Alves Carvalho Araújo Ribeiro Gomes Martins Rocha Barbosa Melo Dias Castro Campos Cardoso Teixeira Moreira Correia Pinto Vieira Monteiro Freitas Nogueira Bastos Azevedo Siqueira Peixoto Valente Queiroz"),
        places=("São Paulo", "Recife", "Lisboa", "Curitiba", "Porto", "Belém"),
        subjects=("culinária", "viagem", "maquiagem", "jogos", "violão", "corrida", "fotografia", "cachorros", "artesanato", "cinema"),
        openings=("Oi, eu sou {name}, de {place}.", "{subject} e {other} toda semana.", "Aqui o assunto é {subject}.", "Meu nome é {name}, seja bem-vindo!"),
        extras=("Na internet desde {year}.", "{n} países até agora.", "Vídeo novo todo domingo.", "Apaixonada por {other}.", "Meu livro sobre {subject} já saiu."),
        titles=("Testei {subject} por {n} dias", "Minha rotina de {subject}", "{n} erros de {subject} em {year}"),
    ),
    Tongue(
        code="de", share=0.07, countries=("DE", "AT", "CH"),
        given=_names("Anna Jonas Lena Felix Lea Paul Hannah Lukas Mia Leon Julia Max Laura Tim Sophie Jan Katharina Moritz Nele Jürgen Franziska Till Greta Björn Svenja Matthias Antje Henrik Jule Karsten"),
        family=_names("Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Koch Bauer Richter Klein Wolf Schröder Neumann Schwarz Zimmermann Braun Krüger Hofmann Hartmann Lange Krause Lehmann Köhler Maier Vogel Jansen Ziegler Brandt Seidel Dietrich Kuhn Pohl Engel Sommer Wirth"),
        places=("Berlin", "Wien", "Zürich", "Hamburg", "Köln"),
        subjects=("Kochen", "Reisen", "Technik", "Garten", "Gitarre", "Laufen", "Fotografie", "Hunde", "Basteln"),
        openings=("Hallo, ich bin {name} aus {place}.", "Hier geht es um {subject} und {other}.", "{subject} aus {place}.", "Schön, dass du da bist! Ich bin {name}."),
        extras=("Dabei seit {year}.", "Schon {n} Länder gesehen.", "Jeden Sonntag ein neues Video.", "Am liebsten {other}.", "Mein Buch über {subject} ist da."),
        titles=("{n} Tage {subject} im Test", "Meine Routine: {subject}", "{subject} im Jahr {year}"),
    ),
    Tongue(
        code="fr", share=0.07, countries=("FR", "BE", "CA", "CI"),
        given=_names("Marie Lucas Léa Hugo Camille Thomas Chloé Théo Manon Antoine Emma Louis Inès Nicolas Sarah Julien Clara Maxime Pauline François Élise Quentin Margaux Rémi Aurélie Baptiste Océane Cédric Solène Gaël"),
        family=_names("Martin Bernard Dubois Thomas Robert Petit Durand Leroy Moreau Simon Laurent Lefebvre Michel Roux Fournier Girard Bonnet Dupont Lambert Fontaine Rousseau Vincent Muller Faure Mercier Blanc Guérin Boyer Garnier Chevalier Legrand Gauthier Perrin Morin Dumas Lacroix Besson Carpentier"),
        places=("Paris", "Lyon", "Bruxelles", "Montréal", "Nantes"),
        subjects=("la cuisine", "les voyages", "la mode", "les jeux", "la guitare", "la course", "la photo", "les chiens", "le cinéma"),
        openings=("Salut, moi c'est {name}, de {place}.", "Ici on parle de {subject} et de {other}.", "{name}, {subject} à {place}.", "Bienvenue chez moi !"),
        extras=("Depuis {year}.", "Déjà {n} pays visités.", "Une vidéo chaque dimanche.", "Mon truc : {other}.", "Mon livre sur {subject} est sorti."),
        titles=("J'ai testé {subject} pendant {n} jours", "Ma routine : {subject}", "{n} erreurs sur {subject}"),
    ),
    Tongue(
        code="ru", share=0.06, countries=("RU", "KZ", "UA", "BY"),
        given=_names("Анна:anna Иван:ivan Мария:maria Дмитрий:dmitry Ольга:olga Алексей:alexey Екатерина:katya Сергей:sergey Наталья:natalia Андрей:andrey Юлия:yulia Максим:maxim Полина:polina Никита:nikita Алина:alina Павел:pavel Ксения:ksenia Илья:ilya Дарья:darya Роман:roman Вера:vera Фёдор:fedor Софья:sofya Глеб:gleb"),
        family=_names("Иваненко:ivanenko Смирных:smirnykh Кравчук:kravchuk Бондаренко:bondarenko Шевченко:shevchenko Коваленко:kovalenko Ткач:tkach Мельник:melnik Черных:chernykh Седых:sedykh Гончар:gonchar Литвин:litvin Савчук:savchuk Зайченко:zaichenko Ким:kim Белых:belykh Мороз:moroz Ткаченко:tkachenko Долгих:dolgikh Юрченко:yurchenko Лысенко:lysenko Панченко:panchenko Руденко:rudenko Гайдук:gaiduk Оганян:oganyan Саакян:saakyan Вебер:veber Франк:frank"),
        places=("Москвы", "Алматы", "Казани", "Минска"),
        subjects=("кулинария", "путешествия", "спорт", "игры", "гитара", "дизайн", "фотография", "собаки", "кино"),
        openings=("Привет, я {name} из {place}.", "{subject} и {other} каждую неделю.", "Мой блог: {subject}.", "Меня зовут {name}, добро пожаловать!"),
        extras=("Веду блог с {year} года.", "Уже {n} стран.", "Новые видео по воскресеньям.", "Люблю {other}.", "Моя книга: {subject}."),
        titles=("{n} дней: {subject}", "{subject}: мой опыт за {year} год", "{n} ошибок: {subject}"),
    ),
    Tongue(
        code="ko", share=0.06, countries=("KR",), family_first=True,
        given=_names("민준:minjun 서연:seoyeon 지우:jiwoo 하은:haeun 도윤:doyun 수빈:subin 예준:yejun 지민:jimin 유진:yujin 현우:hyunwoo 채원:chaewon 준서:junseo 다은:daeun 시우:siwoo 소율:soyul 태현:taehyun 나연:nayeon 건우:gunwoo 은지:eunji 우진:woojin 보라:bora 동현:donghyun 가영:gayoung 재훈:jaehoon"),
        family=_names("김:kim 이:lee 박:park 최:choi 정:jung 강:kang 조:cho 윤:yoon 장:jang 임:lim 한:han 오:oh 서:seo 신:shin 권:kwon 황:hwang 안:ahn 송:song 전:jeon 홍:hong 유:yoo 고:ko 문:moon 배:bae 백:baek 남:nam 하:ha 노:noh"),
        places=("서울", "부산", "제주", "대구"),
        subjects=("요리", "여행", "운동", "게임", "기타", "사진", "강아지", "영화", "공부"),
        openings=("안녕하세요, {place}에 사는 {name}입니다.", "{subject}, {other} 이야기를 합니다.", "{name}의 {subject} 일기", "매주 {subject} 영상을 올려요."),
        extras=("{year}년부터 기록 중.", "{n}개국 여행했어요.", "일요일마다 새 영상.", "{other}도 좋아해요.", "{subject} 책을 냈어요."),
        titles=("{subject} {n}일 도전", "나의 {subject} 루틴", "{year}년 {subject} 솔직 후기"),
    ),
    Tongue(
        code="ja", share=0.06, countries=("JP",), family_first=True,
        given=_names("さくら:sakura はると:haruto ひなた:hinata ゆい:yui ゆうき:yuki あおい:aoi リク:riku めい:mei ソラ:sora りん:rin カイト:kaito みお:mio たくみ:takumi ほのか:honoka れん:ren まな:mana ユウタ:yuta ななみ:nanami けんた:kenta ちひろ:chihiro しょう:sho えみ:emi ダイチ:daichi かな:kana"),
        family=_names("佐藤:sato 鈴木:suzuki 高橋:takahashi 田中:tanaka 伊藤:ito 渡辺:watanabe 山本:yamamoto 中村:nakamura 小林:kobayashi 加藤:kato 吉田:yoshida 山田:yamada 松本:matsumoto 井上:inoue 木村:kimura 清水:shimizu 森:mori 池田:ikeda 橋本:hashimoto 石川:ishikawa 前田:maeda 藤田:fujita 岡田:okada 村上:murakami 青木:aoki 坂本:sakamoto"),
        places=("東京", "大阪", "札幌", "福岡"),
        subjects=("料理", "旅行", "筋トレ", "ゲーム", "ギター", "写真", "愛犬", "映画", "勉強"),
        openings=("{place}の{name}です。", "{subject}と{other}について毎週投稿。", "{name}の{subject}チャンネル", "はじめまして、{name}と申します。"),
        extras=("{year}年から活動中。", "{n}か国を旅しました。", "日曜日に新しい動画。", "{other}も大好き。", "{subject}の本を出しました。"),
        titles=("{subject}を{n}日間やってみた", "私の{subject}ルーティン", "{year}年の{subject}を正直レビュー"),
    ),
    Tongue(
        code="hi", share=0.05, countries=("IN",),
        given=_names("राहुल:rahul प्रिया:priya अमित:amit पूजा:pooja रोहन:rohan अनन्या:ananya विवेक:vivek नेहा:neha आरव:aarav दीया:diya करण:karan स्नेहा:sneha अर्जुन:arjun काव्या:kavya सूरज:suraj मीरा:meera निखिल:nikhil रिया:riya विशाल:vishal ईशा:isha मोहित:mohit सिमरन:simran"),
        family=_names("शर्मा:sharma सिंह:singh कुमार:kumar गुप्ता:gupta वर्मा:verma पटेल:patel यादव:yadav मिश्रा:mishra जोशी:joshi मेहता:mehta चौधरी:chaudhary तिवारी:tiwari पांडे:pandey अग्रवाल:agarwal जैन:jain सक्सेना:saxena राठौर:rathore चौहान:chauhan नायर:nair रेड्डी:reddy देसाई:desai कपूर:kapoor मल्होत्रा:malhotra भट्ट:bhatt"),
        places=("दिल्ली", "मुंबई", "जयपुर", "पटना"),
        subjects=("खाना", "यात्रा", "फिटनेस", "गेमिंग", "गिटार", "फोटो", "पढ़ाई", "सिनेमा", "खेती"),
        openings=("नमस्ते, मैं {name} हूँ, {place} से।", "यहाँ {subject} और {other} की बातें।", "{name} का {subject} चैनल।", "हर हफ्ते {subject} का नया वीडियो।"),
        extras=("{year} से आपके साथ।", "{n} राज्य घूम चुका हूँ।", "हर रविवार नया वीडियो।", "{other} भी पसंद है।", "{subject} पर मेरी किताब आ गई।"),
        titles=("{n} दिन {subject}", "मेरा {subject} रूटीन", "{year} में {subject} की सच्ची बात"),
    ),
    Tongue(
        code="ar", share=0.04, countries=("EG", "SA", "MA", "AE"),
        given=_names("محمد:mohamed سارة:sara أحمد:ahmed نور:nour يوسف:youssef مريم:mariam عمر:omar ليلى:layla علي:ali فاطمة:fatima خالد:khaled هدى:huda حسن:hassan رنا:rana كريم:karim ياسمين:yasmin طارق:tarek دينا:dina زياد:ziad سلمى:salma"),
        family=_names("حسن:hassan علي:ali إبراهيم:ibrahim خليل:khalil منصور:mansour سالم:salem عثمان:osman فهمي:fahmy الشريف:elsherif نصر:nasr صالح:saleh حداد:haddad ناصر:nasser عوض:awad زكي:zaki رشيد:rashid الخطيب:elkhatib بكري:bakry القاسم:alqasim المصري:elmasry العتيبي:alotaibi الحربي:alharbi بناني:bennani العلوي:alaoui"),
        places=("القاهرة", "الرياض", "دبي", "الدار البيضاء"),
        subjects=("الطبخ", "السفر", "الرياضة", "الألعاب", "التصوير", "السينما", "القراءة", "التقنية"),
        openings=("مرحبا، أنا {name} من {place}.", "هنا {subject} و{other} كل أسبوع.", "قناة {name} عن {subject}.", "أهلا بكم في عالمي!"),
        extras=("معكم منذ {year}.", "زرت {n} بلدا.", "فيديو جديد كل أحد.", "أحب {other} أيضا.", "صدر كتابي عن {subject}."),
        titles=("جربت {subject} لمدة {n} يوما", "روتيني مع {subject}", "{n} أخطاء في {subject}"),
    ),
)  # fmt: skip

SYLLABLES = _words(
    "ka lu na zo vi ro mi ta el ex ju ni sha ri ko ve lo ma dra xi pho ke za bri tu sol ny qua fen gi mo ra li bo cy de hal io jax kri pix"
)
"""Two to four make a nickname."""
TOPICS = _words(
    "cooks travels fit plays paints reads runs bakes sings codes films climbs hikes draws rides sews grows knits dances skates surfs vlogs eats builds"
)
WORDS = _words(
    "urban forge north pixel lunar cedar honey ember velvet cobalt maple river copper tiny wild atlas polar amber bold bloom canvas crisp"
    " daily delta echo fable field flora frost glow grove harbor indigo jolly karma lemon lotus magnet meadow mint mosaic nimbus noble oak"
    " onyx opal orbit panda paper peak pepper pine plum prime quartz radar rapid raven retro rust saffron salt shore silk sonic spark spruce"
    " stellar stone sugar summit swift tango teal thistle tidal topaz tundra ultra vapor violet vista walnut whisper willow zephyr zest"
)
TRADES = _words(
    "Studio Kitchen Coffee Fitness Records Outdoors Toys Labs Games Travel Beauty Cycles Garden Books Pets Audio"
)
BRANCHES = _words("Music India Brasil Kids Japan Español Gaming Sports Deutschland Arabia Shorts Academy Live Europe")
EMOJI = ("🎬", "✨", "🎮", "📷", "🌿", "🏋️", "🎸", "☕", "🐾", "🧁", "🌍", "💛", "🔥", "🎨")
