"""What extraction knows by heart: hosts, reserved paths, words and limits, as plain constants."""

from __future__ import annotations

from types import MappingProxyType


def words(text: str) -> frozenset[str]:
    """A table of words as a set: tables written as running text stay readable."""
    return frozenset(text.split())


INSTAGRAM, YOUTUBE, TIKTOK, X = "instagram", "youtube", "tiktok", "x"
"""Equal to the values of ``Platform``; the four below are not followed, so they are plain strings."""
TWITCH, FACEBOOK, THREADS, SNAPCHAT = "twitch", "facebook", "threads", "snapchat"

PLATFORM_HOSTS = MappingProxyType(
    {
        "instagram.com": INSTAGRAM,
        "instagr.am": INSTAGRAM,
        "youtube.com": YOUTUBE,
        "tiktok.com": TIKTOK,
        "twitter.com": X,
        "x.com": X,
        "twitch.tv": TWITCH,
        "facebook.com": FACEBOOK,
        "fb.com": FACEBOOK,
        "fb.me": FACEBOOK,
        "threads.net": THREADS,
        "threads.com": THREADS,
        "snapchat.com": SNAPCHAT,
    }
)
"""Registered host to platform; see ``PLATFORM_SUBDOMAINS`` for what may stand before it."""

PLATFORM_SUBDOMAINS = frozenset({"", "www", "m", "mobile", "l", "web", "gaming", "story", "go"})
"""``clips.twitch.tv`` or ``about.instagram.com`` name no account; two letters (``de-de``, ``pt``) are languages."""

PROFILE_URLS = MappingProxyType(
    {
        INSTAGRAM: "https://instagram.com/{}",
        YOUTUBE: "https://youtube.com/{}",
        TIKTOK: "https://tiktok.com/@{}",
        X: "https://x.com/{}",
        TWITCH: "https://twitch.tv/{}",
        FACEBOOK: "https://facebook.com/{}",
        THREADS: "https://threads.com/@{}",
        SNAPCHAT: "https://snapchat.com/add/{}",
    }
)

HANDLE_RULES = MappingProxyType(
    {
        INSTAGRAM: r"(?!\.)(?!.*\.\.)[a-z0-9._]{1,30}(?<!\.)",
        YOUTUBE: r"UC[A-Za-z0-9_-]{22}|@[\w.·-]{3,30}|(?:user|c)/[\w%-][\w.%-]{0,99}(?<!\.)",
        TIKTOK: r"[a-z0-9._]{2,24}(?<!\.)",
        X: r"[a-z0-9_]{1,15}",
        TWITCH: r"[a-z0-9][a-z0-9_]{2,24}",
        FACEBOOK: r"[a-z0-9][a-z0-9-]{2,79}",
        THREADS: r"(?!\.)(?!.*\.\.)[a-z0-9._]{1,30}(?<!\.)",
        SNAPCHAT: r"[a-z][a-z0-9._-]{1,13}[a-z0-9]",
    }
)
"""What each platform accepts as a name, after lower-casing: letters, lengths and dots as commonly documented."""

RESERVED_PATHS = MappingProxyType(
    {
        INSTAGRAM: words(
            """
    p reel reels tv explore accounts about developer developers legal directory web s share api graphql
    emails challenge privacy oauth static blog press help stories channel lite tags invites hashtag
    """
        ),
        YOUTUBE: words(
            """
    watch playlist playlists results embed v shorts live feed redirect attribution_link premium gaming
    music account about t ads trending post hashtag clip oops subscription_center subscribe_widget
    signin logout upload creators yt howyoutubeworks kids movies new tv intl s source channel user c
    edit charts profile view_play_list view_all_playlists my_videos dashboard comment error index
    share_frame
    """
        ),
        TIKTOK: words("tag music discover t v share embed foryou live video explore about legal"),
        X: words(
            """
    home i intent share search hashtag hashtags explore settings login signup about tos privacy messages
    notifications download jobs compose account who_to_follow statuses status widgets oauth
    """
        ),
        TWITCH: words(
            """
    directory videos p downloads jobs turbo settings subscriptions inventory wallet drops friends store
    team search login signup prime broadcast products subs user collections popout
    """
        ),
        FACEBOOK: words(
            """
    sharer share sharer.php share.php watch groups events photo photos photo.php videos video.php
    hashtag login login.php help pages people profile.php permalink.php story.php marketplace gaming
    messages notes business policies privacy dialog plugins tr games home.php media reel reels stories
    l.php ads about legal settings live public search donate fundraisers apps app_scoped_user_id posts
    pg
    """
        ),
        THREADS: frozenset(("t", "search", "login", "settings", "about")),
        SNAPCHAT: words(
            "add discover spotlight lens unlock p t u s c download support create business legal snapcode l"
        ),
    }
)
"""First path parts that belong to the platform and never name an account."""

LABELS = MappingProxyType(
    {
        INSTAGRAM: "instagram insta ig инстаграмм инстаграм инста インスタグラム インスタ 인스타그램 인스타 इंस्टाग्राम",
        X: "twitter твиттер ツイッター 트위터 ट्विटर x",
        TIKTOK: "tiktok tik-tok тикток тик-ток ティックトック 틱톡",
        TWITCH: "twitch твич 트위치",
        FACEBOOK: "facebook fb фейсбук フェイスブック 페이스북 फेसबुक",
        YOUTUBE: "youtube yt ютуб ユーチューブ 유튜브",
        THREADS: "threads スレッズ 스레드",
        SNAPCHAT: "snapchat snap sc снапчат スナップチャット 스냅챗",
    }
)
"""Words that announce a handle on a platform, separated by spaces; a ``-`` also stands for a space or nothing."""

