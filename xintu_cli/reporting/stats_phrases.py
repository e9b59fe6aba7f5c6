"""What `xintu stats` says, in English and Chinese."""

from __future__ import annotations

from xintu_cli.reporting.phrases import Bilingual


class StatsPhrase(Bilingual):
    """Headings and sentences of the statistics."""

    TODAY = ("today", "今天")
    LAST_DAYS = ("last {n:,} day|last {n:,} days", "最近 {n:,} 天")
    ALL_TIME = ("all time", "全部")
    RUNS = ("Runs", "运行次数")
    PHOTOS = ("Photos", "照片")
    HIT_RATE = ("From the cache", "缓存命中")
    BY_LLM = ("By an LLM", "大模型识别")
    BY_LOCAL = ("By the local model", "本地模型识别")
    FAILED = ("Could not be read", "无法读取")
    PENDING = ("Left without an answer", "尚无结果")
    SPEED = ("Photos a second", "张/秒")
    CALLS = ("Calls", "调用次数")
    TOKENS = ("Tokens", "Token 数")
    SPENT = ("Spent", "花费")
    AND_UNKNOWN = ("{amount} and unknown prices", "{amount}，另有价格未知的调用")
    UNKNOWN = ("unknown prices", "价格未知")

    DONE = ("done", "完成")
    PARTIAL = ("partial", "部分完成")
    BUDGET = ("budget", "预算用完")
    INTERRUPTED = ("interrupted", "中断")
    BROKEN_OFF = ("failed", "失败")
    UNFINISHED = ("not finished", "未结束")

    NOTHING_YET = (
        "Nothing has been classified with this cache yet: xintu classify FOLDER",
        "此缓存尚无任何分类记录：请先运行 xintu classify 目录",
    )
    DAYS = ("Photos a day", "每日照片数")
    CATEGORIES = ("Categories (photos, share, mean confidence)", "分类（张数、占比、平均置信度）")
    ANSWERS = ("Answers in the cache", "缓存中的结果")
    BY_HAND = ("by hand", "人工标注")
    LLM = ("LLM", "大模型")
    LOCAL = ("local model", "本地模型")
    STAND_INS = (
        "{share} of what an LLM was to answer is provisional: {reasons}",
        "应由大模型识别的照片中 {share} 为暂定结果：{reasons}",
    )
    AGREEMENT = (
        "{share} of what both LLM and local model answered ({n:,}) they answered alike",
        "大模型与本地模型在 {n:,} 张照片上的一致率为 {share}",
    )
    PROVIDERS = ("Providers", "模型服务")
    PROVIDER = ("provider, model", "服务、模型")
    CALLED = ("calls", "次数")
    OK = ("ok", "成功")
    COST = ("cost", "费用")
    SAVED = (
        "{n:,} call saved by the cache so far|{n:,} calls saved by the cache so far",
        "缓存至今节省了 {n:,} 次调用",
    )
    WORTH = ("{text}, worth {amount}", "{text}，价值 {amount}")
    MOST_HIT = ("Most reused", "复用最多")
    NOT_HERE = ("not on this machine: {start}…", "不在本机：{start}…")
    FAILED_CALLS = ("Failed calls", "调用失败")
    CALL_ENDED = ("{provider}: {outcome}", "{provider}：{outcome}")
    UNREADABLE = ("Files of this machine that cannot be read", "本机无法读取的文件")
    LATEST_RUNS = ("Latest runs", "最近的运行")
    HOST = ("machine", "机器")
    OUTCOME = ("policy, outcome", "策略、结果")
    HITS = ("cached", "命中")
    TIME = ("time", "用时")
