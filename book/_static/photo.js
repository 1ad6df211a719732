// The page "Try it on your photo": the course's network in the reader's browser.
// photo-data.js, which the first button loads, defines PHOTO and ort; photo.py makes it.
"use strict";
(() => {
  const SIDE_LIMIT = 1600; // pixels; larger photographs are shrunk first
  const folder = document.currentScript.src;
  const find = (selector) => document.querySelector(`#photo ${selector}`);
  const say = (text) => { find("#photo-status").textContent = text; };
  let session, result; // the running network; the last photograph with its mask
  let queue = Promise.resolve(); // one photograph after another

  // ---- the network ----

  async function load() {
    find("#photo-start").hidden = true;
    say("Loading the network …");
    try {
      await addScript(new URL("photo-data.js", folder));
      ort.env.wasm.numThreads = 1; // several need HTTP headers that few sites send
      ort.env.wasm.wasmBinary = await unpack(PHOTO.binary);
      const module = new Blob([await unpack(PHOTO.module)], { type: "text/javascript" });
      ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(module) };
      session = await ort.InferenceSession.create(new Uint8Array(await unpack(PHOTO.network)));
    } catch (error) {
      find("#photo-start").hidden = false;
      say(`The network can't be loaded: ${error.message}`);
      return;
    }
    PHOTO.pictures.forEach(addDrawn);
    find("#photo-choose").hidden = false;
    find("#photo-file").focus();
    say("The network is ready.");
  }

  function addScript(address) {
    return new Promise((resolve, reject) => {
      const script = Object.assign(document.createElement("script"), { src: address });
      script.onload = resolve;
      script.onerror = () => reject(Error("its file can't be read. Are you online?"));
      document.head.append(script);
    });
  }

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  function addDrawn({ name, url }) {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.append(Object.assign(new Image(96, 96), { src: url, alt: name }));
    button.onclick = async () => segment(await (await fetch(url)).blob(), `The ${name}`);
    find("#photo-drawn").append(button);
  }

  // ---- a photograph and its mask ----

  function segment(file, name) {
    if (!session) return;
    say("Segmenting …");
    queue = queue.then(async () => {
      try {
        result = await predict(await read(file));
        draw();
        say(`${name}: ${shares()}. ${Math.round(result.time)} ms in this browser.`);
      } catch (error) {
        say(`${name} can't be segmented: ${error.message}`);
      }
    });
  }

  async function read(file) {
    const picture = await createImageBitmap(file).catch(() => {
      throw Error("this browser can't read it. Use a JPEG or PNG picture.");
    });
    const scale = Math.min(1, SIDE_LIMIT / Math.max(picture.width, picture.height));
    const width = Math.max(1, Math.round(scale * picture.width));
    const height = Math.max(1, Math.round(scale * picture.height));
    const context = newCanvas(width, height).getContext("2d");
    context.fillStyle = "white"; // behind transparent parts
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  }

  async function predict(photo) {
    const start = performance.now();
    const { width, height, data } = photo;
    const { size, classes } = PHOTO;
    const small = resize(Uint8ClampedArray, data, width, height, size, size, 4);
    const values = Float32Array.from(small.filter((_, k) => k % 4 < 3)); // without alpha
    const image = new ort.Tensor("float32", values, [1, size, size, 3]);
    const outputs = await session.run({ [session.inputNames[0]]: image });
    const maps = softmax(outputs[session.outputNames[0]].data, classes.length);
    const large = resize(Float32Array, maps, size, size, width, height, classes.length);
    return { photo, mask: argmax(large, classes.length), time: performance.now() - start };
  }

  function softmax(logits, count) {
    const maps = new Float32Array(logits.length);
    for (let k = 0; k < logits.length; k += count) {
      const pixel = logits.subarray(k, k + count), highest = Math.max(...pixel);
      const powers = Array.from(pixel, (logit) => Math.exp(logit - highest));
      const sum = powers.reduce((one, other) => one + other);
      maps.set(powers.map((power) => power / sum), k);
    }
    return maps;
  }

  function argmax(maps, count) {
    return Uint8Array.from({ length: maps.length / count }, (_, pixel) => {
      let best = 0;
      for (let k = 1; k < count; k++)
        if (maps[pixel * count + k] > maps[pixel * count + best]) best = k;
      return best;
    });
  }

  // ---- resizing, as Pillow does it with its filter BILINEAR ----

  function resize(Numbers, values, width, height, newWidth, newHeight, channels) {
    const narrow = resizeAxis(Numbers, values, height, width, newWidth, channels);
    return resizeAxis(Numbers, narrow, 1, height, newHeight, newWidth * channels);
  }

  // From [count, side, depth] to [count, newSide, depth].
  function resizeAxis(Numbers, values, count, side, newSide, depth) {
    const resized = new Numbers(count * newSide * depth), places = triangles(side, newSide);
    let to = 0;
    for (let block = 0; block < count; block++) {
      for (const { first, weights } of places) {
        const from = (block * side + first) * depth;
        for (let k = 0; k < depth; k++) {
          let sum = 0;
          for (let j = 0; j < weights.length; j++) sum += weights[j] * values[from + j * depth + k];
          resized[to++] = sum;
        }
      }
    }
    return resized;
  }

  // For each new position, the weights of the old ones that it is made of, and the first of these.
  function triangles(side, newSide) {
    const scale = side / newSide, reach = Math.max(1, scale);
    return Array.from({ length: newSide }, (_, place) => {
      const center = (place + 0.5) * scale;
      const first = Math.max(0, Math.floor(center - reach + 0.5));
      const end = Math.min(side, Math.floor(center + reach + 0.5));
      const weights = Array.from({ length: end - first }, (_, k) =>
        Math.max(0, 1 - Math.abs(first + k + 0.5 - center) / reach));
      const sum = weights.reduce((one, other) => one + other);
      return { first, weights: weights.map((weight) => weight / sum) };
    });
  }

  // ---- drawing ----

  function newCanvas(width, height) {
    return Object.assign(document.createElement("canvas"), { width, height });
  }

  // A canvas whose pixels are paint(k), with red, green, blue and alpha.
  function painted(paint) {
    const { width, height } = result.photo;
    const canvas = newCanvas(width, height), context = canvas.getContext("2d");
    const pixels = context.createImageData(width, height);
    for (let k = 0; k < width * height; k++) pixels.data.set(paint(k), 4 * k);
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  function draw() {
    const { photo, mask } = result;
    const colors = PHOTO.colors.map((color) =>
      [1, 3, 5].map((k) => parseInt(color.slice(k, k + 2), 16)).concat(255));
    result.original = painted((k) => photo.data.subarray(4 * k, 4 * k + 4));
    result.colored = painted((k) => colors[mask[k]]);
    result.cutout = painted((k) =>
      mask[k] === PHOTO.background ? [0, 0, 0, 0] : photo.data.subarray(4 * k, 4 * k + 4));
    save("#photo-mask", result.colored);
    save("#photo-cutout", result.cutout);
    find("#photo-result").hidden = false;
    look();
  }

  function save(link, canvas) {
    canvas.toBlob((blob) => {
      URL.revokeObjectURL(find(link).href);
      find(link).href = URL.createObjectURL(blob);
    });
  }

  function look() {
    const canvas = find("#photo-canvas"), context = canvas.getContext("2d");
    const cutout = find("[name=photo-view]:checked").value === "cutout";
    find("#photo-opacity").disabled = cutout;
    [canvas.width, canvas.height] = [result.photo.width, result.photo.height];
    context.drawImage(cutout ? result.cutout : result.original, 0, 0);
    context.globalAlpha = find("#photo-opacity").value / 100;
    if (!cutout) context.drawImage(result.colored, 0, 0);
    canvas.setAttribute("aria-label", cutout ? "The cut-out" : `The mask: ${shares()}`);
  }

  function shares() {
    const { mask } = result;
    return PHOTO.classes.map((name, k) => {
      const share = mask.reduce((count, value) => count + (value === k), 0) / mask.length;
      return `${name} ${Math.round(100 * share)} %`;
    }).join(", ");
  }

  // ---- what the reader does ----

  if (!find("#photo-load")) return;
  find("#photo-load").onclick = load;
  find("#photo-file").onchange = ({ target }) => take(target.files);
  find("#photo-result").oninput = look;
  document.ondragover = (event) => event.preventDefault();
  document.ondrop = (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  };
  document.addEventListener("paste", (event) => take(event.clipboardData.files));

  function take(files) {
    if (files.length) segment(files[0], files[0].name);
  }
})();
