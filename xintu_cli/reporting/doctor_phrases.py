"""What the doctor says, in English and Chinese; what an error says stays as it is.

A command stands first in what is to be done about it, two spaces before its explanation.
"""

from __future__ import annotations

from xintu_cli.reporting.phrases import Bilingual

VERDICTS = {"ok": "正常", "warning": "注意", "broken": "故障"}
PARTS = {
    "cache": "缓存",
    "spool": "暂存",
    "index": "索引",
    "model": "模型",
    "provider": "服务",
    "providers": "服务",
    "clock": "时钟",
    "disk": "磁盘",
    "permissions": "权限",
    "codecs": "解码",
    "terminal": "终端",
    "outputs": "输出",
    "settings": "设置",
}
"""The words of the two columns in Chinese; `--json` has the English ones, which are keys."""


class Found(Bilingual):
    """How one thing is."""

    CACHE = (
        "{url}: {answers:,} answers, schema {schema}{size}, read in {ms:,.0f} ms",
        "{url}：{answers:,} 个结果，结构版本 {schema}{size}，读取用时 {ms:,.0f} 毫秒",
    )
    CACHE_SIZE = (", {megabytes:,.1f} MB", "，{megabytes:,.1f} MB")
    CACHE_WRITABLE = ("can be written", "可以写入")
    MAY_WAIT = ("it may hold answers that wait for the cache", "其中可能有等待写入缓存的结果")
    DEAD_CLAIMS = (
        "{n:,} photos were claimed by runs that died: their calls may have been paid",
        "{n:,} 张照片被意外终止的运行占用：那些调用可能已经付费",
    )
    SERVER_CLOCK_APART = (
        "this machine is {seconds:+.0f} s from the cache's server, whose clock decides",
        "本机与缓存服务器的时钟相差 {seconds:+.0f} 秒，以服务器为准",
    )
    SERVER_CLOCK = ("{seconds:.0f} s from the cache's server", "与缓存服务器相差 {seconds:.0f} 秒")
    WAITING = (
        "{n:,} batches of answers wait to be written to the cache",
        "{n:,} 批结果等待写入缓存",
    )
    WAITING_ELSEWHERE = (
        "{n:,} batches of answers wait, for another cache than this",
        "{n:,} 批结果等待写入另一个缓存",
    )
    NOTHING_WAITS = ("no answer waits to be written", "没有等待写入的结果")
    INDEX = ("{path}: {files:,} files", "{path}：{files:,} 个文件")
    INDEX_UNREADABLE = (", {n:,} of them unreadable", "，其中 {n:,} 个无法读取")
    MODEL = (
        "{fingerprint}: checksum right, loaded and tried in {ms:,.0f} ms",
        "{fingerprint}：校验和正确，加载并试运行用时 {ms:,.0f} 毫秒",
    )
    LEARNT = (
        "learnt for {taxonomy} from {photos:,} photos on {day}",
        "{day} 用 {photos:,} 张照片学习了 {taxonomy}",
    )
    NO_PROVIDER = (
        "none in use: the local model answers, nothing leaves this machine",
        "未使用：由本地模型识别，照片不离开本机",
    )
    UNUSED_KEYS = (
        " ({names} lies in the environment unused)",
        "（环境变量 {names} 未被使用）",
    )
    CLOCK_WRONG = ("the clock says {day}", "时钟显示 {day}")
    STAMPS_APART = (
        "{state} stamps files {seconds:+.0f} s apart from the clock: unchanged ones are reread",
        "{state} 的文件时间与时钟相差 {seconds:+.0f} 秒：未改动的文件会被重读",
    )
    CLOCK = ("agrees with the stamps of new files", "与新文件的时间一致")
    FREE = ("{gigabytes:,.1f} GB free for {state}", "{state} 可用 {gigabytes:,.1f} GB")
    FREE_ONLY = ("only {gigabytes:,.1f} GB free for {state}", "{state} 只剩 {gigabytes:,.1f} GB")
    NETWORK_DISK = (
        "{state} is on a network file system ({kind})",
        "{state} 位于网络文件系统（{kind}）",
    )
    OPEN_TO_OTHERS = (
        "{path} can be read by others (mode {mode:04o})",
        "其他用户可以读取 {path}（权限 {mode:04o}）",
    )
    CLOSED_TO_OTHERS = (
        "{n} private files and folders, closed to others",
        "{n} 个私有文件和目录，其他用户无法读取",
    )
    TERMINAL_ENCODING = (
        "writes {encoding}: Chinese names are shown as escapes",
        "编码为 {encoding}：中文名称会显示为转义",
    )
    NO_TERMINAL = (
        "none: progress is a plain line now and then",
        "不是终端：进度以文本行显示",
    )
    DUMB_TERMINAL = (
        "TERM is {kind}: progress is a plain line now and then",
        "TERM 为 {kind}：进度以文本行显示",
    )
    NOT_SET = ("not set", "未设置")
    NARROW_TERMINAL = ("{columns} columns: names are cut", "宽 {columns} 列：名称会被截断")
    TERMINAL = ("{encoding}, {columns} columns", "{encoding}，{columns} 列")
    CODEC_BROKEN = ("cannot read {name}: {reason}", "无法读取 {name}：{reason}")
    CODECS = ("HEIC and AVIF can be read", "可以读取 HEIC 和 AVIF")
    OUTPUT = ("{path} can be written", "{path} 可以写入")


