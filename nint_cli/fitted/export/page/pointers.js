"use strict";
// Mouse and fingers on an element: dragging, pinching, the wheel, and double clicks.

// `on` has drag(dx, dy), zoom(factor, x, y) and hover(x, y) in CSS pixels of the element.
function listenToPointers(element, on) {
  const held = new Map();
  const place = (event) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const middle = () => {
    const points = [...held.values()];
    const x = points.reduce((sum, p) => sum + p.x, 0) / points.length;
    const y = points.reduce((sum, p) => sum + p.y, 0) / points.length;
    const spread = points.reduce((sum, p) => sum + Math.hypot(p.x - x, p.y - y), 0) / points.length;
    return { x, y, spread };
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    element.setPointerCapture(event.pointerId);
    held.set(event.pointerId, place(event));
    element.classList.add("held");
  });
  element.addEventListener("pointermove", (event) => {
    const now = place(event);
    if (!held.has(event.pointerId)) {
      on.hover(now.x, now.y);
      return;
    }
    const before = middle();
    held.set(event.pointerId, now);
    const after = middle();
    on.drag(after.x - before.x, after.y - before.y);
    if (before.spread && after.spread) on.zoom(after.spread / before.spread, after.x, after.y);
    on.hover(now.x, now.y);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    element.addEventListener(name, (event) => {
      held.delete(event.pointerId);
      if (!held.size) element.classList.remove("held");
    });
  }
  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { x, y } = place(event);
    const lines = event.deltaMode === 1 ? 20 : event.deltaMode === 2 ? 400 : 1;
    on.zoom(Math.exp(-event.deltaY * lines / 300), x, y);
  }, { passive: false });
  element.addEventListener("dblclick", (event) => {
    const { x, y } = place(event);
    on.zoom(event.shiftKey ? 0.5 : 2, x, y);
  });
}
