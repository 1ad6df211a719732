"""Submissions that want more than result: each gets a row with a reason, and no point too many."""

import hashlib
import os
import platform
from pathlib import Path

import pytest
from conftest import GOOD, TASKS

from labkit.check import Task
from labkit.grade.grader import grade
from labkit.grade.sandbox import CALLS, Limits
from labkit.grade.session import Ended, Session

slow = pytest.mark.slow


def few(names, *kept):
    """Parameters of a test: one of each kind of attack; the others are slow."""
    return [pytest.param(name, marks=() if name in kept else slow) for name in names]


# Little room but much time: a slow machine must not decide which limit is met first.
TIGHT = Limits(cpu_seconds=90, seconds=300, memory=400 * 1024**2, processes=12, disk=20 * 1024**2)
SHORT = {"endless": {"cpu_seconds": 1}, "waits": {"seconds": 4}}  # what nothing but time ends

# The name that the system shows of a process.
NAMED = "import ctypes\nctypes.CDLL(None).prctl(15, b'{}')"

# What ends the process, or breaks a limit: source of the cells, words of the reason.
ENDED = {
    "endless loop": (["while True:\n    pass"], "computed for longer"),
    "endless loop in the function": (["def double(x):\n    while True:\n        pass"], "computed"),
    "fork bomb": (["import os\nwhile True:\n    os.fork()"], "processes"),
    "fork bomb of a shell": (["!bomb() { bomb | bomb & }; bomb; sleep 20"], "processes"),
    "memory bomb": (["x = []\nwhile True:\n    x.append(bytearray(2**25))"], "memory"),
    "memory bomb of children": (
        [
            "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n"
            "        x = bytearray(10**8)\n        time.sleep(20)",
            "time.sleep(20)",
        ],
        "memory",
    ),
    "leaves at once": (["import os\nos._exit(0)"], "ended its process"),
    "aborts": (["import os\nos.abort()"], "ended its process"),
    "crashes": (["import ctypes\nctypes.string_at(0)"], "ended its process"),
    "kills everybody": (
        ["import os\nos.kill(-1, 9)", "os.kill(os.getpid(), 9)"],
        "ended its process",
    ),
    "closes the pipe": (
        ["import os\nos.closerange(3, 64)"],
        "ended its process",
    ),
    "says nonsense on the pipe": (
        [
            "import os\nfor n in range(3, 64):\n    try:\n        os.write(n, b'nonsense\\n')\n"
            "    except OSError:\n        pass"
        ],
        "",
    ),
    "waits for ever in a child": (
        ["import subprocess\nsubprocess.run(['sleep', '1000'])"],
        "took longer than",
    ),
    "waits under a name that is no text": (
        [NAMED.format(r"\xff\xfe"), "import time\ntime.sleep(60)"],
        "took longer than",
    ),
    "much memory under a name that looks like a line": (
        [NAMED.format(r"\rRssAnon: -9e9"), "import time\nx = bytearray(10**9)\ntime.sleep(20)"],
        "memory",
    ),
}


ENDED_FEW = few(
    ENDED,
    *("endless loop", "fork bomb", "memory bomb", "memory bomb of children", "leaves at once"),
    *("kills everybody", "says nonsense on the pipe", "waits for ever in a child"),
)


@pytest.mark.parametrize("name", ENDED_FEW)
def test_what_breaks_a_limit_is_ended_and_told(place, write, name):
    cells, reason = ENDED[name]
    limits = Limits(**vars(TIGHT) | SHORT.get(name.split()[0], {}))
    found = grade(write(*cells), None, limits=limits, backend=place)
    assert found.points == 0
    assert found.problem and reason in found.problem


def test_what_can_not_be_watched_is_ended(place, write, monkeypatch):
    monkeypatch.setattr(place, "used", lambda self: 1 / 0)
    found = grade(write("import time\ntime.sleep(20)", GOOD), None, backend=place)
    assert (found.points, found.problem) == (0, "could not be watched: ZeroDivisionError")


def test_a_reply_that_was_under_way_does_not_count(place):
    with Session(backend=place) as session:
        assert session.run(["x = 1"]) == [None]
        session.sandbox.ended = "took more memory"
        with pytest.raises(Ended, match="took more memory"):
            session.value("x")


