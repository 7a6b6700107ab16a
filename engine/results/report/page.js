// Tables sort by a click on a title; what shows the same network lights up together.
for (const table of document.querySelectorAll("table.sortable")) {
  const titles = [...table.querySelectorAll("th")];
  titles.forEach((title, column) => title.addEventListener("click", () => {
    const upwards = title.getAttribute("aria-sort") !== "ascending";
    titles.forEach((other) => other.removeAttribute("aria-sort"));
    title.setAttribute("aria-sort", upwards ? "ascending" : "descending");
    const value = (row) => row.cells[column].textContent;
    const number = (row) => parseFloat(value(row).replace(/[#,]/g, ""));
    const order = (a, b) => Number.isNaN(number(a)) || Number.isNaN(number(b))
      ? value(a).localeCompare(value(b)) : number(a) - number(b);
    const rows = [...table.tBodies[0].rows].sort((a, b) => (upwards ? order(a, b) : order(b, a)));
    table.tBodies[0].append(...rows);
  }));
}
const light = (event, on) => {
  const number = event.target.closest?.("[data-n]")?.dataset.n;
  if (number !== undefined)
    document.querySelectorAll(`[data-n="${number}"]`).forEach((item) => item.classList.toggle("lit", on));
};
document.addEventListener("mouseover", (event) => light(event, true));
document.addEventListener("mouseout", (event) => light(event, false));
