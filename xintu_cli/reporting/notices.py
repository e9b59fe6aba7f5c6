"""What a run says in passing, in English and Chinese."""

from __future__ import annotations

from xintu_cli.reporting.phrases import Bilingual


def claimed_by_the_dead(photos: int) -> str:
    """Say that calls about so many photos may have been paid for in vain."""
    return (
        f"{photos:,} photo{'s were' if photos > 1 else ' was'} claimed by a run that died: "
        "what was in flight there may have been paid for without an answer"
    )


class Notice(Bilingual):
    """One thing a person should know; a reporter escapes what is put in."""

    DRAINING = (
        "interrupted: finishing what is in flight, {seconds:g} s at most; once more stops at once",
        "已中断：正在完成进行中的照片，最多 {seconds:g} 秒；再按一次立即停止",
    )
    OTHERS_AT_WORK = (
        "another run is classifying the rest: waiting for it ({seconds:g} s at most if it died)",
        "其余照片正由另一个任务分类，正在等待；若该任务已中断，最多等待 {seconds:g} 秒",
    )
    NOTHING_BELOW = (
        "nothing was found below {root}. {hint}",
        "在 {root} 下没有找到任何文件。{hint}",
    )
    NOT_MOUNTED = ("Is the disk mounted?", "磁盘是否已挂载？")
    PATTERNS = (
        "Do --include and --exclude leave anything?",
        "--include 和 --exclude 是否排除了全部文件？",
    )
    LEFT_OUT = (
        "Left out: {names} (--hidden looks into them).",
        "已跳过：{names}（用 --hidden 打开）。",
    )
    LINKS = (
        "symbolic links not followed: {n:,} ({names}); --follow-symlinks follows them",
        "未跟随 {n:,} 个符号链接：{names}（可用 --follow-symlinks 跟随）",
    )
    UNSERVED = (
        "the local model never answers with these categories of {taxonomy}: {names}. {hint}",
        "本地模型不会给出 {taxonomy} 的这些类别：{names}。{hint}",
    )
    TEACH = (
        "Teach it: xintu models train DIR --taxonomy …",
        "可以训练它：xintu models train 目录 --taxonomy …",
    )
