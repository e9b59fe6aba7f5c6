"""What `xintu evaluate` says, in English and Chinese."""

from __future__ import annotations

from xintu_cli.reporting.phrases import Bilingual


class EvaluationPhrase(Bilingual):
    """Headings and sentences of an evaluation."""

    EVALUATING = ("evaluating", "正在评测")
    HEADLINE = (
        "{photos}: accuracy {accuracy}, macro-F1 {f1}, calibration error {ece}",
        "{photos}：准确率 {accuracy}，宏平均 F1 {f1}，校准误差 {ece}",
    )
    LATENCY = ("{time}, {rate}; {latency} ms", "{time}，{rate}；{latency} 毫秒")
    ANSWERS = ("answers: {sources}", "来源：{sources}")
    NONE = ("none", "无")
    STOOD_IN = (
        "for {photos} no LLM answered: the local model stood in, and is measured there",
        "{photos}未得到云端回答：由本地模型代答，计入以上指标",
    )
    STOPPED = ("stopped early: {reason}", "提前停止：{reason}")
    CATEGORIES = ("category: photos, precision, recall, F1", "类别：张数、精确率、召回率、F1")
    CONFUSION = (
        "confusion: what it is (row), what was said (column)",
        "混淆矩阵：实际类别（行）、识别结果（列）",
    )
    MIXED_UP = ("mixed up most", "最常混淆")
    CALIBRATION = (
        "calibration: answers so sure, and how many of them were right",
        "校准：置信度、张数、其中正确的比例",
    )
    MISTAKES = ("mistakes: {n:,}, the most confident first", "识别错误：{n:,} 张，置信度最高的在前")
    IS_REALLY = (", is {name}  ", "，实为 {name}  ")
    FAILURES = ("without an answer: {n:,}", "没有结果：{n:,} 张")
