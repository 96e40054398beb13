"use strict";
document.documentElement.classList.add("js");
for (const box of document.querySelectorAll(".tabs")) {
  const tabs = [...box.querySelectorAll(":scope > [role=tablist] > [role=tab]")];
  const show = (chosen, focus) => {
    tabs.forEach((tab, i) => {
      const on = i === chosen;
      tab.setAttribute("aria-selected", on ? "true" : "false");
      tab.tabIndex = on ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
      if (on && focus) tab.focus();
    });
  };
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => show(i, false));
    tab.addEventListener("keydown", (event) => {
      const last = tabs.length - 1;
      const to = { ArrowRight: i === last ? 0 : i + 1, ArrowLeft: i === 0 ? last : i - 1,
        Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      show(to, true);
    });
  });
  if (tabs.length) show(0, false);
}
const move = (box, value) => {
  const range = box.querySelector("input");
  range.value = value;
  range.setAttribute("aria-valuetext", value + " % original");
  box.querySelector(".above").style.clipPath = "inset(0 " + (100 - value) + "% 0 0)";
  box.style.setProperty("--at", value + "%");
};
for (const box of document.querySelectorAll(".slider")) {
  const beside = (box.closest(".tabs") || box.parentNode).querySelectorAll(".slider");
  const range = box.querySelector("input");
  range.addEventListener("input", () => beside.forEach((each) => move(each, range.value)));
  move(box, range.value);
}
for (const box of document.querySelectorAll(".copy")) {
  const button = box.querySelector("button");
  if (!navigator.clipboard) { button.hidden = true; continue; }
  button.addEventListener("click", () => {
    navigator.clipboard.writeText(box.querySelector("code").textContent).then(() => {
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    }, () => { button.textContent = "Select and copy by hand"; });
  });
}