class Mend(Bilingual):
    """What to do about it."""

    WRITES_ONCE_BACK = (
        "xintu classify PATH  (writes them once the cache is back)",
        "xintu classify 路径  （缓存恢复后会写入）",
    )
    OR_BACKUP = ("{command}  (or restore a backup in its place)", "{command}  （或用备份恢复）")
    REPLACES = (
        "xintu classify PATH  (replaces those it meets)",
        "xintu classify 路径  （遇到时会替换）",
    )
    TAKES_OVER = ("xintu classify PATH  (takes them over)", "xintu classify 路径  （会接手）")
    BOTH_CLOCKS = ("timedatectl set-ntp true  (on both)", "timedatectl set-ntp true  （两台都要）")
    FILE_SERVER_CLOCK = (
        "timedatectl set-ntp true  (here and on the file server)",
        "timedatectl set-ntp true  （本机和文件服务器都要）",
    )
    WRITES_FIRST = ("xintu classify PATH  (writes them first)", "xintu classify 路径  （会先写入）")
    OTHER_CACHE = (
        "xintu classify PATH --cache URL  (of that cache)",
        "xintu classify 路径 --cache URL  （那个缓存的地址）",
    )
    REINSTALL = (
        "pip install --force-reinstall .  (where xintu was cloned to)",
        "pip install --force-reinstall .  （在 xintu 的克隆目录里）",
    )
    OTHER_MODEL = (
        "xintu models list  (names the models there are; --model DIR is one of your own)",
        "xintu models list  （列出可用的模型；--model 目录 使用自己的模型）",
    )
    TRAIN = (
        "xintu models train DIR  (learns your categories)",
        "xintu models train 目录  （学习你的类别）",
    )
    ELSEWHERE = (
        "export XINTU_HOME=DIRECTORY  (one that you can write)",
        "export XINTU_HOME=目录  （可写入的目录）",
    )
    LOCAL_DISK = (
        "export XINTU_HOME=DIRECTORY  (on a local disk)",
        "export XINTU_HOME=目录  （在本地磁盘上）",
    )
    FREE_SPACE = ("free some space there", "请清理该磁盘的空间")
    FREE_SPACE_OR_PRUNE = (
        "free some space, or xintu cache prune",
        "请清理空间，或运行 xintu cache prune",
    )
    WIDEN = ("make it {columns} columns or wider", "请加宽到 {columns} 列以上")
    OWN_FILE = (
        "xintu config path  (where your own are kept)",
        "xintu config path  （显示你的配置文件在哪里）",
    )
    BUSY = (
        "it is there and busy: try again in a minute, or ask for a higher limit",
        "服务可用但繁忙：一分钟后再试，或申请更高的限额",
    )
    LATER = (
        "try again later; if it stays so, check its base_url, or name another --provider",
        "稍后再试；若一直如此，请检查 base_url，或换一个 --provider",
    )
    CHECK_ANSWERS = (
        "check its base_url, and that its model can see pictures and follow orders",
        "请检查 base_url，并确认其模型能看图并遵循指令",
    )
    CHECK_REQUEST = ("check its model, kind and base_url", "请检查其 model、kind 和 base_url")
