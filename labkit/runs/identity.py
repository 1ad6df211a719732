"""What identifies a training: a description of everything that shapes it, and a code of that."""

import ast
import dataclasses
import dis
import functools
import hashlib
import inspect
import json
import re
import sys
import sysconfig
import textwrap
import warnings
import weakref
from pathlib import Path
from types import CodeType, MethodType, ModuleType

import keras
import numpy as np
from keras import ops

# Modules of this package that shape every training; those of a training's layers, loss and
# callbacks are added.
SHAPING = {f"labkit.{name}" for name in ("augment", "batches", "losses", "metrics", "training")}
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
NO_SETTINGS = {"__dict__", "__doc__", "__firstlineno__", "__module__", "__weakref__"}

# Keras's callbacks that only watch. Others that do have an attribute ``only_watches``.
WATCHING = ("BackupAndRestore", "CSVLogger", "ModelCheckpoint", "RemoteMonitor", "TensorBoard")

# Objects that a training has changed: their description since, and the one before that training.
# Whoever calls ``train`` again with the same objects means the same training.
_changed = weakref.WeakKeyDictionary()
_configs = weakref.WeakKeyDictionary()  # of optimizers, before the first training


class Identity:
    """The identity of a training, from the arguments of ``training.train``.

    Attributes:
        code: eight characters; equal for trainings with the same result.
        callbacks: those that may shape the training.
        uncompared: names of what ``code`` leaves out, because it can't be compared.
        unseeded: codes of the initial weights by layer, for the layers that ``code`` leaves out:
            their weights are random and have no seed, so that they differ in each session.
        continued: whether the model's weights are what an earlier call with the same arguments
            left; ``code`` is that of its initial weights then.
    """

    def __init__(self, model, train_ds, val_ds, epochs, optimizer, loss, callbacks):
        describe = Description()
        self.model, self.optimizer = model, optimizer
        self.callbacks = [callback for callback in callbacks if not only_watches(callback)]
        self.texts = [
            describe.model(model),
            [describe(batches, "batches") for batches in (train_ds, val_ds) if batches],
            epochs,
            describe(loss, "loss"),
        ]
        others = [optimizer, *self.callbacks]
        self.before = [_before(item, describe.changing(item)) for item in others]
        self.texts += [self.before, describe.labkit_code()]
        self.uncompared = sorted(describe.uncompared)
        weights = initial_weights(model)
        self.initial = _before(model, weights)
        self.continued = self.initial != weights
        is_changed = self.before[0] != Description().changing(optimizer)
        self.config = _configs[optimizer] if is_changed else _config(optimizer)
        self._encode()

    def _encode(self):
        seeded = [code for code, comparable in self.initial.values() if comparable]
        self.unseeded = {
            name: code for name, (code, comparable) in self.initial.items() if not comparable
        }
        self.code = short_hash(repr([*self.texts, seeded]).encode())

    def start_anew(self):
        """Identify the training by the model's present weights."""
        self.initial, self.continued = initial_weights(self.model), False
        self._encode()

    def fresh_optimizer(self):
        """The optimizer, without what an earlier training has changed in it."""
        if not self.optimizer.built:
            return self.optimizer
        return type(self.optimizer).from_config(dict(self.config))

    def leave(self):
        """Remember what the training has changed, at its end."""
        _changed[self.model] = initial_weights(self.model), self.initial
        _configs[self.optimizer] = self.config
        others = [self.optimizer, *self.callbacks]
        for item, before in zip(others, self.before, strict=True):
            _changed[item] = Description().changing(item), before


def only_watches(callback):
    """Whether a callback leaves the training as it is."""
    kinds = tuple(getattr(keras.callbacks, name) for name in WATCHING)
    return isinstance(callback, kinds) or getattr(callback, "only_watches", False)


def _config(optimizer):
    """Settings of an optimizer; ``from_config`` may not know the class of a schedule."""
    rate = getattr(optimizer, "_learning_rate", None)
    is_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    return optimizer.get_config() | ({"learning_rate": rate} if is_schedule else {})


def _before(item, description):
    since, before = _changed.get(item, (None, None))
    return before if since == description else description


def short_hash(data):
    """Eight characters that identify bytes."""
    return hashlib.sha256(data).hexdigest()[:8]


def initial_weights(model):
    """Pairs (code of its weights, whether they can be compared), by layer.

    Weights can be compared if the layer is frozen, so that they come from a file, or if its
    initializers have seeds. Others differ each time the model is built.
    """
    codes = {}
    for number, layer in enumerate(layers_of(model)):
        own = layer._trainable_variables + layer._non_trainable_variables
        if own:
            numbers = b"".join(ops.convert_to_numpy(weight).tobytes() for weight in own)
            comparable = not layer.trainable or _is_seeded(layer)
            codes[f"{number} {layer.name}"] = short_hash(numbers), comparable
    return codes


