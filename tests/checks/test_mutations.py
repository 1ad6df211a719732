"""Every small change of a reference solution is refused, or is listed here as no mistake.

A change that no case of a task notices is a missing case.
"""

import ast
import difflib
import sys

import pytest
from answers import verdict
from mutation import mutants
from test_mistakes import each_task, quiet  # noqa: F401 - a fixture

from labkit.check.engine import source_of

pytestmark = pytest.mark.slow

# By task: lines of the reference after a change that is no mistake, because nothing that the task
# asks for depends on it (an order, a default that the notebook gives, a case that can't occur).
RIGHT = {
    "2.1": {"return counts[1:] / max(np.size(pixels), 1)"},
    "2.2": {
        "across = (mask[:, 1:], mask[:, :-1])",
        "down = (mask[1:], mask[:-1])",
        "for other, one in (across, down):",
        "for one, other in (down, across):",
        "np.add.at(counts, (other, one), 1)",
    },
    "2.4": {
        "def load_image_train(datapoint, image_size=129):",
        "def load_image_train(datapoint, image_size=127):",
        "return (image, mask - 1)",  # resizing made it float
    },
    "2.6": {  # no share is below 0 or above 1
        "def suspicious(masks, class_id, lowest=-1.0, highest=1.0):",
        "def suspicious(masks, class_id, lowest=0.0, highest=2.0):",
    },
    "3.2": {
        "for made, skip in zip(filters, skips):",
        "for made, skip in zip(filters, skips, strict=False):",
    },
    "3.3": {
        "def decoder(taps, num_classes=4):",
        "def decoder(taps, num_classes=2):",
        "x = layers.Concatenate()([skips.pop(), x])",
    },
    "3.5": {"return mask"},  # masks may lack the last axis
    "4.1": {
        "predicted, true = (np.sum(mask == class_id), np.sum(pred_mask == class_id))",
        "true, predicted = (np.sum(pred_mask == class_id), np.sum(mask == class_id))",
    },
    "4.2": {
        "predicted, true = (np.sum(mask == class_id), np.sum(pred_mask == class_id))",
        "true, predicted = (np.sum(pred_mask == class_id), np.sum(mask == class_id))",
    },
    "5.3": {"if step <= rise:"},  # both formulas give the peak
    "5.4": {  # Keras converts, predicts by default, and the batch has one image
        "logits = model(batch, training=False)",
        "logits = ops.convert_to_numpy(model(batch))",
        "return masks[-1]",
    },
    "5.5": {
        "pass",  # for super().__init__()
        "super()",
        "logits = self.model(self.image[None])",
        "pred_mask = np.argmax(logits, axis=-1)[-1]",
    },
    "7.1": {
        "predicted, true = (masks == 0, pred_masks == 0)",
        "true, predicted = (pred_masks == 0, masks == 0)",
        "score = both / either",  # np.where replaces 0 / 0
        "score = both / np.maximum(1, either)",
        "score = both / np.maximum(either, 0)",
    },
    "7.3": {
        "pass",  # for np.asarray(values, float)
        "values = values",
        "def interval(values, seed=1, draws=1000):",
        "def interval(values, seed=-1, draws=1000):",
        "def interval(values, seed=0, draws=1001):",
        "def interval(values, seed=0, draws=999):",
    },
    "7.5": {"ranks = pd.DataFrame(pairs).rank()", "return table.iloc[1, 0]"},
    "9.2": {
        "counts = np.bincount(masks[masks <= num_classes], minlength=num_classes)",
        *(
            f"return np.where(shares > 0, 1 / np.sqrt(num_classes * {positive}), 0)"
            for positive in (
                "shares",
                "np.maximum(1e-12, shares)",
                "np.maximum(shares, -0.999999999999)",
                "np.maximum(shares, 2e-12)",
                "np.maximum(shares, 5e-13)",
            )
        ),
    },
    "9.4": {"return np.sum(sizes >= smallest)"},
    "10.1": {"logits = model.get_layer('logits')(x)"},
    "10.2": {
        "return differences",
        "seeds = sorted(before & after.keys())",
        "seeds = sorted(before.keys() & after)",
    },
    "10.5": {
        "accuracy = metrics.accuracy(pred, masks)",
        "mean_iou = metrics.mean_iou(pred, masks)",
    },
}


def changed_lines(old, new):
    return " ".join(
        line[2:].strip()
        for line in difflib.ndiff(old.splitlines(), new.splitlines())
        if line[0] == "+"
    )


@each_task
def test_a_small_change_is_refused(task):
    source = ast.unparse(ast.parse(source_of(task.reference)))
    sources, accepted = list(mutants(source)), []
    for text in sources:
        namespace = dict(vars(sys.modules[task.reference.__module__]))
        exec(compile(text, "<mutant>", "exec"), namespace)
        if verdict(task, namespace[task.reference.__name__]).passed:
            accepted.append(changed_lines(source, text))
    assert len(sources) > 5
    assert sorted(accepted) == sorted(RIGHT.get(task.number, ()))
