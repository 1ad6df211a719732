"""The network and its runtime for the page "Try it on your photo", as one script for browsers.

    python book/_tools/photo.py FILE

A script, because a page that is opened from a folder can load scripts and no other files. It has
ONNX Runtime Web, the trained network as ONNX, and drawn pets. ONNX Runtime Web comes from npm, in
the version of package-lock.json; without npm or a network the book is built without the script.
This module is also the Sphinx extension that fills the page.
"""

import base64
import gzip
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import keys
import paths
from docutils import nodes
from docutils.parsers.rst import Directive

FOLDER = paths.BUILD / "photo"
SCRIPT = FOLDER / "photo-data.js"
PACKAGES = [Path(__file__).with_name(name) for name in ("package.json", "package-lock.json")]
RUNTIME = "node_modules/onnxruntime-web/dist"
MADE_FROM = (
    *PACKAGES,
    Path(__file__),
    paths.PACKAGE / "models" / "trained.npz",
    paths.PACKAGE / "methods" / "export.py",
    paths.PACKAGE / "synthetic.py",
)
DRAWN = (4, 6, 31, 18)  # of the synthetic test split: two cats and two dogs, easy to see
DRAWN_SIZE = 256


# --- making the script ---------------------------------------------------------------------------


def make():
    """Make the script unless it is up to date; returns its key, or None if it can't be made."""
    stamp = FOLDER / "key"
    if SCRIPT.exists() and stamp.exists() and stamp.read_text() == key():
        return key()
    SCRIPT.unlink(missing_ok=True)
    if reason := no_runtime():
        print(f'"Try it on your photo" is built without its network: {reason}', flush=True)
        return None
    print('Exporting the network for "Try it on your photo".', flush=True)
    subprocess.run([sys.executable, __file__, str(SCRIPT)], check=True, cwd=paths.ROOT)
    stamp.write_text(key())
    return key()


def key():
    """A hash of what the script is made from."""
    return keys.key([keys.file_hashes(file) for file in MADE_FROM])


def no_runtime():
    """Get ONNX Runtime Web with npm; returns why that failed, or an empty string."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed."
    for file in PACKAGES:
        shutil.copy(file, FOLDER)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    command += ["--fetch-retries=0", "--fetch-timeout=60000"]  # milliseconds
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, encoding="utf-8")
    if done.returncode:
        return f"npm failed. {done.stderr.strip()}"
    return ""


def write(script):
    """Write the script, with the runtime that ``no_runtime`` has put into its folder."""
    from PIL import Image

    from labkit import synthetic
    from labkit.classes import PETS
    from labkit.methods import export
    from labkit.models.trained import trained_unet

    model = trained_unet()
    runtime = FOLDER / RUNTIME
    onnx = export.save(model, FOLDER / "network.onnx")
    pictures = []
    for index in DRAWN:
        drawn = synthetic.example(index, split="test", size=(DRAWN_SIZE, DRAWN_SIZE))
        picture = io.BytesIO()
        Image.fromarray(drawn["image"]).save(picture, "webp", lossless=True)
        url = f"data:image/webp;base64,{base64.b64encode(picture.getvalue()).decode()}"
        pictures.append({"name": ("drawn cat", "drawn dog")[drawn["species"]], "url": url})
    content = {
        "module": packed(runtime / "ort-wasm-simd-threaded.mjs"),
        "binary": packed(runtime / "ort-wasm-simd-threaded.wasm"),
        "network": packed(onnx),
        "size": model.input_shape[1],
        "classes": list(PETS.names),
        "colors": list(PETS.colors),
        "background": PETS.background,
        "pictures": pictures,
    }
    loader = (runtime / "ort.wasm.min.js").read_text(encoding="utf-8")
    script.write_text(f"{loader}\nconst PHOTO = {json.dumps(content)};\n", encoding="utf-8")


def packed(file):
    """The content of a file, compressed, in base64."""
    return base64.b64encode(gzip.compress(file.read_bytes(), mtime=0)).decode()


# --- the page ------------------------------------------------------------------------------------


def setup(app):
    app.add_directive("photo", Photo)
    app.connect("config-inited", with_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def with_script(app, config):
    if SCRIPT.exists():
        config.html_static_path.append(str(SCRIPT))


class Photo(Directive):
    """The HTML between its lines, or a note if the book was built without the script."""

    has_content = True

    def run(self):
        self.state.document.settings.env.note_dependency(str(SCRIPT))
        if SCRIPT.exists():
            return [nodes.raw("", "\n".join(self.content), format="html")]
        text = "This copy of the book was built without the network for browsers."
        return [nodes.note("", nodes.paragraph("", text))]


if __name__ == "__main__":
    write(Path(sys.argv[1]))