# What goes on: the good answer that comes after counts.
HARMLESS = {
    "endless output": "for _ in range(100_000):\n    print('x' * 1000)",
    "endless errors": "import sys\nfor _ in range(100_000):\n    sys.stderr.write('x' * 1000)",
    "kills its parent": "import os\nfor pid in {os.getppid(), 1}:\n    os.kill(pid, 9)",
    "sys.exit": "import sys\nsys.exit(1)",
    "asks for input": "name = input('Your name?')",
    "interrupts itself": "raise KeyboardInterrupt",
    "no Python": "this is no Python at all",
    "shell magic": "!rm -rf /usr/bin /lib64 ~ ; echo done",
    "deletes its tools": "import gc\ngc.disable()\n%reset -f",
    "another language": "%%bash\nrm -rf ~ /private /usr/bin",
    "unknown magic": "%no_such_magic",
    "installs a package": "%pip install requests",
    "opens a socket": "import socket\nsocket.create_connection(('1.1.1.1', 53), timeout=2)",
    "listens": "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 8888))\ns.listen()",
    "fills the disk": "with open('big', 'wb') as file:\n    for _ in range(100):\n"
    "        file.write(bytes(10**6))",
    "many files": "for n in range(3000):\n    open(f'file{n}', 'w').close()",
    "catches everything": "import signal\nfor n in range(1, 32):\n    try:\n"
    "        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass",
    "a thread that outlives": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(1000,)).start()",
    "a child that outlives": "import subprocess\nsubprocess.Popen(['sleep', '1000'])",
    "recursion": "def f():\n    return f()\n\nf()",
    "an error without a text": "class E(Exception):\n    __str__ = lambda self: 1 / 0\n\nraise E",
}


HARMLESS_FEW = few(
    HARMLESS,
    *("kills its parent", "sys.exit", "no Python", "opens a socket", "fills the disk"),
    *("catches everything", "a child that outlives"),
)


@pytest.mark.parametrize("name", HARMLESS_FEW)
def test_what_does_no_harm_costs_nothing(place, write, name):
    found = grade(write(HARMLESS[name], GOOD), None, limits=TIGHT, backend=place)
    assert (found.points, found.problem) == (2, "")


def test_nothing_outlives_its_submission(place, write):
    mark = f"sleep 98{os.getpid()}"  # no other test, at the same time, has this one
    grade(
        write(f"import subprocess\nsubprocess.Popen('{mark}'.split(), start_new_session=True)"),
        None,
        backend=place,
    )
    running = [
        path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if os.access(path, os.R_OK)
    ]
    assert not [words for words in running if words.startswith(mark)]


# --- what it must not see or change ---------------------------------------------------------------

LOOK = """
from pathlib import Path
def double(x):
    return x + x
seen = []
for place in PLACES:
    try:
        place = Path(place)
        seen.append(place.read_text() if place.is_file() else str(list(place.iterdir())))
    except OSError:
        pass
why = ' '.join(seen)
"""


def test_it_sees_no_other_submission_no_home_and_no_check(place, write, tmp_path, monkeypatch):
    other = write("secret = 'of another student'", name="other.ipynb")
    hidden = tmp_path / "hidden.py"
    hidden.write_text("SECRET = 'of the teacher'")
    places = [str(place) for place in (other.path, other.path.parent, hidden)]
    places += [str(Path.home() / ".ssh"), str(Path(__file__).parents[2] / "book"), "/etc/shadow"]
    spy = write(LOOK.replace("PLACES", repr(places)), name="spy.ipynb")
    found = grade(spy, None, backend=place)
    assert found.problem == "" and found.words["9.2"] == ""


@pytest.mark.parametrize("folder", few(["/private", "/dev/shm"], "/dev/shm"))
def test_what_it_can_write_is_limited(place, write, folder):
    fill = f"""
parts = 0
try:
    for parts in range(100):
        with open('{folder}/' + str(parts), 'wb') as file:
            file.write(bytes(10**6))
    why = 'all was written'
except OSError:
    why = 'the disk is full'
"""
    assert grade(write(fill), None, limits=TIGHT, backend=place).words["9.2"] == "the disk is full"


