"""Checks of the labs' tasks, one module a lab: data, unet, metrics, and so on.

A lab imports its module as ``check``; each task is a callable there, under the name of what the
student writes: ``check.iou_coefficient(iou_coefficient)``. It answers at once, in words, without a
network.

To write a task, decorate its reference solution with ``task`` and name the mistakes to recognize.
"""

from labkit.check import waiting
from labkit.check.answer import Answer, NotDone
from labkit.check.engine import Task, task
from labkit.check.handin import hand_in

__all__ = ["Answer", "NotDone", "Task", "hand_in", "task"]

waiting.start()
