"""The few questions of `xintu config init`, asked on a terminal alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import typer

from xintu_cli.cli.exits import say
from xintu_cli.errors import ConfigurationError
from xintu_cli.providers.catalog import CATALOG
from xintu_cli.reporting.phrases import Bilingual, Say, speaker
from xintu_cli.routing import Policy
from xintu_cli.storage.urls import mysql_address, sqlite_path

LANGUAGES = ("en", "zh")


class Question(Bilingual):
    """What is asked, and what is said to an answer that is none."""

    LANGUAGE = ("Language of names and texts ({choices})", "名称和文字的语言（{choices}）")
    WHERE_PHOTOS_GO = (
        "local: nothing leaves this machine. hybrid, cloud, cascade: photos go to a provider.",
        "local：照片不离开本机。hybrid、cloud、cascade：照片会发送给模型服务。",
    )
    POLICY = ("Policy ({choices})", "策略（{choices}）")
    PROVIDER = ("Provider ({choices})", "模型服务（{choices}）")
    MAX_COST = ("Spend at most, a run (0: no limit)", "每次运行最多花费（0 表示不限）")
    CACHE = (
        "Shared cache, mysql://user@host/database (empty: a file of your own)",
        "共享缓存，mysql://用户@主机/数据库（留空则使用本机文件）",
    )
    NONE_OF_THEM = ("{answer!r} is none of {choices}.", "{answer!r} 不是 {choices} 之一。")


def ask_settings(language: str) -> dict[str, Any]:
    """Ask for what differs from person to person; return settings that are right."""
    answers: dict[str, Any] = {}
    answers["lang"] = _choose(Question.LANGUAGE, LANGUAGES, language, speaker(language))
    tell = speaker(answers["lang"])
    say(tell(Question.WHERE_PHOTOS_GO))
    answers["policy"] = _choose(Question.POLICY, (p.value for p in Policy), Policy.LOCAL, tell)
    if answers["policy"] != Policy.LOCAL:
        names = [entry.name for entry in CATALOG]
        answers["provider"] = [_choose(Question.PROVIDER, names, names[0], tell)]
        if most := _ask_amount(tell):
            answers["max_cost"] = most
    if url := _ask_cache(tell):
        answers["cache"] = url
    return answers


def _choose(question: Question, choices: Iterable[str], default: str, tell: Say) -> str:
    among = tuple(choices)
    shown = ", ".join(among)
    while True:
        prompt = tell(question, choices=shown)
        answer: str = typer.prompt(prompt, default=str(default), err=True).strip().lower()
        if answer in among:
            return answer
        say(tell(Question.NONE_OF_THEM, answer=answer, choices=shown))


def _ask_amount(tell: Say) -> float:
    """Ask for an amount of money; typer asks again for what is no number."""
    while True:
        amount: float = typer.prompt(tell(Question.MAX_COST), default=0.0, type=float, err=True)
        if 0 <= amount < float("inf"):
            return amount


def _ask_cache(tell: Say) -> str:
    while True:
        url: str = typer.prompt(tell(Question.CACHE), default="", show_default=False, err=True)
        url = url.strip()
        try:
            if url:
                _ = sqlite_path(url) if url.startswith("sqlite:") else mysql_address(url)
        except ConfigurationError as error:
            say(str(error))
        else:
            return url
