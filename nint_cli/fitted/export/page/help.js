"use strict";
// Keys and buttons of a page: what each does, and the list of them that ? shows.

// `actions` has by name a function. `keys` has rows of keys, as KeyboardEvent names them, the name
// of an action, and what it does in words.
function listenToKeys(stage, actions, keys) {
  const dialog = document.getElementById("help");
  const all = { ...actions, help: () => dialog.showModal() };
  const rows = [...keys, [["?"], "help", "this list"]];
  const shown = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "space" };
  for (const [names, , text] of rows) {
    const name = document.createElement("dt");
    name.textContent = names.map((each) => shown[each] || each).join(" ");
    const what = document.createElement("dd");
    what.textContent = text;
    document.getElementById("keys").append(name, what);
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    const other = event.target.closest("button, summary, input");
    if (other && [" ", "Enter"].includes(event.key)) return;
    if (event.target.matches("input") && event.key.startsWith("Arrow")) return;
    const row = rows.find(([names]) => names.includes(event.key));
    if (!row) return;
    event.preventDefault();
    all[row[1]](event);
  });
  for (const button of document.querySelectorAll("[data-do]")) {
    button.addEventListener("click", (event) => all[button.dataset.do](event));
  }
}
