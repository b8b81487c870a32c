"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { teams, subsets } = data;
  const MOST = 6; // as many colours as stay apart
  const MEASURES = { r2: "r²", rho: "ρ" };
  const TOTALS = { pearson_score: "Pearson Score", spearman_score: "Spearman Score" };
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

  const known = (number) => number !== null && number !== undefined;
  const fixed = (number, digits = 4) =>
    known(number) ? number.toFixed(digits).replace("-", "−") : "–";
  const signed = (number) => (number > 0 ? "+" : "") + fixed(number);
  const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
  const range = ([, low, high], write = fixed) => `${write(low)} to ${write(high)}`;

  // The state of the page stands in the address, so that a view can be shared as a link.
  const own = teams.map((_, index) => index).filter((index) => !teams[index].published);
  const first = [...own, ...teams.keys()].filter((item, at, all) => all.indexOf(item) === at);
  const state = {};

  function readAddress() {
    const given = {};
    for (const field of location.hash.slice(1).split("&")) {
      const [key, value = ""] = field.split("=");
      try {
        given[key] = value.split(",").map(decodeURIComponent);
      } catch {
        continue; // a broken escape in a link: as if it were not there
      }
    }
    const named = (names = []) => [
      ...new Set(
        names.map((name) => teams.findIndex((team) => team.name === name)).filter((at) => at >= 0),
      ),
    ];
    const oneOf = (allowed, value, otherwise) => (allowed.includes(value) ? value : otherwise);
    const [sort, direction] = given.sort ?? [];
    state.sort = oneOf([...headers.keys()], sort, "rank");
    state.direction = oneOf(["ascending", "descending"], direction, natural(state.sort));
    state.teams = (given.teams ? named(given.teams) : first.slice(0, 4)).slice(0, MOST);
    const duel = named(given.compare);
    state.compare = duel.length === 2 ? duel : first.slice(0, 2);
    state.subset = Math.max(0, subsets.findIndex(({ name }) => name === given.subset?.[0]));
    state.measure = oneOf(Object.keys(MEASURES), given.measure?.[0], "r2");
    const theme = oneOf(["light", "dark"], given.theme?.[0], document.documentElement.dataset.theme);
    if (theme) document.documentElement.dataset.theme = theme;
  }

  function writeAddress() {
    const names = (list) => list.map((at) => encodeURIComponent(teams[at].name)).join(",");
    const { theme } = document.documentElement.dataset;
    const fields = [
      `sort=${encodeURIComponent(state.sort)},${state.direction}`,
      `teams=${names(state.teams)}`,
      `compare=${names(state.compare)}`,
      `subset=${encodeURIComponent(subsets[state.subset].name)}`,
      `measure=${state.measure}`,
      ...(theme ? [`theme=${theme}`] : []),
    ];
    history.replaceState(null, "", `#${fields.join("&")}`);
  }

  function change(changes) {
    Object.assign(state, changes);
    writeAddress();
    draw();
  }

  // Standings
  const headers = new Map(
    [...document.querySelectorAll("#board thead th[data-key]")].map((th) => [th.dataset.key, th]),
  );
  const rows = [...document.querySelectorAll("#board tbody tr[data-team]")];
  const natural = (key) => (key === "rank" || key === "team" ? "ascending" : "descending");

  function sortValue(index) {
    const team = teams[index];
    if (state.sort === "rank") return index;
    if (state.sort === "team") return team.name;
    if (state.sort in { pearson: 1, spearman: 1 }) return team.totals[`${state.sort}_score`][0];
    return team.r2[subsets.findIndex(({ name }) => `r2.${name}` === state.sort)][0];
  }

  function drawStandings() {
    const sign = state.direction === "ascending" ? 1 : -1;
    const values = teams.map((_, index) => sortValue(index));
    const compare = (a, b) => {
      const [x, y] = [values[a], values[b]];
      if (!known(x) || !known(y)) return known(y) - known(x); // what is unknown comes last
      const order = typeof x === "string" ? x.localeCompare(y) : x - y;
      return sign * order || a - b;
    };
    const body = document.querySelector("#board tbody");
    [...rows].sort((a, b) => compare(+a.dataset.team, +b.dataset.team)).forEach((row) => {
      const picked = state.teams.includes(+row.dataset.team);
      row.classList.toggle("picked", picked);
      row.querySelector(".pick").checked = picked;
      body.append(row);
    });
    for (const [key, th] of headers) {
      if (key === state.sort) th.setAttribute("aria-sort", state.direction);
      else th.removeAttribute("aria-sort");
    }
  }

  function sortBy(key) {
    const turned = state.direction === "ascending" ? "descending" : "ascending";
    change({ sort: key, direction: key === state.sort ? turned : natural(key) });
    const name = headers.get(key).querySelector("button").textContent;
    byId("sorted").textContent = `Sorted by ${name}, ${state.direction}.`;
  }

  function pick(box) {
    const index = Number(box.value);
    if (box.checked && state.teams.length === MOST) {
      box.checked = false;
      byId("sorted").textContent = `The charts show ${MOST} teams at most. Untick one first.`;
      return;
    }
    const others = state.teams.filter((team) => team !== index);
    change({ teams: box.checked ? [...others, index] : others });
  }

  // Subset by subset
  const swatch = () => html("span", { class: "swatch", "aria-hidden": "true" });
  const empty = (text) => html("p", { class: "empty" }, text);

  function drawLegend() {
    byId("legend").replaceChildren(
      ...state.teams.map((index, place) =>
        html("li", { class: `hue${place}` }, swatch(), teams[index].name),
      ),
    );
  }

  function bar([value, low, high], lowest) {
    const at = (number) => `${(100 * (number - lowest)) / (1 - lowest)}%`;
    const picture = svg("svg", { "aria-hidden": "true" });
    picture.append(svg("rect", { class: "track", width: "100%", height: "100%", rx: 2 }));
    if (!known(value)) return picture;
    const width = `${(100 * Math.abs(value)) / (1 - lowest)}%`;
    const x = at(Math.min(0, value));
    picture.append(svg("rect", { class: "bar", x, width, height: "100%", rx: 2 }));
    if (known(low)) {
      const line = { class: "error", x1: at(Math.max(low, lowest)), x2: at(high) };
      picture.append(svg("line", { ...line, y1: "50%", y2: "50%" }));
    }
    return picture;
  }

  function drawBars() {
    const values = (place) => state.teams.map((index) => teams[index][state.measure][place] ?? [null]);
    const lowest = Math.min(0, ...subsets.flatMap((_, at) => values(at).map(([v, low]) => low ?? v ?? 0)));
    const panels = subsets.map((subset, at) => {
      const size = `${subset.n.toLocaleString("en")} ${subset.pairs ? "pairs" : "rows"}`;
      const lines = values(at).map((estimate, place) => {
        const { name, published } = teams[state.teams[place]];
        const missing = published ? "not published" : "undefined";
        const spoken = known(estimate[0]) ? fixed(estimate[0]) : missing;
        const interval = known(estimate[1]) ? `, 95\u00a0% interval ${range(estimate)}` : "";
        return html(
          "div",
          { class: `barrow hue${place}`, title: `${name}: ${spoken}${interval}` },
          html("span", { class: "name" }, name),
          bar(estimate, lowest),
          html("span", { class: "value" }, fixed(estimate[0], 3)),
        );
      });
      const title = html("h3", {}, html("span", {}, subset.label), html("small", {}, `${size}, weight ${subset.weight}`));
      return html("div", { class: "panel" }, title, ...lines);
    });
    const none = empty("No team is ticked in the table.");
    byId("bars").replaceChildren(...(state.teams.length ? panels : [none]));
    for (const input of document.querySelectorAll("#measure input")) {
      input.checked = input.value === state.measure;
    }
  }

  // Head to head
  function pairOf(a, b) {
    const kept = data.pairs[`${Math.min(a, b)}-${Math.max(a, b)}`];
    if (!kept || a < b) return kept;
    const turn = ([value, low, high, wins, losses]) => [-value, -high, -low, losses, wins];
    const mirror = ({ range: [low, high], counts }) => ({ range: [-high, -low], counts: [...counts].reverse() });
    return Object.fromEntries(
      Object.entries(kept).map(([key, value]) => {
        if (key === "histograms") return [key, value.map(mirror)];
        return [key, value.map((row) => (known(row[0]) ? turn(row) : row))];
      }),
    );
  }

  function verdict(a, b, pair) {
    const [nameA, nameB] = [teams[a].name, teams[b].name];
    if (!pair) {
      return [
        "Resampled comparisons need the predictions of both. Published rows have none here, so only the numbers stand side by side.",
      ];
    }
    return Object.values(TOTALS).map((score, at) => {
      const [value, low, high, wins, losses] = pair.totals[at];
      const [winner, share] = wins >= losses ? [nameA, wins] : [nameB, losses];
      const apart = low > 0 || high < 0 ? "" : " The interval contains 0: they cannot be told apart.";
      const numbers = `A − B: ${signed(value)}, 95\u00a0% interval ${range([0, low, high], signed)}`;
      return html(
        "p", {}, html("strong", {}, winner), " is better in ", html("strong", {}, percent(share)),
        ` of the resamples by ${score} (${numbers}).${apart}`,
      );
    });
  }

  function forest([value, low, high], reach) {
    const at = (number) => `${50 + (50 * number) / reach}%`;
    const side = low > 0 ? "for-a" : high < 0 ? "for-b" : "even";
    return svg(
      "svg",
      { class: `forest ${side}`, "aria-hidden": "true" },
      svg("line", { class: "zero", x1: "50%", x2: "50%", y1: "-20%", y2: "120%" }),
      svg("line", { class: "span", x1: at(low), x2: at(high), y1: "50%", y2: "50%" }),
      svg("circle", { cx: at(value), cy: "50%", r: 4 }),
    );
  }

  function drawDuel() {
    const [a, b] = state.compare;
    byId("team-a").value = a;
    byId("team-b").value = b;
    if (b === undefined) return byId("verdict").replaceChildren("A second team is needed.");
    const pair = pairOf(a, b);
    const sign = MEASURES[state.measure];
    const lines = [
      ...Object.entries(TOTALS).map(([key, label], at) => [label, (team) => team.totals[key], pair?.totals[at], "totals"]),
      ...subsets.map(({ label }, at) => [`${sign} ${label}`, (team) => team[state.measure][at] ?? [null], pair?.[state.measure][at], null]),
    ];
    const ends = lines.flatMap(([, , found]) => (found && known(found[0]) ? [found[1], found[2]] : []));
    const reach = Math.max(1e-6, ...ends.map(Math.abs));
    const body = lines.map(([label, of, found, kind]) => {
      const [valueA, valueB] = [of(teams[a])[0], of(teams[b])[0]];
      const usable = found && known(found[0]);
      const both = known(valueA) && known(valueB);
      const difference = usable ? found[0] : both ? valueA - valueB : null;
      const cells = [fixed(valueA), fixed(valueB), known(difference) ? signed(difference) : "–"];
      if (pair) cells.push(usable ? forest(found, reach) : "–", usable ? range(found, signed) : "–", usable ? percent(found[3]) : "–");
      return html("tr", { class: kind }, html("th", { scope: "row" }, label), ...cells.map((cell) => html("td", {}, cell)));
    });
    const titles = ["", "A", "B", "A − B", ...(pair ? ["", "95\u00a0% interval", "A better in"] : [])];
    const head = html("tr", {}, ...titles.map((title) => html("th", { scope: "col" }, title)));
    const table = html("table", {}, html("thead", {}, head), html("tbody", {}, ...body));
    const label = { class: "scroller", tabindex: 0, role: "region", "aria-label": "Differences between A and B" };
    const pictures = (pair?.histograms ?? []).map((found, at) => histogram(found, Object.values(TOTALS)[at]));
    byId("verdict").replaceChildren(...verdict(a, b, pair));
    byId("duel").replaceChildren(html("div", label, table), html("div", { class: "histograms" }, ...pictures));
  }

  function histogram({ range: [low, high], counts }, score) {
    const [width, height, base] = [320, 120, 96];
    const x = (number) => (width * (number - low)) / (high - low);
    const step = (high - low) / counts.length;
    const most = Math.max(...counts);
    const bars = counts.map((count, at) => {
      const middle = low + (at + 0.5) * step;
      const tall = (base * count) / most;
      return svg("rect", {
        class: middle > 0 ? "for-a" : "for-b", x: x(low + at * step) + 0.5,
        y: base - tall, width: width / counts.length - 1, height: tall,
      });
    });
    const text = (at, anchor, words) => svg("text", { class: "axis-text", x: at, y: base + 16, "text-anchor": anchor }, words);
    const zero = low < 0 && high > 0 ? [svg("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: base + 4 })] : [];
    return html(
      "div",
      { class: "panel" },
      html("h3", {}, html("span", {}, `${score}, A − B`), html("small", {}, "all resamples")),
      svg(
        "svg",
        { class: "histogram", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Differences in ${score} run from ${signed(low)} to ${signed(high)}` },
        ...bars,
        svg("line", { class: "axis-line", x1: 0, x2: width, y1: base, y2: base }),
        ...zero,
        text(0, "start", signed(low)),
        ...(zero.length && x(0) > 60 && x(0) < width - 60 ? [text(x(0), "middle", "0")] : []),
        text(width, "end", signed(high)),
      ),
    );
  }

  // Predicted against measured
  function ticks([low, high]) {
    const rough = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const from = Math.ceil(low / step);
    const digits = Math.max(0, -Math.floor(Math.log10(step)));
    return Array.from({ length: Math.floor(high / step) - from + 1 }, (_, at) => [(from + at) * step, fixed((from + at) * step + 0, digits)]);
  }

  function plot(index, place) {
    const { measured, predicted } = data.scatter[state.subset];
    const team = teams[index];
    const values = predicted[own.indexOf(index)];
    const [left, top, right, bottom] = [44, 8, 332, 262];
    const x = (share) => left + share * (right - left);
    const y = (share) => bottom - share * (bottom - top);
    const within = ([low, high], value) => (value - low) / (high - low);
    const axes = [
      ...ticks(values.range).map(([value, text]) => {
        const at = x(within(values.range, value));
        return svg("g", {}, svg("line", { class: "grid", x1: at, x2: at, y1: top, y2: bottom }), svg("text", { class: "axis-text", x: at, y: bottom + 16, "text-anchor": "middle" }, text));
      }),
      ...ticks(measured.range).map(([value, text]) => {
        const at = y(within(measured.range, value));
        return svg("g", {}, svg("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }), svg("text", { class: "axis-text", x: left - 7, y: at + 4, "text-anchor": "end" }, text));
      }),
    ];
    const dots = values.values.map((value, at) =>
      svg("circle", { cx: x(value / data.steps).toFixed(1), cy: y(measured.values[at] / data.steps).toFixed(1), r: 1.7 }),
    );
    const [r2, rho] = [team.r2[state.subset][0], team.rho[state.subset][0]];
    const numbers = `r² ${fixed(r2, 3)}, ρ ${fixed(rho, 3)}`;
    return html(
      "div",
      { class: `panel hue${place}` },
      html("h3", {}, html("span", { title: team.name }, team.name), html("small", {}, numbers)),
      svg(
        "svg",
        { class: "plot", viewBox: "0 0 340 300", role: "img", "aria-label": `${team.name}: ${numbers}` },
        ...axes,
        svg("g", { class: "dots" }, ...dots),
        svg("text", { class: "axis-text", x: (left + right) / 2, y: 296, "text-anchor": "middle" }, "predicted"),
        svg("text", { class: "axis-text", x: -(top + bottom) / 2, y: 11, transform: "rotate(-90)", "text-anchor": "middle" }, "measured"),
      ),
    );
  }

  function drawScatter() {
    const { pairs, n } = subsets[state.subset];
    const shown = data.scatter[state.subset].measured.values.length;
    const what = pairs ? "pairs (the difference between their members)" : "rows";
    const all = n.toLocaleString("en");
    const some = shown < n ? `${shown.toLocaleString("en")} of ${all} ${what}, drawn at random` : `All ${all} ${what}`;
    byId("scatter-hint").textContent = `${some}. Scales of predictions differ between teams; only correlations count.`;
    byId("subset").value = state.subset;
    const plots = state.teams.flatMap((index, place) => (teams[index].published ? [] : [plot(index, place)]));
    const none = empty("None of the ticked teams has predictions here.");
    byId("scatter").replaceChildren(...(shown && plots.length ? plots : [none]));
  }

  // Theme
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (systemDark.matches ? "dark" : "light")) === "dark";
  const nameTheme = () => (byId("theme").lastElementChild.textContent = isDark() ? "Light" : "Dark");

  function draw() {
    drawStandings();
    drawLegend();
    drawBars();
    drawDuel();
    drawScatter();
    nameTheme();
  }

  for (const select of [byId("team-a"), byId("team-b")]) {
    select.append(...teams.map(({ name }, index) => html("option", { value: index }, name)));
    select.addEventListener("change", () => change({ compare: [+byId("team-a").value, +byId("team-b").value] }));
  }
  byId("subset").append(...subsets.map(({ label }, index) => html("option", { value: index }, label)));
  byId("subset").addEventListener("change", (event) => change({ subset: +event.target.value }));
  byId("swap").addEventListener("click", () => change({ compare: [...state.compare].reverse() }));
  byId("measure").addEventListener("change", (event) => change({ measure: event.target.value }));
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    writeAddress();
    nameTheme();
  });
  systemDark.addEventListener("change", nameTheme);
  for (const [key, th] of headers) th.querySelector("button").addEventListener("click", () => sortBy(key));
  for (const box of document.querySelectorAll(".pick")) box.addEventListener("change", () => pick(box));
  addEventListener("hashchange", () => { readAddress(); draw(); });
  document.documentElement.classList.add("js");
  readAddress();
  draw();
})();
