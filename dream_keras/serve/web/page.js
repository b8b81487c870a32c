"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { models, examples, coverage } = data;
  const BASES = "ACGT";
  const MOST = 1000; // sequences that the page lists
  const LONGEST_FILE = 5e6; // bytes
  const LOGO = 72; // height in pixels
  const byId = (id) => document.getElementById(id);

  // Elements are built node by node: a text from the data never becomes markup.
  function build(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }
  const html = (tag, attributes = {}, ...children) =>
    build(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) =>
    build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
  const clickable = (node, action) => {
    node.addEventListener("click", action);
    return node;
  };
  const fixed = (number, digits = 3) => number.toFixed(digits).replace("-", "−");
  const signed = (number) => (number > 0 ? "+" : "") + fixed(number);
  const direction = (number) => (number > 0 ? "up" : "down");

  // A view is a task of a model; each has a colour.
  const views = models.flatMap((model, at) =>
    model.tasks.map((task, number) => ({
      model, at, task: number,
      label: model.tasks.length > 1 ? `${model.name} · ${task}` : model.name,
    })),
  );
  views.forEach((view, number) => { view.hue = `hue${number % 6}`; });
  const shown = () => views.filter(({ at }) => state.shown.has(at));
  const cell = matchMedia("(pointer: coarse)").matches ? 26 : 17;

  const state = {
    shown: new Set(models.keys()),
    sequences: [], // {name, text, rows}, rows of each model
    chosen: -1,
    first: null, // {text, rows} before any change
    now: null, // {text, rows, maps, stale}
    past: [], // texts before each change
    base: 0, // the position that the keyboard is at
  };

  async function ask(path, body, signal) {
    let response;
    try {
      response = await fetch(path, {
        method: "POST", body: JSON.stringify(body), signal,
        headers: { "Content-Type": "application/json" },
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server does not answer. Is it still running?");
    }
    const answer = await response.json();
    if (response.ok) return answer;
    throw new Error(answer.error.flatMap((each) => Object.values(each)).join("; "));
  }

  // Sequences as text: FASTA, or one in a line.
  function parse(text) {
    const found = [];
    const fasta = text.trimStart().startsWith(">");
    for (const line of text.split(/\r\n|\r|\n/)) {
      if (line.startsWith(">")) {
        found.push({ name: line.slice(1).trim().split(/\s/)[0], text: "" });
        continue;
      }
      const letters = line.replace(/\s/g, "").toUpperCase();
      if (!letters) continue;
      if (fasta) found.at(-1).text += letters;
      else found.push({ name: "", text: letters });
    }
    found.forEach((each, at) => { each.name ||= `sequence ${at + 1}`; });
    return found;
  }

  function complain(messages) {
    byId("problems").replaceChildren(...messages.map((text) => html("li", {}, text)));
    byId("text").setAttribute("aria-invalid", String(messages.length > 0));
  }

  const short = (name) => (name.length > 40 ? `${name.slice(0, 39)}…` : name);

  let asking = new AbortController();
  async function predict() {
    const sequences = parse(byId("text").value);
    if (!sequences.length) return complain(["Paste a sequence, or take an example."]);
    if (sequences.length > MOST) {
      return complain([
        `${sequences.length} sequences; the page shows up to ${MOST}. ` +
          "The command python -m dream_keras.predict takes any number.",
      ]);
    }
    asking.abort();
    const { signal } = (asking = new AbortController());
    byId("predict").setAttribute("aria-busy", "true");
    try {
      const { rows } = await ask(
        "page/predict", { sequences: sequences.map(({ text }) => text) }, signal,
      );
      sequences.forEach((each, at) => { each.rows = rows[at]; });
    } catch (error) {
      if (error.name !== "AbortError") complain([error.message]);
      return undefined;
    } finally {
      if (!signal.aborted) byId("predict").removeAttribute("aria-busy");
    }
    const refused = sequences.flatMap(({ name, rows }) =>
      [...new Set(rows.flatMap(({ error }) => error ?? []))].map((error) => `${short(name)}: ${error}`),
    );
    complain(refused.length > 5 ? [...refused.slice(0, 5), `and ${refused.length - 5} more`] : refused);
    state.sequences = sequences;
    drawList();
    const good = sequences.findIndex(({ rows }) => rows.some(({ error }) => !error));
    if (good >= 0) choose(good);
    else { state.now = null; draw(); }
    return undefined;
  }

  function choose(at) {
    const { text, rows } = state.sequences[at];
    Object.assign(state, {
      chosen: at, past: [], first: { text, rows }, now: { text, rows, maps: [], stale: false },
    });
    const { start, end } = editable();
    state.base = Math.min(start, Math.max(end - 1, 0));
    markRow();
    draw();
    load();
  }

  // Where some model that is shown lets bases change; others belong to the construct.
  function editable() {
    const rows = shown().map(({ at }) => state.now.rows[at]).filter(({ error }) => !error);
    return {
      start: Math.min(...rows.map(({ start }) => start), Infinity),
      end: Math.max(...rows.map(({ end }) => end), -Infinity),
    };
  }
  const canChange = (at) => {
    const { start, end } = editable();
    return at >= start && at < end;
  };

  const effectOf = ({ at, task }, position, base) => {
    const map = state.now.maps[at];
    return map?.effects[task][position - map.start]?.[base] ?? null;
  };

  function change(position, base) {
    const { text, rows } = state.now;
    if (text[position] === BASES[base] || !canChange(position)) return;
    state.past.push(text);
    // What is known already is shown at once; the server's own numbers follow.
    const guess = rows.map((row, at) => {
      const map = state.now.maps[at];
      if (row.error || !map || state.now.stale) return row;
      const move = (values) =>
        values && values.map((value, task) => value + (effectOf({ at, task }, position, base) ?? 0));
      return { ...row, values: move(row.values), low: move(row.low), high: move(row.high) };
    });
    go(text.slice(0, position) + BASES[base] + text.slice(position + 1), guess);
  }

  function go(text, rows) {
    state.now = { ...state.now, text, rows, stale: true };
    draw();
    load();
  }

  // Predictions and effects of the sequence; what was asked for another one is given up.
  const known = new Map();
  let loading = new AbortController();
  async function load() {
    loading.abort();
    const { signal } = (loading = new AbortController());
    const { text } = state.now;
    const remembered = async (path, key, body) => {
      if (!known.has(key)) {
        const answer = await ask(path, body, signal);
        if (known.size > 500) known.clear();
        known.set(key, answer);
      }
      return known.get(key);
    };
    const say = (message) => { byId("progress").textContent = message; };
    try {
      if (state.now.stale) {
        const { rows } = await remembered("page/predict", `\n${text}`, { sequences: [text] });
        if (signal.aborted) return;
        state.now.rows = rows[0];
        drawCards();
      }
      const maps = [];
      for (const [at, model] of models.entries()) {
        if (state.now.rows[at].error || !state.shown.has(at)) continue;
        say(`Predicting all changes with ${model.name} …`);
        maps[at] = await remembered(
          "page/mutations", `${at}\n${text}`, { model: model.name, sequence: text },
        );
        if (signal.aborted) return;
        if (!state.now.stale) { state.now.maps[at] = maps[at]; drawMaps(); }
      }
      Object.assign(state.now, { maps, stale: false });
      say("");
      drawMaps();
    } catch (error) {
      if (error.name !== "AbortError") say(error.message);
    }
  }

  function drawList() {
    const several = state.sequences.length > 1;
    byId("list").hidden = !several;
    if (!several) return;
    const heads = ["Sequence", "bp", ...shown().map(({ label }) => label)];
    byId("table").tHead.replaceChildren(
      html("tr", {}, ...heads.map((head) => html("th", { scope: "col" }, head))),
    );
    byId("table").tBodies[0].replaceChildren(
      ...state.sequences.map(({ name, text, rows }, at) =>
        html(
          "tr", {},
          html("th", { scope: "row" }, clickable(html("button", { type: "button" }, name), () => choose(at))),
          html("td", {}, text.length.toLocaleString("en")),
          ...shown().map(({ at: model, task }) => {
            const { error, values, low, high } = rows[model];
            if (error) return html("td", { class: "muted", title: error }, "–");
            const range = low ? html("span", { class: "muted" }, ` ${fixed(low[task], 2)} to ${fixed(high[task], 2)}`) : "";
            return html("td", {}, fixed(values[task]), range);
          }),
        ),
      ),
    );
    markRow();
  }

  function markRow() {
    [...byId("table").tBodies[0].rows].forEach((row, at) => {
      row.classList.toggle("chosen", at === state.chosen);
      row.querySelector("button").setAttribute("aria-pressed", String(at === state.chosen));
    });
  }

  function draw() {
    byId("detail").hidden = !state.now;
    if (!state.now) return;
    const { text } = state.now;
    byId("detail-title").textContent = `${state.sequences[state.chosen].name}, ${text.length.toLocaleString("en")} bp`;
    const changed = [...text].flatMap((letter, at) =>
      letter === state.first.text[at] ? [] : `${state.first.text[at]}${at + 1}${letter}`,
    );
    byId("changes").textContent = changed.length
      ? `Changed: ${changed.slice(0, 30).join(", ")}${changed.length > 30 ? " and more" : ""}`
      : "As it was given.";
    byId("undo").disabled = !state.past.length;
    byId("original").disabled = !changed.length;
    drawCards();
    drawStrip();
    drawMaps();
  }

  function drawCards() {
    byId("cards").replaceChildren(...shown().map(card));
  }

  function card({ model, at, task, label, hue }) {
    const { error, values, low, high } = state.now.rows[at];
    const head = html("h3", {}, label);
    if (error) return html("article", { class: `card ${hue}` }, head, html("p", { class: "error" }, error));
    const random = model.random[task];
    const value = values[task];
    const before = state.first.rows[at].values[task];
    const interval = low ? [low[task], high[task]] : null;
    const moved = state.now.text !== state.first.text;
    const below = random.filter((each) => each < value).length / random.length;
    const [left, right] = model.ends;
    const asItIs = !left && !right;
    return html(
      "article", { class: `card ${hue}` }, head,
      html(
        "p", { class: "figure" },
        html("span", { class: "value" }, fixed(value)),
        moved ? html("span", { class: `delta ${direction(value - before)}` }, signed(value - before)) : "",
      ),
      html(
        "p", { class: "note" },
        interval
          ? `${Math.round(100 * coverage)} % interval ${fixed(interval[0], 2)} to ${fixed(interval[1], 2)}`
          : "No interval: the run is not calibrated.",
      ),
      histogram(random, value, interval, moved ? before : null),
      html(
        "p", { class: "note" },
        `Higher than ${Math.round(100 * below)} % of ${random.length} random promoters.`,
        asItIs ? "" : ` Adapters ${left || "none"} and ${right || "none"} are put on where they are missing.`,
      ),
    );
  }

  function histogram(random, value, interval, before) {
    const [width, height, bins] = [250, 60, 30];
    const all = [...random, value, ...(interval ?? []), ...(before === null ? [] : [before])];
    const [least, most] = [Math.min(...all), Math.max(...all)];
    const span = most - least || 1;
    const x = (number) => 6 + ((number - least) / span) * (width - 12);
    const counts = new Array(bins).fill(0);
    for (const each of random) counts[Math.min(Math.floor(((each - least) / span) * bins), bins - 1)] += 1;
    const top = Math.max(...counts);
    const step = (width - 12) / bins;
    const bars = counts.map((count, at) =>
      svg("rect", {
        class: "bar", x: 6 + at * step + 0.5, width: step - 1,
        y: 18 + (1 - count / top) * (height - 18), height: (count / top) * (height - 18),
      }),
    );
    const upright = (kind, at) => svg("line", { class: kind, x1: x(at), x2: x(at), y1: 9, y2: height });
    return svg(
      "svg",
      {
        class: "histogram", viewBox: `0 0 ${width} ${height + 18}`, role: "img",
        "aria-label": `Random promoters from ${fixed(random[0], 2)} to ${fixed(random.at(-1), 2)}; this sequence ${fixed(value)}`,
      },
      ...bars,
      svg("line", { class: "axis", x1: 0, x2: width, y1: height, y2: height }),
      before === null ? "" : upright("before", before),
      interval ? svg("line", { class: "whisker", x1: x(interval[0]), x2: x(interval[1]), y1: 9, y2: 9 }) : "",
      upright("now", value),
      svg("circle", { class: "dot", cx: x(value), cy: 9, r: 5 }),
      svg("text", { x: 0, y: height + 14 }, fixed(least, 2)),
      svg("text", { x: width, y: height + 14, "text-anchor": "end" }, fixed(most, 2)),
    );
  }

  function drawStrip() {
    const { text } = state.now;
    const focused = byId("strip").contains(document.activeElement);
    byId("strip").replaceChildren(
      ...[...text].map((letter, at) =>
        html(
          "button",
          {
            type: "button", tabindex: at === state.base ? 0 : -1, "aria-pressed": at === state.base,
            "aria-label": `position ${at + 1}, ${letter}${canChange(at) ? "" : ", part of the construct"}`,
            "data-tick": (at + 1) % 10 === 0 || at === 0 ? at + 1 : null,
            class: [
              `base-${letter}`, (at + 1) % 10 === 0 || at === 0 ? "tick" : "",
              letter === state.first.text[at] ? "" : "changed", canChange(at) ? "" : "locked",
            ].join(" "),
          },
          letter,
        ),
      ),
    );
    if (focused) byId("strip").children[state.base].focus();
    drawInspector();
  }

  function drawInspector() {
    const { text } = state.now;
    const own = text[state.base];
    const place = html("span", { class: "place" }, `Position ${state.base + 1}: ${own}`);
    if (!canChange(state.base)) {
      byId("inspector").replaceChildren(place, html("span", { class: "muted" }, "belongs to the construct"));
      return;
    }
    byId("inspector").replaceChildren(
      place,
      ...[...BASES].flatMap((letter, base) => {
        if (letter === own) return [];
        const effects = shown().flatMap((view) => {
          const effect = state.now.stale ? null : effectOf(view, state.base, base);
          if (effect === null) return [];
          const swatch = views.length > 1 ? html("span", { class: `swatch ${view.hue}`, title: view.label }) : "";
          return html("span", { class: `delta ${direction(effect)}` }, swatch, signed(effect));
        });
        return clickable(
          html("button", { type: "button", class: "quiet", "data-base": letter, "aria-label": `Change to ${letter}` },
            html("span", { class: `mono base-${letter}` }, letter), ...effects),
          () => change(state.base, base),
        );
      }),
    );
  }

  function moveTo(at) {
    const next = Math.max(0, Math.min(at, state.now.text.length - 1));
    const bases = byId("strip").children;
    bases[state.base].setAttribute("tabindex", -1);
    bases[state.base].setAttribute("aria-pressed", "false");
    state.base = next;
    bases[next].setAttribute("tabindex", 0);
    bases[next].setAttribute("aria-pressed", "true");
    for (const mark of document.querySelectorAll(".map .at")) mark.setAttribute("x", next * cell);
    drawInspector();
  }

  function drawMaps() {
    byId("maps").replaceChildren(...shown().filter(({ at }) => state.now.maps[at]).map(map));
    drawInspector();
  }

  function map(view) {
    const { at, task, label, hue } = view;
    const { start, effects } = state.now.maps[at];
    const columns = effects[task];
    const { text, stale } = state.now;
    const flat = columns.flat();
    const [least, most] = [Math.min(...flat), Math.max(...flat)];
    const scale = Math.max(-least, most) || 1;
    const own = columns.map((_, column) => BASES.indexOf(text[start + column]));
    const shares = columns.map((column, number) =>
      own[number] < 0 ? 0 : column[own[number]] - column.reduce((sum, each) => sum + each, 0) / 4,
    );
    const largest = Math.max(...shares.map(Math.abs)) || 1;
    const x = (column) => (start + column) * cell;
    const deepest = Math.min(...shares, 0) / largest;
    const unit = LOGO / (Math.max(...shares, 0) / largest - deepest || 1);
    const zero = LOGO + deepest * unit;
    // A capital letter of the font is 7.16 of 10 units high and about as wide.
    const letters = shares.flatMap((share, column) => {
      const tall = (Math.abs(share) / largest) * unit;
      if (own[column] < 0 || tall < 0.5) return [];
      const bottom = share > 0 ? zero : zero + tall;
      const shape = `translate(${x(column) + cell / 2} ${bottom}) scale(${cell / 8.4} ${tall / 7.16})`;
      return svg("text", { class: `base-${BASES[own[column]]}`, transform: shape }, BASES[own[column]]);
    });
    const rows = LOGO + 8;
    const cells = columns.flatMap((column, number) =>
      column.flatMap((effect, base) => {
        const box = { x: x(number) + 0.5, y: rows + base * cell + 0.5, width: cell - 1, height: cell - 1, rx: 2 };
        if (base === own[number]) {
          const middle = { x: box.x + cell / 2 - 0.5, y: box.y + cell / 2 + 3 };
          return [svg("rect", { ...box, class: "own" }), svg("text", { class: "letter", ...middle }, BASES[base])];
        }
        const strength = Math.abs(effect) / scale;
        return svg("rect", { ...box, class: direction(effect), "fill-opacity": strength.toFixed(3) });
      }),
    );
    const width = text.length * cell;
    const hit = svg("rect", {
      class: "cell", x: x(0), y: rows, width: columns.length * cell, height: 4 * cell, "fill-opacity": 0,
    });
    const picture = svg(
      "svg",
      {
        width, height: rows + 4 * cell, role: "img",
        "aria-label": `${label}: changes of the prediction from ${fixed(least)} to ${fixed(most)}`,
      },
      svg("line", { class: "zero", x1: x(0), x2: x(columns.length), y1: zero, y2: zero }),
      svg("g", { class: "logo" }, ...letters),
      svg("rect", { class: "ground", x: x(0), y: rows, width: columns.length * cell, height: 4 * cell, rx: 3 }),
      ...cells,
      svg("rect", { class: "at", x: state.base * cell, y: rows, width: cell, height: 4 * cell, rx: 2 }),
      hit,
    );
    const find = (event) => {
      const box = picture.getBoundingClientRect();
      return [
        Math.floor((event.clientX - box.left) / cell),
        Math.min(3, Math.floor((event.clientY - box.top - rows) / cell)),
      ];
    };
    hit.addEventListener("click", (event) => {
      const [position, base] = find(event);
      moveTo(position);
      change(position, base);
    });
    const detail = html("small", {}, `changes from ${fixed(least)} to ${fixed(most)}`);
    hit.addEventListener("pointermove", (event) => {
      const [position, base] = find(event);
      const effect = effectOf(view, position, base);
      if (effect === null) return;
      detail.textContent = text[position] === BASES[base]
        ? `${BASES[base]}${position + 1} stands here`
        : `${text[position]}${position + 1}${BASES[base]}: ${signed(effect)}`;
    });
    return html(
      "figure", { class: `map ${hue}${stale ? " stale" : ""}` },
      html("figcaption", { class: "title" }, html("span", { class: "swatch" }), html("span", {}, label), detail),
      picture,
    );
  }

  byId("strip").addEventListener("click", (event) => {
    const at = [...byId("strip").children].indexOf(event.target);
    if (at >= 0) moveTo(at);
  });
  byId("strip").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { base, now } = state;
    const places = { ArrowLeft: base - 1, ArrowRight: base + 1, Home: 0, End: now.text.length - 1 };
    const letter = BASES.indexOf(event.key.toUpperCase());
    if (event.key in places) moveTo(places[event.key]);
    else if (event.key.length === 1 && letter >= 0) change(base, letter);
    else return;
    event.preventDefault();
    byId("strip").children[state.base].focus();
  });

  function goBack(text) {
    const rows = text === state.first.text ? state.first.rows : state.now.rows;
    go(text, rows);
  }
  byId("undo").addEventListener("click", () => goBack(state.past.pop()));
  byId("original").addEventListener("click", () => {
    state.past.push(state.now.text);
    goBack(state.first.text);
  });
  byId("copy").addEventListener("click", async () => {
    await navigator.clipboard?.writeText(state.now.text);
    byId("progress").textContent = "Copied.";
  });

  const text = byId("text");
  byId("predict").addEventListener("click", predict);
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) predict();
  });
  text.addEventListener("dragover", (event) => {
    event.preventDefault();
    text.classList.add("over");
  });
  text.addEventListener("dragleave", () => text.classList.remove("over"));
  text.addEventListener("drop", async (event) => {
    text.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (!file) return;
    event.preventDefault();
    if (file.size > LONGEST_FILE) {
      complain([`${file.name} is larger than ${LONGEST_FILE / 1e6} MB: use python -m dream_keras.predict`]);
      return;
    }
    text.value = await file.text();
    predict();
  });

  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    byId("theme").querySelector("span").textContent = dark ? "Dark" : "Light";
  });

  if (models.length > 1) {
    byId("models").append(
      ...models.map((model, at) => {
        const box = html("input", { type: "checkbox", checked: "" });
        box.addEventListener("change", () => {
          if (box.checked) state.shown.add(at);
          else state.shown.delete(at);
          drawList();
          draw();
          if (box.checked && state.now) load();
        });
        const swatch = html("span", { class: `swatch ${views.find((view) => view.at === at).hue}` });
        return html("label", {}, box, swatch, model.name);
      }),
    );
  }
  byId("examples").append(
    ...examples.map(({ name, sequence }) =>
      clickable(html("button", { type: "button", class: "quiet" }, name.replace("random_", "")), () => {
        text.value = `>${name}\n${sequence}\n`;
        predict();
      }),
    ),
  );
  const lengths = models.map(({ name, shortest, longest }) => `${models.length > 1 ? `${name}: ` : ""}${shortest} to ${longest} bp`);
  byId("hint").textContent = `A, C, G, T and N; ${lengths.join(", ")} without adapters. Ctrl + Enter predicts.`;
})();