def weights_code(model):
    """Eight characters that identify a model's weights."""
    return short_hash(b"".join(weight.tobytes() for weight in model.get_weights()))


def layers_of(model):
    """The model and all layers inside it and inside its layers, in order."""
    return list(model._flatten_layers())


def _is_seeded(layer):
    random = [item for item in vars(layer).values() if isinstance(item, keras.Initializer)]
    if not random and not _is_library(type(layer)):  # it may use add_weight's random default
        return False
    return all(item.get_config().get("seed", 0) is not None for item in random)


class Description:
    """Describes objects by their settings and source, so that equal ones have equal texts.

    Code is described without comments and docstrings, together with the functions, classes and
    constants that it uses. What belongs to an installed package has its name only.

    Attributes:
        uncompared: names of what can't be described.
        modules: names of this package's modules that the described objects come from.
    """

    def __init__(self):
        self.uncompared, self.modules = set(), set(SHAPING)
        self.open = []  # what is being described: it may refer to itself
        self.in_callback = False

    def changing(self, item):
        """Describe an optimizer or a callback, both of which a training changes."""
        if not isinstance(item, keras.callbacks.Callback):
            return self(item, "optimizer")
        self.in_callback = True
        names = inspect.signature(type(item).__init__).parameters
        settings = {name: value for name, value in vars(item).items() if name in names}
        described = self(type(item), "callback"), self(settings, type(item).__name__)
        self.in_callback = False
        return repr(described)

    def model(self, model):
        """The configuration of a model, the source of its layers, and what is trained."""
        layers = layers_of(model)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a lambda is unsafe to load
                config = json.loads(model.to_json(), object_hook=_settings)
        except (NotImplementedError, TypeError, ValueError):
            config = [type(layer).__name__ for layer in layers]
            self.uncompared.add(f"settings of {type(model).__name__}, which has no get_config")
        trained = [tuple(variable.shape) for variable in model.trainable_variables]
        code = [(self(type(layer), "layer"), self._parts(layer)) for layer in layers]
        return without_counters(repr(config)), trained, code

    def labkit_code(self):
        """Codes of the modules of this package that shape the training."""
        files = {name: Path(sys.modules[name].__file__) for name in sorted(self.modules)}
        return {name: _file_code(file, file.stat().st_mtime_ns) for name, file in files.items()}

    def __call__(self, value, name):
        """Describe any value; ``name`` is for ``uncompared``."""
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes, Path)):
            return repr(value)
        if any(value is other for other in self.open):
            return "itself"
        self.open.append(value)
        described = self._describe(value, name)
        self.open.pop()
        return described

    def _describe(self, value, name):
        if isinstance(value, ModuleType):
            return value.__name__
        if isinstance(value, (list, tuple, set, frozenset, dict)):
            return self._container(value, name)
        if isinstance(value, functools.partial):
            return self([value.func, value.args, value.keywords], name)
        if isinstance(value, MethodType):
            return self([value.__func__, value.__self__], name)
        if isinstance(value, type):
            return self._class(value)
        if inspect.isroutine(value):
            return self._function(inspect.unwrap(value))
        if hasattr(value, "split") and hasattr(value, "batch_size"):
            settings = value.batch_size, value.seed, value.augmented
            return self(type(value), name), self(settings, name), pixels_code(value.split)
        if dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return self(type(value), name), self(fields, name)
        if isinstance(value, keras.Layer):
            return self._layer(value, name)
        if hasattr(value, "get_config"):
            return self(type(value), name), self._config(value, name), self._parts(value)
        return self._object(value, name)

    def _object(self, value, name):
        array = np.asarray(value) if hasattr(value, "__array__") else np.array(None)
        if array.dtype != object:
            return str(array.dtype), array.shape, short_hash(array.tobytes())
        if hasattr(value, "__dict__") and not _is_library(type(value)):
            return self(type(value), name), self(vars(value), name)
        return self._unknown(value, name)

    def _unknown(self, value, name):
        self.uncompared.add(f"{name} ({type(value).__name__})")
        return type(value).__name__

    def _container(self, value, name):
        if isinstance(value, dict):
            items = [(self(key, name), self(item, str(key))) for key, item in value.items()]
        else:
            items = [self(item, name) for item in value]
        if isinstance(value, (set, frozenset)):
            items.sort(key=repr)
        return type(value).__name__, items

    def _layer(self, layer, name):
        if self.in_callback:  # it may be what is trained
            return self._unknown(layer, name)
        return self.model(layer), [code for code, _ in initial_weights(layer).values()]

    def _config(self, value, name):
        try:
            return without_counters(repr(self(value.get_config(), name)))
        except NotImplementedError:
            return self._unknown(value, name)

    def _parts(self, value):
        """Functions and Keras objects that an object holds; its config has their names only."""
        held = []
        attributes = {} if isinstance(value, keras.Model) else getattr(value, "__dict__", {})
        for part in attributes.values():
            held += part if isinstance(part, (list, tuple)) else [part]
        parts = [part for part in held if inspect.isfunction(part) or hasattr(part, "get_config")]
        return [self(part, "part") for part in parts if not isinstance(part, keras.Layer)]

    def _class(self, kind):
        if _is_library(kind):
            return self._name(kind)
        members = {key: value for key, value in vars(kind).items() if key not in NO_SETTINGS}
        described = [(key, self(_functions(value), key)) for key, value in members.items()]
        return self._name(kind), [self(base, "base") for base in kind.__bases__], described

    def _function(self, function):
        code = getattr(function, "__code__", None)
        if code is None or _is_library(function):
            return self._name(function)
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        values = {key: cell.cell_contents for key, cell in cells if _is_filled(cell)}
        names = _globals(code) & set(function.__globals__)
        values |= {key: function.__globals__[key] for key in names}
        for module in [item for item in values.values() if isinstance(item, ModuleType)]:
            if not _is_library(module):
                values |= {key: vars(module)[key] for key in _names(code) & set(vars(module))}
        used = [(key, self._variable(value, key)) for key, value in sorted(values.items())]
        defaults = self([function.__defaults__, function.__kwdefaults__], "defaults")
        return _source(function), defaults, used

    def _variable(self, value, name):
        if self.in_callback and isinstance(value, (list, dict, set)):  # it may collect results
            return self._unknown(value, name)
        return self(value, name)

    def _name(self, item):
        module = getattr(item, "__module__", None) or "builtins"
        if module.startswith("labkit."):
            self.modules.add(module)
        return f"{module}.{getattr(item, '__qualname__', item)}"


