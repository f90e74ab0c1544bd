// The recommendations of one model.

import { ask } from "./api.js";
import { element, number, title } from "./dom.js";

const MOST = 10;
const NEAREST = 3;

export class Column {
  // `page` has add(item), getModels(), replaceModel(from, to) and removeModel(name).
  constructor(name, known, page) {
    this.name = name;
    this.page = page;
    this.ranks = null;
    this.explained = null;
    this.running = null;
    this.items = known.find((model) => model.name === name)?.items ?? 0;
    this.select = element("select", {
      "aria-label": "Model",
      onchange: () => page.replaceModel(this.name, this.select.value),
    });
    this.removal = element(
      "button",
      { type: "button", class: "quiet", "aria-label": `Remove the model ${name}`,
        onclick: () => page.removeModel(name) },
      "\u00d7",
    );
    this.message = element("p", { class: "hint", hidden: true });
    this.list = element("ol", { class: "ranking" });
    this.node = element(
      "article",
      { class: "model", "aria-label": name, "aria-busy": "false" },
      element("header", { class: "row" }, this.select, this.removal),
      this.message,
      this.list,
    );
    this.showChoice(known);
  }

  showChoice(known) {
    const chosen = this.page.getModels();
    const free = known.filter(({ name }) => name === this.name || !chosen.includes(name));
    this.select.replaceChildren(
      ...free.map(({ name }) => element("option", { value: name, selected: name === this.name }, name)),
    );
    this.removal.hidden = chosen.length < 2;
  }

  say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  async refresh(history) {
    this.running?.abort();
    this.running = new AbortController();
    const { signal } = this.running;
    this.node.setAttribute("aria-busy", String(history.length > 0));
    if (!history.length) {
      this.ranks = null;
      this.list.replaceChildren();
      this.say("Add an item to see recommendations.");
      return;
    }
    try {
      const ids = history.map(({ item }) => item);
      const k = Math.min(MOST, this.items);
      const body = { model: this.name, history: ids, k, on_cold: "empty" };
      const answer = await ask("recommend", body, signal);
      if (signal.aborted) return;
      this.show(answer, ids);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.list.replaceChildren();
      this.say(error.message);
    }
    this.node.setAttribute("aria-busy", "false");
  }

  show({ recommendations, unknown, cold }, history) {
    this.say(
      cold ? "This model knows no item of the history."
        : unknown.length ? `This model does not know ${unknown.length} of the items.` : "",
    );
    const focused = this.focusedPlace();
    const scores = recommendations.map(({ score }) => score);
    const [least, most] = [Math.min(...scores), Math.max(...scores)];
    const rows = recommendations.map((item, at) => {
      const part = most > least ? (item.score - least) / (most - least) : 1;
      return this.row(item, at, 0.05 + 0.95 * part, history);
    });
    this.list.replaceChildren(...rows);
    this.ranks = new Map(recommendations.map(({ item }, at) => [item, at]));
    if (focused) this.list.children[focused.row]?.querySelectorAll("button")[focused.button]?.focus();
  }

  row(item, at, part, history) {
    const bar = element("span", { class: "bar" });
    bar.style.setProperty("--part", part);
    const reasons = element("div", { class: "reasons", hidden: true });
    const why = element(
      "button",
      { type: "button", class: "quiet", "aria-expanded": "false",
        "aria-label": `Why ${title(item)}?` },
      "Why?",
    );
    const toggle = (open) => {
      reasons.hidden = !open;
      why.setAttribute("aria-expanded", String(open));
      if (open) this.explain(item, history, reasons);
    };
    why.addEventListener("click", () => {
      this.explained = reasons.hidden ? item.item : null;
      toggle(reasons.hidden);
    });
    if (this.explained === item.item) toggle(true);
    return element(
      "li",
      {},
      element(
        "button",
        { type: "button", class: "item", title: "Add to the history",
          onclick: () => this.page.add(item) },
        title(item),
      ),
      element("span", { class: "move" }, this.move(item.item, at)),
      element("span", { class: "score", title: "Score" }, number(item.score)),
      why,
      bar,
      reasons,
    );
  }

  // How an item moved since the previous click.
  move(item, at) {
    if (!this.ranks) return "";
    const before = this.ranks.get(item);
    if (before === undefined) return "new";
    if (before === at) return "";
    return before > at ? `\u2191${before - at}` : `\u2193${at - before}`;
  }

  focusedPlace() {
    const row = [...this.list.children].findIndex((each) => each.contains(document.activeElement));
    if (row < 0) return null;
    const buttons = [...this.list.children[row].querySelectorAll("button")];
    return { row, button: buttons.indexOf(document.activeElement) };
  }

  async explain(item, history, place) {
    place.replaceChildren(element("p", {}, "\u2026"));
    const models = this.page.getModels();
    const answers = await Promise.all(
      models.map(async (model) => {
        try {
          const k = Math.min(NEAREST, this.items);
          return await ask("reasons", { model, history, item: item.item, k });
        } catch (error) {
          return { model, error: error.message, type: error.type };
        }
      }),
    );
    const own = answers.find(({ model }) => model === this.name);
    const others = answers.filter(({ model }) => model !== this.name);
    place.replaceChildren(...nearest(own), ...scores([own, ...others]));
  }
}

function nearest({ nearest: found, error }) {
  if (error) return [element("p", {}, error)];
  if (!found) return [element("p", {}, "This model cannot tell which items are similar.")];
  if (!found.length) return [element("p", {}, "The history has no other item to compare with.")];
  return [
    element("h3", {}, "Most similar in the history"),
    element(
      "ul",
      {},
      ...found.map((each) =>
        element("li", {}, element("span", {}, title(each)), element("span", {}, number(each.score))),
      ),
    ),
  ];
}

function scores(answers) {
  const lines = answers.map(({ model, rank, score, error, type }) => {
    let text = `rank ${rank}, ${number(score ?? 0)}`;
    if (error !== undefined) text = type === "unknown_item" ? "unknown" : "no answer";
    else if (rank === null) text = "never recommended";
    return element("li", {}, element("span", {}, model), element("span", {}, text));
  });
  return [element("h3", {}, "Rank and score"), element("ul", {}, ...lines)];
}
