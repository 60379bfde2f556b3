/* Tables that are sorted by a click on a heading: first as it was, then up or down by turns. */
"use strict";

(function () {
  function valueOf(row, column) {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : null;
  }

  function compare(column, sign) {
    return (one, other) => {
      const [a, b] = [valueOf(one, column), valueOf(other, column)];
      if (a !== null && b !== null) return sign * (a - b);
      if (a !== null || b !== null) return a === null ? 1 : -1; // figures that are missing come last
      return sign * one.cells[column].textContent.localeCompare(other.cells[column].textContent);
    };
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => {
        const numeric = heading.classList.contains("number");
        const sorted = heading.getAttribute("aria-sort");
        const up = sorted === null ? !numeric : sorted === "descending";
        for (const each of headings) each.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const body = table.tBodies[0];
        body.append(...[...body.rows].sort(compare(column, up ? 1 : -1)));
      });
    });
  }
})();