def _settings(config):
    """An item of a model's configuration without what is no setting of the model."""
    if config.get("class_name") == "__lambda__":  # bytecode, which names the notebook's process
        return "lambda"
    return {
        key: value for key, value in config.items() if key not in ("compile_config", "build_config")
    }


def without_counters(text):
    """A text without the numbers that Keras gives unnamed objects, as in ``conv2d_12``."""
    return re.sub(r"_\d+\b", "", text)


def pixels_code(split):
    """A code of all images and masks of a split."""
    code = hashlib.sha256()
    for array in (split.images, split.masks):
        code.update(repr((array.shape, array.dtype)).encode())
        for first in range(0, len(array), 256):  # a memory map is read part by part
            code.update(np.ascontiguousarray(array[first : first + 256]))
    return code.hexdigest()[:16]


def _is_library(item):
    """Whether a class, function or module is Python's, an installed package's or labkit's."""
    module = item.__name__ if isinstance(item, ModuleType) else item.__module__ or "builtins"
    if module.partition(".")[0] == "labkit":
        return True
    if inspect.isfunction(item):
        file = item.__code__.co_filename
    else:
        file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return module != "__main__"
    installed = {"site-packages", "dist-packages"}.intersection(Path(file).parts)
    return bool(installed) or Path(file).is_relative_to(STANDARD_LIBRARY)


def _globals(code):
    """Names of the global variables that a function and the functions inside it read."""
    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    return names.union(*map(_globals, _inner(code)))


def _names(code):
    """All names that a function and the functions inside it use, those of attributes too."""
    return set(code.co_names).union(*map(_names, _inner(code)))


def _inner(code):
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _is_filled(cell):
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _functions(member):
    """The functions of a property, or the function of a static or class method."""
    if isinstance(member, property):
        return [part for part in (member.fget, member.fset) if part]
    return getattr(member, "__func__", member)


def _source(function):
    """The code of a function, as text; its bytecode where there is no source file."""
    try:
        return _plain(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError):
        code = function.__code__
        return code.co_code.hex(), repr([c for c in code.co_consts if not isinstance(c, CodeType)])


@functools.cache
def _file_code(file, changed):
    """A code of a file of Python, which was changed at that time."""
    return short_hash(_plain(file.read_text(encoding="utf-8")).encode())


def _plain(code):
    """Code without comments, docstrings and layout; unchanged if it is a part of a statement."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return code
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
