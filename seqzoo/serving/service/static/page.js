// The page: a history, and what up to three models recommend after it.

import { MOST_MODELS, readAddress, writeAddress } from "./address.js";
import { ask, useToken } from "./api.js";
import { Column } from "./column.js";
import { announce, byId, element, title } from "./dom.js";
import { findItems, setUpSearch } from "./search.js";

const POPULAR = 8;

let known = [];
let history = [];
let models = [];
let columns = [];

const page = {
  add(item) {
    history = [...history, item];
    changed(`${title(item)} added, ${history.length} in the history`);
  },
  getModels: () => models,
  replaceModel(from, to) {
    models = models.map((name) => (name === from ? to : name));
    changed(`${to} in place of ${from}`);
    columns.find((column) => column.name === to)?.select.focus();
  },
  removeModel(name) {
    models = models.filter((each) => each !== name);
    changed(`${name} removed`);
    byId("add-model").focus();
  },
};

function changed(text) {
  writeAddress(history, models);
  show();
  announce(text);
}

function show() {
  showHistory();
  const before = new Map(columns.map((column) => [column.name, column]));
  columns = models.map((name) => before.get(name) ?? new Column(name, known, page));
  const nodes = columns.map((column) => column.node);
  const place = byId("models");
  // Nodes that stay keep the focus.
  if (nodes.length !== place.children.length || nodes.some((node, at) => node !== place.children[at])) {
    place.replaceChildren(...nodes);
  }
  byId("add-model").hidden = models.length >= Math.min(MOST_MODELS, known.length);
  for (const column of columns) {
    column.showChoice(known);
    column.refresh(history);
  }
}

function showHistory() {
  const list = byId("history");
  list.replaceChildren(
    ...history.map((item, at) =>
      element(
        "li",
        {},
        element("span", {}, title(item)),
        element(
          "button",
          { type: "button", class: "quiet", "aria-label": `Remove ${title(item)}`,
            onclick: () => remove(at) },
          "\u00d7",
        ),
      ),
    ),
  );
  const empty = !history.length;
  for (const id of ["history-hint", "popular"]) byId(id).hidden = !empty;
  for (const id of ["share", "clear"]) byId(id).hidden = empty;
}

function remove(at) {
  const [item] = history.splice(at, 1);
  changed(`${title(item)} removed, ${history.length} in the history`);
  const buttons = byId("history").querySelectorAll("button");
  (buttons[Math.min(at, buttons.length - 1)] ?? byId("search")).focus();
}

async function readLabels(ids) {
  const found = new Map(history.map((item) => [item.item, item]));
  let missing = [...new Set(ids)].filter((id) => !found.has(id));
  for (const model of models) {
    if (!missing.length) break;
    const { items, unknown } = await ask("items", { model, items: missing });
    for (const item of items) found.set(item.item, item);
    missing = unknown;
  }
  return ids.map((item) => found.get(item) ?? { item, label: null });
}

async function followAddress() {
  const wanted = readAddress();
  const names = known.map(({ name }) => name);
  models = wanted.models.filter((name) => names.includes(name));
  const missing = wanted.models.filter((name) => !names.includes(name));
  if (!models.length) models = names.slice(0, MOST_MODELS);
  history = await readLabels(wanted.history);
  show();
  announce(
    missing.length ? `This service has no model ${missing.join(", ")}` : `${history.length} in the history`,
  );
}

async function showPopular() {
  const items = await findItems(models, "", POPULAR);
  byId("popular").replaceChildren(
    ...items.map((item) =>
      element("li", {}, element("button", { type: "button", onclick: () => {
        page.add(item);
        byId("search").focus();
      } }, title(item))),
    ),
  );
}

function askForToken(message) {
  byId("token-form").hidden = false;
  byId("token-message").textContent = message;
  byId("token").focus();
}

async function start() {
  try {
    known = await ask("models");
    byId("token-form").hidden = true;
    await followAddress();
    await showPopular();
    document.body.dataset.ready = "";
  } catch (error) {
    if (error.status === 401) askForToken(error.message);
    else {
      const place = byId("models");
      place.replaceChildren(element("p", { class: "message", role: "alert" }, `Error: ${error.message}`));
    }
  }
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(byId("token").value.trim());
  start();
});
byId("clear").addEventListener("click", () => {
  history = [];
  changed("The history is empty");
  byId("search").focus();
});
byId("share").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    byId("share").textContent = "Copied";
  } catch {
    byId("share").textContent = "Copy it from the address bar";
  }
  setTimeout(() => (byId("share").textContent = "Copy address"), 2000);
});
byId("add-model").addEventListener("click", () => {
  const free = known.find(({ name }) => !models.includes(name));
  models = [...models, free.name];
  changed(`${free.name} added`);
  columns.at(-1).select.focus();
});
window.addEventListener("popstate", followAddress);
setUpSearch(page.getModels, page.add);
start();
