// Elements. Untrusted text is only ever set as text.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

export const title = ({ item, label }) => label ?? item;

export const number = (value) => value.toFixed(2).replace("-", "\u2212");

export function announce(text) {
  byId("status").textContent = text;
}
