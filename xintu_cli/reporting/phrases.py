"""Every sentence that the displays and the closing word say, in English and Chinese.

Error messages and `--help` are English; so is every key of a file that programs read.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

Say = Callable[..., str]
"""`say(Phrase.X, n=3)`: the phrase in the language chosen, with its values put in."""


class Bilingual(Enum):
    """English and Chinese; where English tells one from many, a bar parts them by `n`."""

    def __init__(self, english: str, chinese: str) -> None:
        self.english = english
        self.chinese = chinese


class Phrase(Bilingual):
    """What runs and reports say."""

    PHOTOS = ("{n:,} photo|{n:,} photos", "{n:,} 张照片")
    PER_SECOND = ("{rate} photos/s", "{rate} 张/秒")
    TIME_LEFT = ("about {time} left", "约剩 {time}")
    SECONDS = ("{s} s", "{s} 秒")
    MINUTES = ("{m} min", "{m} 分钟")
    MINUTES_SECONDS = ("{m} min {s:02d} s", "{m} 分 {s:02d} 秒")
    HOURS_MINUTES = ("{h} h {m:02d} min", "{h} 小时 {m:02d} 分")

    # The bar and its legend.
    CLASSIFYING = ("Classifying", "正在分类")
    FOUND_SO_FAR = ("{n:,} found so far", "已找到 {n:,} 张")
    DONE_OF = ("{done:,} of {found:,}", "{done:,} / {found:,}")
    CACHED = ("cached", "缓存")
    LLM = ("LLM", "大模型")
    LOCAL = ("local", "本地")
    FAILED = ("failed", "失败")
    SKIPPED = ("skipped", "跳过")
    WAITING = ("waiting", "等待")
    PROVISIONAL = ("provisional", "暂定")
    MORE_CATEGORIES = ("and {n:,} more", "另有 {n:,} 类")
    IN_FLIGHT = ("{n}/{limit} in flight", "{n}/{limit} 请求中")
    PAUSED = ("paused {time}", "暂停 {time}")
    OPEN = ("not answering", "无响应")
    NEXT_TRY = ("next try in {time}", "{time}后重试")
    STOPPED = ("not asked again in this run", "本次不再使用")
    UNKNOWN_PRICE = ("unknown price", "价格未知")

    # How it went.
    DONE = ("{photos} in {time}", "{photos}，用时 {time}")
    PARTIAL = (
        "{photos} in {time}; not every one has its answer yet",
        "{photos}，用时 {time}；部分照片尚未得到结果",
    )
    BUDGET = ("Stopped at the budget: {photos} in {time}", "已达预算上限：{photos}，用时 {time}")
    INTERRUPTED = (
        "Interrupted after {time}: everything that was finished is stored",
        "{time}后中断：已完成的结果均已保存",
    )
    BROKEN_OFF = (
        "Broken off after {time}: everything that was finished is stored",
        "{time}后异常结束：已完成的结果均已保存",
    )
    INTERRUPTED_EARLY = (
        "Interrupted after {time}, before any photo was found",
        "{time}后中断，尚未找到任何照片",
    )
    BROKEN_OFF_EARLY = (
        "Broken off after {time}, before any photo was found",
        "{time}后异常结束，尚未找到任何照片",
    )
    NOTHING_FOUND = ("No photos found under {roots}", "在 {roots} 下没有找到照片")
    NOTHING_FOUND_FORMATS = (
        "Photos are JPEG, PNG, WebP, GIF, TIFF, BMP, HEIC and AVIF; a camera's raw files are not.",
        "照片指 JPEG、PNG、WebP、GIF、TIFF、BMP、HEIC 和 AVIF，不含相机的 RAW 文件。",
    )
    NOTHING_FOUND_HINT = (
        "Hidden folders and symbolic links need --hidden and --follow-symlinks.",
        "隐藏目录和符号链接默认不处理，可用 --hidden 或 --follow-symlinks 打开。",
    )
    ANSWERS = ("Answers", "来源")
    FROM_CACHE = ("from the cache", "来自缓存")
    BY_LLM = ("by an LLM", "大模型识别")
    BY_LOCAL = ("by the local model", "本地模型识别")
    COULD_NOT_BE_READ = ("could not be read", "无法读取")
    VANISHED = ("gone before they were read", "读取前已消失")
    WITHOUT_ANSWER = ("without an answer", "尚无结果")
    OF_UNCHANGED = ("{n:,} unchanged", "{n:,} 未改动")
    OF_DUPLICATES = ("{n:,} copy|{n:,} copies", "{n:,} 重复")
    OF_MANUAL = ("{n:,} labelled by hand", "{n:,} 人工标注")
    OF_UPGRADED = ("{n:,} in place of a provisional one", "{n:,} 由暂定结果升级")
    OF_KEPT_LOCAL = ("{n:,} kept on this machine", "{n:,} 未离开本机")
    OF_SPARED = ("{n:,} sure enough to need no call", "{n:,} 足够确定，无需调用")
    PROVISIONAL_NOTE = (
        "{n:,} of them provisional: the local model stood in for an LLM",
        "其中 {n:,} 个为暂定结果：由本地模型代替大模型给出",
    )
    COST = ("Cost", "费用")
    CALLS = ("{n:,} call|{n:,} calls", "{n:,} 次调用")
    RETRIES = ("{n:,} retry|{n:,} retries", "{n:,} 次重试")
    TOKENS = ("{inward:,} tokens in, {outward:,} out", "输入 {inward:,}、输出 {outward:,} 个 token")
    SAVED = (
        "about {money} saved by asking the local model first",
        "先问本地模型，约省 {money}",
    )
    PROVIDER = ("Provider", "服务")
    OF_FAILED = ("{n:,} failed", "{n:,} 次失败")
    LATENCY = ("half within {p50}, 99 % within {p99}", "半数在 {p50}内，99% 在 {p99}内")
    COMMA = (", ", "，")
    SPEED = ("Speed", "速度")
    RESULTS = ("Results", "结果")
    FAILURES = ("Could not be read", "无法读取的照片")
    MORE_FAILURES = (
        "and {n:,} more: --summary FILE lists them",
        "另有 {n:,} 个：用 --summary 文件名 列出",
    )
    NEXT = ("Next", "下一步")
    NEXT_EXPORT = ("get the labels as a table", "把分类结果导出为表格")
    NEXT_RAISE_BUDGET = (
        "Raise --max-calls or --max-cost and run the same command again: it goes on from here.",
        "提高 --max-calls 或 --max-cost 后再次运行同一命令，即可继续。",
    )
    NEXT_CONTINUE = (
        "Run the same command again: it goes on from here, and nothing is paid for twice.",
        "再次运行同一命令即可继续，不会重复付费。",
    )
    NEXT_UPGRADE = (
        "Run the same command again later: it asks an LLM about the provisional ones once more.",
        "稍后再次运行同一命令：会重新向大模型询问暂定的照片。",
    )

    # A dry run.
    DRY_RUN = (
        "Dry run: looked at {photos} in {time}; nothing was classified",
        "试运行：{time}内查看了 {photos}，未做任何分类",
    )
    TO_CLASSIFY = ("still to classify", "待分类")
    PLAN = ("Plan", "计划")
    PLAN_NOTHING = ("nothing is left to classify", "没有需要分类的照片")
    PLAN_LOCAL = (
        "{photos} for the local model: no call, no money, nothing leaves this machine",
        "{photos}由本地模型识别：无调用、无费用、不离开本机",
    )
    PLAN_PROVIDERS = ("{photos} for {names}", "{photos}交给 {names}")
    ABOUT = (
        "about {calls}, {tokens}; {money}",
        "约 {calls}，{tokens}；{money}",
    )
    AT_MOST = (
        "at most about {calls}, {tokens}; {money}",
        "最多约 {calls}，{tokens}；{money}",
    )
    ABOUT_MONEY = ("about {money}", "约 {money}")
    MEASURED = (
        "measured over {n:,} real call|measured over {n:,} real calls",
        "依据 {n:,} 次真实调用",
    )
    BY_FORMULA = ("by formula: no real call has been made yet", "按公式估算：尚无真实调用")
    NEXT_FOR_REAL = (
        "Run the same command without --dry-run.",
        "去掉 --dry-run 再次运行同一命令即可。",
    )

    # The one question about the cloud.
    OFFER = (
        "{variable} is set: {model} at {host} can classify; the local model stays as the net.",
        "已设置 {variable}：可由 {host} 的 {model} 识别照片，本地模型作为后备。",
    )
    OFFER_ESTIMATE = ("{photos} would be sent: {estimate}", "将发送 {photos}：{estimate}")
    OFFER_FORM = (
        "Each goes as a JPEG of at most {edge} pixels, without metadata, name or place.",
        "每张以 JPEG 发送，最长边 {edge} 像素，不含元数据、文件名和位置。",
    )
    OFFER_KEPT = (
        "What the local model takes for one of these stays here: {names}.",
        "本地模型认为属于以下类别的照片不会发送：{names}。",
    )
    OFFER_OTHERS = ("Where that fails, they go to: {hosts}.", "若失败则改发：{hosts}。")
    OFFER_QUESTION = (
        "Send photos to {hosts}, in this run and in later ones?",
        "是否允许本次及以后的运行把照片发送到 {hosts}？",
    )
    OFFER_TAKEN = (
        "Remembered. --policy local keeps a run here; delete {path} to be asked again.",
        "已记住。用 --policy local 可仅在本机运行；删除 {path} 后会再次询问。",
    )
    OFFER_LEFT = (
        "Nothing is sent, now or later, without --policy hybrid; delete {path} to be asked again.",
        "现在和以后都不会发送，除非使用 --policy hybrid；删除 {path} 后会再次询问。",
    )

    # The HTML report.
    CATEGORIES = ("Categories", "分类")
    BY_HAND = ("by hand", "人工")
    CONFIDENCE = ("Confidence", "置信度")
    TAKEN = ("Taken in", "拍摄年份")
    MORE_PHOTOS = ("and {n:,} more", "另有 {n:,} 张")

    # Not a terminal: one line now and then.
    LINE_WALKING = ("looking for photos: {counts}", "正在查找照片：{counts}")
    LINE_DONE = ("{percent} done: {counts}", "已完成 {percent}：{counts}")


def speaker(language: str) -> Say:
    """Return what says a phrase in `language` ("zh", else English)."""

    def say(phrase: Bilingual, /, **values: Any) -> str:
        if language == "zh":
            return phrase.chinese.format(**values)
        one, _, many = phrase.english.partition("|")
        return (many if many and values.get("n") != 1 else one).format(**values)

    return say
