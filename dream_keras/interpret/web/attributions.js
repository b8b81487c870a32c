"use strict";
const rows = JSON.parse(document.getElementById("data").textContent);
const list = document.getElementById("sequences");
const query = document.getElementById("query");
const order = document.getElementById("order");
const more = document.getElementById("more");
const shown = document.getElementById("shown");
const STEP = 50;
let limit = STEP;

for (const [number, row] of rows.entries()) {
  row.number = number;
  row.strongest = Math.max(...row.scores.map(Math.abs));
}

const orders = {
  file: (a, b) => a.number - b.number,
  highest: (a, b) => b.prediction - a.prediction,
  lowest: (a, b) => a.prediction - b.prediction,
  strongest: (a, b) => b.strongest - a.strongest,
  name: (a, b) => a.name.localeCompare(b.name, "en", { numeric: true }),
};

function element(kind, text, className) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function draw(row) {
  const article = element("article");
  const title = element("h2", row.name);
  title.append(element("span", `prediction ${row.prediction}`));
  const bases = element("p", undefined, "bases");
  for (const [at, base] of [...row.bases].entries()) {
    const score = row.scores[at];
    const letter = element("span", base, score < 0 ? "down" : "up");
    letter.style.setProperty("--share", (Math.abs(score) / (row.strongest || 1)).toFixed(3));
    letter.title = `${base}${row.start + at}: ${score}`;
    bases.append(letter);
  }
  article.append(title, bases);
  if (row.picture) {
    const image = element("img");
    image.src = row.picture;
    image.loading = "lazy";
    image.alt = `Logo and heat map of ${row.name}`;
    article.append(image);
  }
  return article;
}

function update() {
  const wanted = query.value.trim().toLowerCase();
  const found = rows.filter(
    (row) => row.name.toLowerCase().includes(wanted) || row.bases.toLowerCase().includes(wanted),
  );
  found.sort(orders[order.value]);
  list.replaceChildren(...found.slice(0, limit).map(draw));
  more.hidden = found.length <= limit;
  shown.textContent = `${Math.min(limit, found.length)} of ${found.length} shown`;
}

function restart() {
  limit = STEP;
  update();
}

query.addEventListener("input", restart);
order.addEventListener("change", restart);
more.addEventListener("click", () => { limit += STEP; update(); });
document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
update();
