// The address after "#" holds the history and the models; browsers do not send it to the service.

export const MOST_MODELS = 3;
const MOST_ITEMS = 1000;

export function readAddress() {
  const fields = new URLSearchParams(location.hash.slice(1));
  return {
    history: fields.getAll("item").filter(Boolean).slice(0, MOST_ITEMS),
    models: [...new Set(fields.getAll("model"))].slice(0, MOST_MODELS),
  };
}

export function writeAddress(history, models) {
  const fields = new URLSearchParams();
  for (const model of models) fields.append("model", model);
  for (const { item } of history) fields.append("item", item);
  const hash = `#${fields}`;
  if (hash !== location.hash) window.history.pushState(null, "", hash);
}