SHORT_LABELS = frozenset({"ig", "x", "fb", "yt", "sc", "snap", "threads"})
"""Labels that are also something else, so that they count only before a mark; ``x`` needs an ``@`` as well."""

NAMES_THAT_FUSE = words(
    """
    Instagram Insta Twitter Facebook YouTube Youtube Snapchat SnapChat TikTok Tiktok Tik Twitch Discord Patreon Spotify
    Soundcloud SoundCloud Website Telegram WhatsApp Whatsapp Reddit Subreddit Pinterest LinkedIn Linkedin Tumblr
    Periscope Deezer Merch Email Subscribe Follow Listen Download Visit Contact Enjoy
    INSTAGRAM TWITTER FACEBOOK YOUTUBE SNAPCHAT TIKTOK TWITCH DISCORD WEBSITE SUBSCRIBE FOLLOW
    """
)
"""First words of the next line that run into a handle or URL where newlines were lost (seen in video descriptions).

Words that often close a name (``Official``, ``Music``, ``Shop``) are left out.
"""

POST_PATHS = words("status statuses p reel reels tv video videos posts photos photo permalink v clip")
"""After an account's name and before an id: the URL is a post's, and a shared post claims no account."""

TAB_PATHS = words("videos featured about playlists community shorts streams live media with_replies")
"""After an account's name: a tab of the account's own page."""

NEVER_HANDLES = words(
    """
    follow me us my our the here link links http https www com in at on and or for official page account
    instagram twitter facebook youtube tiktok snapchat twitch threads insta phone email handle username
    user name
    """
)
"""Words after ``Instagram:`` that are prose."""

TRACKING_PARAMETERS = words(
    """
    fbclid gclid dclid gbraid wbraid msclkid yclid twclid ttclid igshid igsh mc_cid mc_eid mkt_tok
    _hsenc _hsmi si ref ref_ ref_src ref_url feature ab_channel sub_confirmation hl _ga _gl spm
    sfnsn mibextid is_from_webapp sender_device is_copy_url _r _t share_id share_app_id xtor cmpid
    vero_id oly_enc_id wickedid s_kwcid fb_ref fb_source pp view_as pk_campaign pk_kwd
    """
)
"""Query parameters that say where a click came from, not what it leads to; besides every ``utm_…``."""

PLAIN_TLDS = words(
    """
    com net org io co tv gg app dev shop store online site website club blog edu gov info biz xyz ly gl
    uk jp kr ru br fr it de ca au mx ar cl pe in nl se no dk fi pl cz at ch be pt gr tr ua kz by il ae
    sa eg za ng ke pk bd lk vn th ph id my sg hk tw cn nz ie ee lv lt ro hu bg rs hr si sk is eu asia cc
    ws fm bio page link studio media news live life me to us es la do so am as im ai ag cat tel art
    design digital agency photography world today fit health yoga fashion style beauty food coffee
    restaurant travel tours games game band music video film tube social community foundation academy
    school training education email chat space tech technology systems cloud network host land city vip
    pro win fun best one fans team run group global international company solutions services support
    center house garden clothing jewelry boutique gifts market sale deals wtf lol rocks ninja guru
    expert tips tools zone earth love moda kim ink wiki press pub bar cafe menu recipes sport football
    golf racing bike cars auto
    """
)
"""Endings of host names worth believing without ``https://``."""

PATH_ONLY_TLDS = words(
    """
    me to us es la do so am as im in it no is be at by my de id ch se one love life live today best fun
    run world news video music game games art style food travel pro win menu bar ink link page team
    group fans health chat email fit social support center house market sale school city land space
    press pub film band ai li sport golf football auto cars bike coffee fashion beauty design media
    studio services tips tools zone earth company
    """
)
"""Those that are also words: ``done.in``, ``was.it``; believed only before a path or after ``www.``."""

LINK_PAGE_HOSTS = words(
    """
    linktr.ee linktree.com beacons.ai beacons.page lnk.bio bio.link campsite.bio campsite.to linkin.bio
    allmylinks.com carrd.co solo.to taplink.cc taplink.at taplink.ws tap.bio tapbio.com msha.ke
    milkshake.app contactin.bio about.me withkoji.com koji.to stan.store hoo.be komi.io snipfeed.co
    linkfly.to linkpop.com bio.site bio.fm biolinky.co lit.link litt.ly instabio.cc linkbio.co link.bio
    lnkfi.re lnk.to ffm.to ffm.bio fanlink.to fanlink.tv smarturl.it hyperurl.co orcd.co potofu.me
    profcard.info many.link manylink.co heylink.me flow.page flowcode.com direct.me url.bio znap.link
    start.page inpock.co.kr pillar.io magic.ly feedlink.io joy.link wlo.link shor.by sleek.bio liinks.co
    bento.me lynx.to linky.tw portaly.cc linkr.bio shopmy.us liketoknow.it ltk.app linkfire.com
    songwhip.com toneden.io li.sten.to found.ee biglink.to push.fm mez.ink singlelink.co snip.bio
    biolink.website linkgenie.co withlink.me gee.bio lnks.gd linkme.bio link.me links.bio elink.io
    metaco.gg handbag.bio conta.ink hipolink.me hipolink.net mssg.me band.link
    """
)
"""Hosts whose pages collect one person's links, one path or subdomain a person."""
