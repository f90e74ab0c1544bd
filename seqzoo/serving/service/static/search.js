// The search field: a combobox whose list is walked with the arrow keys.

import { ask } from "./api.js";
import { announce, byId, element, title } from "./dom.js";

const MOST = 8;
const PAUSE = 120;

// The items that fit a query, of all models in turn: their vocabularies may differ.
export async function findItems(models, query, k, signal) {
  const answers = await Promise.all(
    models.map((model) => ask("items", { model, query, k }, signal)),
  );
  const found = new Map();
  for (let at = 0; at < k; at += 1) {
    for (const { items } of answers) {
      if (at < items.length && !found.has(items[at].item)) found.set(items[at].item, items[at]);
    }
  }
  return [...found.values()].slice(0, k);
}

export function setUpSearch(getModels, add) {
  const field = byId("search");
  const list = byId("found");
  let items = [];
  let active = -1;
  let pause = 0;
  let running = null;

  function cancel() {
    clearTimeout(pause);
    running?.abort();
  }

  function close() {
    list.hidden = true;
    active = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  }

  function choose(at) {
    const chosen = items[at];
    if (!chosen) return;
    cancel();
    field.value = "";
    close();
    field.focus();
    add(chosen);
  }

  function activate(at) {
    active = at;
    [...list.children].forEach((option, place) => {
      option.setAttribute("aria-selected", String(place === at));
      if (place === at) option.scrollIntoView({ block: "nearest" });
    });
    field.setAttribute("aria-activedescendant", `found-${at}`);
  }

  function show(text) {
    list.replaceChildren();
    list.hidden = false;
    field.setAttribute("aria-expanded", String(items.length > 0));
    if (!items.length) {
      list.append(element("li", { class: "hint", role: "presentation" }, text));
      announce(text);
      return;
    }
    items.forEach((item, at) => {
      const option = element(
        "li",
        { role: "option", id: `found-${at}`, "aria-selected": "false", onclick: () => choose(at) },
        element("span", {}, title(item)),
        element("small", {}, item.item),
      );
      // The field keeps the focus, so that its list stays open until the click is complete.
      option.addEventListener("mousedown", (event) => event.preventDefault());
      list.append(option);
    });
    activate(0);
    announce(`${items.length} items found`);
  }

  async function search() {
    const query = field.value.trim();
    running?.abort();
    if (!query) {
      items = [];
      close();
      return;
    }
    running = new AbortController();
    try {
      items = await findItems(getModels(), query, MOST, running.signal);
      show("No item has these words in its title.");
    } catch (error) {
      if (error.name === "AbortError") return;
      items = [];
      show(error.message);
    }
  }

  field.addEventListener("input", () => {
    clearTimeout(pause);
    // What is listed belongs to the previous text.
    items = [];
    pause = setTimeout(search, PAUSE);
  });
  field.addEventListener("blur", close);
  field.addEventListener("focus", () => items.length && field.value && show(""));
  field.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && items.length) {
      event.preventDefault();
      activate((active + step + items.length) % items.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      choose(active);
    } else if (event.key === "Escape") {
      cancel();
      close();
    }
  });
  document.addEventListener("keydown", (event) => {
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.key === "/" && plain && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      event.preventDefault();
      field.focus();
    }
  });
}