# Memory that belongs to no process, so that whoever counts by process does not see it.
NOBODYS = {
    "memfd": """
import os
files = []
try:
    for _ in range(30):
        files.append(os.memfd_create('x'))
        os.write(files[-1], bytes(18 * 10**6))
    why = 'all was written'
except OSError:
    why = 'it was refused'
""",
    "shmget": """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
why = 'all was written'
for _ in range(30):
    number = libc.shmget(0, 18 * 10**6, 0o1600)
    if number == -1:
        why = 'it was refused'
        break
    place = libc.shmat(number, None, 0)
    ctypes.memset(place, 1, 18 * 10**6)
    libc.shmdt(ctypes.c_void_p(place))
""",
    "semget": """
import ctypes
libc = ctypes.CDLL(None)
made = all(libc.semget(0, 32000, 0o1600) != -1 for _ in range(300))  # 2 MB each
why = 'all was written' if made else 'it was refused'
""",
    "msgget": """
import ctypes
libc = ctypes.CDLL(None)
message = ctypes.create_string_buffer(b'1', 8008)
queues = (libc.msgget(0, 0o1600) for _ in range(31000))
made = all(libc.msgsnd(queue, message, 8000, 0) == 0 for queue in queues for _ in range(2))
why = 'all was written' if made else 'it was refused'
""",
    "page tables": """
import mmap, time
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
mapped = mmap.mmap(-1, 2**38, flags, mmap.PROT_READ)
for place in range(0, 2**38, 2**21):  # a table of 4 kB each, and the one page of zeros
    mapped[place]
time.sleep(5)
why = 'all was written'
""",
    "sockets": """
import socket
pairs = []
try:
    for _ in range(400):
        pairs.append(socket.socketpair())
        pairs[-1][0].setblocking(False)
        pairs[-1][0].send(bytes(10**5))
    why = 'all was written'
except OSError:
    pairs.clear()
    why = 'it was refused'
""",
    "a file system of its own": """
import subprocess
fill = 'for n in $(seq 30); do head -c 18000000 /dev/zero > /private/$n; done'
done = subprocess.run(['unshare', '-Urm', 'sh', '-ec', 'mount -t tmpfs none /private; ' + fill])
why = 'it was refused' if done.returncode else 'all was written'
""",
    **{
        f"a space of its own by {name}": f"""
import ctypes, os, struct
libc = ctypes.CDLL(None)
number = {numbers}[os.uname().machine]
found = libc.syscall(number, {arguments})
if found == 0 and number in (56, 220, 435):
    os._exit(0)
why = 'it was refused' if found == -1 else 'all was written'
"""
        for name, numbers, arguments in (
            ("clone", {"x86_64": 56, "aarch64": 220}, "0x10000011, 0, 0, 0, 0"),
            (
                "clone3",
                {"x86_64": 435, "aarch64": 435},
                "struct.pack('11Q', 1 << 28, *[0] * 3, 17, *[0] * 6), 88",
            ),
        )
    },
}


@pytest.mark.skipif(platform.machine() not in CALLS, reason="no filter for this processor")
@pytest.mark.parametrize("name", few(NOBODYS, "memfd"))
def test_memory_of_no_process_is_limited_too(place, write, name):
    found = grade(write(NOBODYS[name]), None, limits=TIGHT, backend=place)
    assert "memory" in found.problem or found.words["9.2"] == "it was refused"


def test_it_changes_nothing_outside(place, write):
    course = Path(__file__).parents[2]
    files = [course / "labkit" / "metrics.py", course / "README.md"]
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    overwrite = "\n".join(
        f"try:\n    open({str(path)!r}, 'w').write('mine')\nexcept OSError:\n    pass"
        for path in [*files, "/x", "/usr/x", "/dev/shm/x"]
    )
    found = grade(
        write(overwrite, "import shutil\nshutil.rmtree('/', ignore_errors=True)", GOOD),
        None,
        backend=place,
    )
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] == before
    assert not Path("/x").exists() and not Path("/usr/x").exists()
    assert found.problem == ""


def test_environment_and_arguments_tell_nothing(place, write, monkeypatch):
    monkeypatch.setenv("TEACHERS_TOKEN", "secret")
    found = grade(write("import os\nwhy = ' '.join(sorted(os.environ))"), None, backend=place)
    assert "TEACHERS_TOKEN" not in found.words["9.2"]


# --- what gains no score --------------------------------------------------------------------------

