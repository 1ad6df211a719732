"""Answers to the tasks of the labs, one module a chapter: data, unet, metrics, and so on.

A lab imports its module as ``check``; each task is a callable there, under the name of what the
student writes: ``check.iou_coefficient(iou_coefficient)``. It answers at once, in words, without a
network.
"""

from labkit.check import waiting
from labkit.check.handin import hand_in
from labkit.check.task import Answer, NotDone, Task

__all__ = ["Answer", "NotDone", "Task", "hand_in"]

waiting.start()
