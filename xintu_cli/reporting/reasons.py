"""Why a photo could not be read, for a person: in Chinese where that is the language.

Reasons are kept as they were found, in English: the index and every file that programs read
have them so. One that is not known here is shown as it is. Statistics leave the particulars out.
"""

from __future__ import annotations

import re

_KINDS = {
    "text": "文本",
    "an icon": "图标",
    "a video": "视频",
    "a sound": "音频",
    "a program": "程序",
    "a Photoshop document": "Photoshop 文档",
    "a camera's raw file": "相机 RAW 文件",
    "a Git LFS pointer": "Git LFS 指针",
    "AppleDouble metadata": "AppleDouble 元数据",
    "nothing but zeros": "全为零",
    "a ZIP archive": "ZIP 压缩包",
    "a gzip archive": "gzip 压缩包",
    "a RAR archive": "RAR 压缩包",
    "a 7z archive": "7z 压缩包",
}
_CHINESE = [
    (re.compile(english), chinese)
    for english, chinese in (
        (r"empty file", "空文件"),
        (r"truncated", "文件不完整"),
        (r"permission denied", "没有读取权限"),
        (r"not a supported image \(looks like (?P<kind>.+)\)", "不是支持的图片（像是{kind}）"),
        (r"not a supported image", "不是支持的图片"),
        (r"too large \((?P<w>\d+)×(?P<h>\d+)\)", "尺寸过大（{w}×{h}）"),
        (r"too large \((?P<n>\d+) megapixels\)", "尺寸过大（{n} 百万像素）"),
        (r"too large", "尺寸过大"),
        (r"larger than the limit of (?P<limit>.+) \((?P<size>.+)\)", "超过上限 {limit}（{size}）"),
        (r"larger than the limit of (?P<limit>.+)", "超过上限 {limit}"),
        (r"damaged (?P<format>\w+)", "{format} 已损坏"),
        (r"cannot decode this (?P<format>\w+): (?P<said>.*)", "无法解码此 {format}：{said}"),
        (r"cannot decode this (?P<format>\w+)", "无法解码 {format}"),
        (r"I/O error", "读取出错"),
        (r"I/O error: (?P<said>.*)", "读取出错：{said}"),
        (r"no answer from the disk for (?P<n>\S+) s", "磁盘 {n} 秒没有响应"),
        (r"changed while reading", "读取时文件被改动"),
        (r"cannot read the directory: (?P<said>.*)", "无法读取目录：{said}"),
        (r"there is no such file", "文件不存在"),
        (r"no photo|it is no photo", "不是照片"),
    )
]


def reason_text(reason: str, language: str) -> str:
    """Return the reason in `language`; it is data still, and to be escaped."""
    if language != "zh":
        return reason
    for pattern, chinese in _CHINESE:
        if match := pattern.fullmatch(reason):
            parts = match.groupdict()
            if "kind" in parts:
                parts["kind"] = _KINDS.get(parts["kind"], f" {parts['kind']}")
            return chinese.format(**parts)
    return reason
