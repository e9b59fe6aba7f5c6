"""What the smaller commands say they did, in English and Chinese."""

from __future__ import annotations

from xintu_cli.reporting.phrases import Bilingual


class Deed(Bilingual):
    """One line of a command, or the question before it."""

    MORE = ("… and {n:,} more", "……另有 {n:,} 个")

    # label
    ASK_LABEL = ("Label {n:,} files as {name}?", "把 {n:,} 个文件标注为 {name}？")
    ASK_CLEAR = ("Take your word on {n:,} files back?", "收回对 {n:,} 个文件的标注？")
    LABELLED = ("{n:,} photo labelled|{n:,} photos labelled", "已标注 {n:,} 张照片")
    LABELLED_AS = (
        "{n:,} photo labelled: {name}|{n:,} photos labelled: {name}",
        "已标注 {n:,} 张照片：{name}",
    )
    TAKEN_BACK = (
        "{n:,} label taken back, of {photos}|{n:,} labels taken back, of {photos}",
        "已收回 {n:,} 个标注，共查看 {photos}",
    )

    # export, report
    EXPORTING = ("exporting", "正在导出")
    THUMBNAILS = ("making thumbnails", "正在生成缩略图")
    ROWS_IN = ("{n:,} row in {name}|{n:,} rows in {name}", "{name} 共 {n:,} 行")
    PHOTOS_IN = ("{photos} in {name}", "{name} 共 {photos}")

    # config
    SETTING = ("setting", "设置")
    VALUE = ("value", "值")
    FROM = ("from", "来源")
    SET = ("set", "已设置")
    NOT_SET = ("not set", "未设置")
    WROTE_CONFIGURATION = (
        "wrote {path}: every setting is explained there.",
        "已写入 {path}：其中对每项设置都有（英文）说明。",
    )

    # cache info
    CACHE_INFO = (
        "cache id {cache_id}, schema {schema}, size {size}",
        "缓存标识 {cache_id}，结构版本 {schema}，大小 {size}",
    )
    SIZE_UNKNOWN = ("unknown", "未知")
    ANSWERS_FROM = ("answers from", "结果来源")
    PHOTOS = ("photos", "照片")
    BY_HAND = ("manual", "人工")
    BY_LLM = ("llm", "大模型")
    BY_LOCAL = ("local", "本地模型")
    ROWS = ("rows: {rows}", "各表行数：{rows}")

    # cache check
    CHECKED = (
        "{photos}: {answered:,} answered{by}, {provisional:,} provisional, {rest}",
        "{photos}：{answered:,} 已有结果{by}，{provisional:,} 暂定，{rest}",
    )
    CHECKED_REST = (
        "{missing:,} to classify, {unreadable:,} unreadable",
        "{missing:,} 待分类，{unreadable:,} 无法读取",
    )
    CHECKED_BY = (" ({sources})", "（{sources}）")
    MANUAL = ("{n:,} manual", "人工 {n:,}")
    LLM = ("{n:,} llm", "大模型 {n:,}")
    LOCAL = ("{n:,} local", "本地 {n:,}")

    # cache prune
    DELETED = ("deleted {n:,} {what}", "已删除 {n:,} 条{what}")
    WOULD_DELETE = ("would delete {n:,} {what}", "将删除 {n:,} 条{what}")
    DELETED_NOTHING = (
        "deleted nothing: nothing has served its time",
        "没有删除任何内容：没有过期的记录",
    )
    WOULD_DELETE_NOTHING = (
        "would delete nothing: nothing has served its time",
        "不会删除任何内容：没有过期的记录",
    )
    LOG_ROWS = ("rows of the log (their daily totals stay)", "日志（每日合计保留）")
    SETTLEMENTS = ("records of settled batches", "入账记录")
    CLAIMS = ("claims of runs that died", "意外终止的运行的占用")
    REFUSALS = ("refusals that are over", "已到期的拒绝记录")
    OTHER_MODELS = ("answers of other local models", "其他本地模型的结果")
    TASK_ANSWERS = ("answers to the named task", "指定任务的结果")
    INDEX_ENTRIES = ("index entries of files that are gone", "已消失文件的索引")
    ROOT_KEPT = (
        "{root} is empty or cannot be read: is the disk mounted? Nothing of it was forgotten.",
        "{root} 为空或无法读取：磁盘是否已挂载？其中的记录均未删除。",
    )

    # cache migrate, copy
    STEPS = ("took {n:,} step|took {n:,} steps", "执行了 {n:,} 步")
    NO_STEPS = ("nothing to do", "无需操作")
    SCHEMA = (
        "{url}: {what}, the schema is this version's",
        "{url}：{what}，表结构与本版本一致",
    )
    COPYING = ("copying", "正在复制")
    COPIED = ("{n:,} row copied to {url}|{n:,} rows copied to {url}", "已复制 {n:,} 行到 {url}")
    NOT_COPIED = (
        "{n:,} row left out: not xintu's own|{n:,} rows left out: not xintu's own",
        "略过不是 xintu 写入的 {n:,} 行",
    )
