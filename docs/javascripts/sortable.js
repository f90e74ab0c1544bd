// Tables inside an element of the class "sortable" are sorted by the titles of their columns.
(() => {
  "use strict";

  // The first number of a cell, such as 0.0912 in "0.0912 ± 0.0038"; null without one.
  const numberOf = (text) => {
    const found = /\d[\d,]*(\.\d+)?/.exec(text);
    return found ? Number(found[0].replaceAll(",", "")) : null;
  };

  // Cells without a number stay at the end in both directions.
  const compare = (a, b, numeric, direction) => {
    if (!numeric) return direction * a.localeCompare(b);
    const [x, y] = [numberOf(a), numberOf(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return direction * (x - y);
  };

  const sort = (table, title, index) => {
    const numeric = title.style.textAlign === "right";
    const before = title.getAttribute("aria-sort");
    // Numbers start with the largest.
    const first = numeric ? "descending" : "ascending";
    const other = numeric ? "ascending" : "descending";
    const order = before === first ? other : first;
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    title.setAttribute("aria-sort", order);
    const body = table.tBodies[0];
    const text = (row) => row.cells[index].textContent.trim();
    const direction = order === "ascending" ? 1 : -1;
    const rows = [...body.rows].sort((a, b) => compare(text(a), text(b), numeric, direction));
    body.append(...rows);
  };

  for (const table of document.querySelectorAll(".sortable table")) {
    [...table.tHead.rows[0].cells].forEach((title, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...title.childNodes);
      button.addEventListener("click", () => sort(table, title, index));
      title.append(button);
    });
  }
})();
