"""The gallery's part that runs in the page: filters, and cards drawn as they come into view.

It reads the data that `pose.reports.gallery` made and builds elements and text nodes one by one;
no text ever becomes markup.
"""

SCRIPT = """
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("cards").textContent);
  const grid = document.getElementById("gallery");
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  const filters = ["what", "kind", "keypoint", "size", "score"].map(
    (name) => document.getElementById("by-" + name));
  const SVG = "http://www.w3.org/2000/svg";
  const STEP = 48;
  let chosen = [], shown = 0;

  function svg(name, attributes, parent) {
    const element = document.createElementNS(SVG, name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    if (parent) parent.appendChild(element);
    return element;
  }

  function html(name, text, parent, className) {
    const element = document.createElement(name);
    if (text !== "") element.textContent = text;
    if (className) element.className = className;
    parent.appendChild(element);
    return element;
  }

  function address(name) {
    const path = (data.beside + "/" + name).split("/").map(encodeURIComponent).join("/");
    return path.startsWith(".") ? path : "./" + path;
  }

  function side(index) { return "mlr"[data.sides[index]]; }

  function figure(drawing, points, drawn, hidden, wrong) {
    const width = 13;
    const at = (k) => [points[2 * k], points[2 * k + 1]];
    for (const rim of [true, false]) {
      for (const [a, b] of data.limbs) {
        if (!drawn(a) || !drawn(b)) continue;
        const [x1, y1] = at(a), [x2, y2] = at(b);
        const color = data.sides[a] === data.sides[b] ? side(a) : "m";
        svg("line", {x1, y1, x2, y2, "stroke-width": rim ? width + 8 : width,
          class: rim ? "rim" : "limb " + color}, drawing);
      }
    }
    data.keypoints.forEach((name, k) => {
      if (!drawn(k)) return;
      const [cx, cy] = at(k);
      const dot = svg("circle", {cx, cy, r: 13, "stroke-width": 5,
        class: side(k) + (hidden(k) ? " hidden" : "")}, drawing);
      svg("title", {}, dot).textContent = name;
      if (wrong(k)) svg("circle", {cx, cy, r: 34, "stroke-width": 8, class: "wrong"}, drawing);
    });
  }

  function panel(card, title, pair, draw) {
    const box = html("div", "", pair);
    const drawing = svg("svg", {viewBox: "0 0 1000 1333", role: "img"}, box);
    const [left, top, width] = card.c, unit = 1000 / width;
    const [name, imageWidth, imageHeight] = data.images[card.i];
    if (card.d) {
      svg("image", {href: card.d, width: 1000, height: 1333.33}, drawing);
    } else if (data.beside !== null && name) {
      const place = {href: address(name), x: -left * unit, y: -top * unit};
      if (imageWidth && imageHeight) {
        place.width = imageWidth * unit;
        place.height = imageHeight * unit;
        svg("image", place, drawing);
      }
    }
    draw(drawing);
    html("span", title, box);
  }

  function mistakes(card) {
    const by = {};
    for (let k = 0; k < (card.k || "").length; k++) {
      const kind = Number(card.k[k]);
      if (kind > 0) (by[kind] = by[kind] || []).push(data.keypoints[k]);
    }
    return Object.keys(by).map((kind) => data.kinds[kind] + ": " + by[kind].join(", "));
  }

  function build(card) {
    const element = html("figure", "", grid, "card");
    const pair = html("div", "", element, "pair");
    panel(card, card.g ? "label" : "nobody labelled", pair, (drawing) => {
      if (card.g) figure(drawing, card.g, (k) => card.v[k] !== "0", (k) => card.v[k] === "1",
        () => false);
    });
    panel(card, card.p ? "prediction" : "no prediction", pair, (drawing) => {
      if (card.p) figure(drawing, card.p, () => true, () => false,
        (k) => card.k !== undefined && card.k[k] > "0");
    });
    const caption = html("figcaption", "", element);
    html("b", data.what[card.w], caption);
    const figures = ["size " + card.z];
    if (card.w !== 1 && card.w !== 3) figures.push("OKS " + card.o.toFixed(2));
    if (card.s !== undefined) figures.push("score " + card.s);
    caption.appendChild(document.createTextNode(", " + figures.join(", ")));
    for (const line of mistakes(card)) html("small", line, caption);
    html("small", data.images[card.i][0], caption);
  }

  function fits(card) {
    const [what, kind, keypoint, size, score] = filters.map((filter) => filter.value);
    if (what !== "" && card.w !== Number(what)) return false;
    if (size !== "" && card.z !== size) return false;
    if (score !== "" && card.t !== Number(score)) return false;
    if (kind === "" && keypoint === "") return true;
    if (card.k === undefined) return false;
    const states = keypoint === "" ? [...card.k] : [card.k[Number(keypoint)]];
    return states.some((state) => (kind === "" ? state > "0" : state === kind));
  }

  function extend() {
    const end = Math.min(shown + STEP, chosen.length);
    for (; shown < end; shown++) build(data.cards[chosen[shown]]);
    count.textContent = shown + " of " + chosen.length + " shown";
    more.hidden = shown >= chosen.length;
  }

  function filter() {
    grid.replaceChildren();
    shown = 0;
    chosen = [...data.cards.keys()].filter((index) => fits(data.cards[index]));
    extend();
  }

  for (const element of filters) element.addEventListener("change", filter);
  more.addEventListener("click", extend);
  filter();
})();
"""