WORK = """
Work = next(kind for kind in object.__subclasses__() if kind.__name__ == 'Work')
def says(*values):
    Work.attempt = lambda *_, **__: values[0] if len(values) == 1 else [
        {'value': value, 'error': None, 'changed': False} for value in values]
"""
CHEATS = {
    "changes the checks": "import labkit.check.engine as t\nt.Task.verdict = lambda *_: None\n"
    "t.Answer.passed = True",
    "changes the worker": WORK + "says({'plain': True}, {'plain': True})",
    "says that it passed": WORK + "says({'passed': True, 'points': 100})",
    "sends code in the place of data": WORK + "says({'array': 'gASVAAAA'}, {'array': 'gASVAAAA'})",
    "sends too much": WORK + "says('x' * (80 * 1024**2))",
    "sends a deep nest": WORK + "d = {'plain': 1}\nfor _ in range(400):\n    d = {'list': [d]}\n"
    "says(d, d)",
    "sends an array of a size that nobody has": WORK + "import base64, io\nimport numpy as np\n"
    "f = io.BytesIO()\nnp.lib.format.write_array_header_1_0(f, {'descr': '<f8', "
    "'fortran_order': False, 'shape': (10**13,)})\n"
    "a = {'array': base64.b64encode(f.getvalue()).decode()}\nsays(a, a)",
    "sends brackets without end": WORK + "import json\njson.dumps = lambda _: '[' * 10**6",
    "writes false results": "open('results.json', 'w').write('{\"score\": 100}')",
    "an object equal to everything": "class Yes:\n    __eq__ = lambda *_: True\n"
    "    __array__ = lambda *_, **__: 1 / 0\n\ndef double(x):\n    return Yes()",
    "an array that lies": "import numpy as np\nclass Lies(np.ndarray):\n    shape = (3,)\n\n"
    "def double(x):\n    return np.zeros(9).view(Lies)",
}


CHEATS_FEW = few(
    CHEATS, "changes the checks", "changes the worker", "sends code in the place of data",
    "an object equal to everything",
)  # fmt: skip


@pytest.mark.parametrize("name", CHEATS_FEW)
def test_no_score_is_gained(place, write, name):
    found = grade(write(CHEATS[name]), None, limits=Limits(memory=1024**3), backend=place)
    assert found.points == 0


MORE = {"9.1": Task("9.1", "double", ((2.5,),), lambda value: 2 * value)}


def test_a_changed_worker_is_believed_for_data_alone(place, write):
    """Without which the collection above would try nothing."""
    found = grade(write(WORK + "says({'number': '5'}, {'number': '5'})"), None, backend=place)
    assert found.answers["9.1"].got == "5"


def test_a_hidden_check_stays_outside_and_counts(place, write):
    assert grade(write(GOOD), None, MORE, backend=place).points == 2
    by_heart = (
        "def double(x):\n    return [2, 4, 6] if hasattr(x, 'shape') else 14\n\nwhy = 'a b c'"
    )
    found = grade(write(by_heart), None, MORE, backend=place)
    assert found.points == 1
    assert found.answers["9.1"].hint == "A hidden check is not passed."
    assert "2.5" not in repr(found)


# Who remembers what it was asked, and tells it: in a later answer, or in a reply that is none.
TELLS = {
    "in a text": GOOD
    + "\ndef double(x):\n    global why\n    why = f'I was asked {x}'\n    return 2 * x",
    "in another task": "def double(x):\n    double.asked = x\n    return 2 * x\n\n"
    "def halve(x):\n    return getattr(double, 'asked', x)",
    "in a reply": GOOD
    + WORK
    + """
before = Work.attempt
def attempt(self, name, cases):
    if len(cases) == 1:
        return [{'value': {'none': str(cases)}, 'error': None, 'changed': False}]
    return before(self, name, cases)
Work.attempt = attempt
""",
}


@pytest.mark.parametrize("name", few(TELLS, "in a reply"))
def test_a_hidden_case_is_told_nowhere(place, write, monkeypatch, name):
    halve = Task("9.3", "halve", ((1,), (2,)), lambda value: value / 2)
    monkeypatch.setitem(TASKS, "9.3", halve)
    found = grade(write(TELLS[name]), None, MORE, backend=place)
    assert "2.5" not in repr(found)


def test_who_ends_in_a_hidden_check_has_not_passed_it(place, write):
    ends = "import os\ndef double(x):\n    return os._exit(0) if str(x) == '2.5' else 2 * x"
    found = grade(write(GOOD, ends), None, MORE, backend=place)
    assert (found.points, found.problem) == (1, "it ended its process")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import inspect\ninspect.getsource(double)", "getsource"),
        ("from labkit.check import metrics as check\ncheck.mean_iou.reference", ".reference"),
        ("from labkit.check import metrics as check\ncheck.mean_iou.mutant()", ".mutant"),
    ],
)
def test_looking_for_the_answer_is_noted(place, write, code, said):
    found = grade(write(GOOD, code), None, backend=place)
    assert found.notes == (f"its code says {said}",)
