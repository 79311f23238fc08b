// Thumbnails cut out of one picture. Keys: arrows move, Enter or Space choose, Page Up and Down turn.
const SIDE = 44, GAP = 6;

function render({ model, el }) {
  el.classList.add("gx-gallery");
  const back = pager("‹", "previous images", -1);
  const list = document.createElement("div");
  list.className = "gx-thumbnails";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "images");
  const forward = pager("›", "next images", 1);
  const place = document.createElement("span");
  place.className = "gx-place";
  el.append(back, list, forward, place);
  let address = null;
  let edge = null; // where to put the focus once the next page is there

  function pager(sign, label, step) {
    const button = document.createElement("button");
    button.className = "gx-button";
    button.textContent = sign;
    button.setAttribute("aria-label", label);
    button.addEventListener("click", () => model.send({ kind: "turn", step }));
    return button;
  }

  function drawSheet() {
    const sheet = model.get("sheet");
    if (address) URL.revokeObjectURL(address);
    address = sheet?.byteLength ? URL.createObjectURL(new Blob([sheet], { type: "image/png" })) : null;
    drawItems();
  }

  function drawItems() {
    const items = model.get("items");
    const held = list.contains(document.activeElement) || edge !== null;
    const buttons = items.map((item, position) => {
      const button = document.createElement("button");
      button.className = "gx-thumbnail";
      button.setAttribute("role", "option");
      button.setAttribute("aria-label", item.title);
      button.title = item.title;
      button.dataset.index = item.index;
      button.classList.toggle("gx-wrong", item.wrong);
      button.style.setProperty("--gx-class", item.colour);
      button.style.backgroundImage = `url(${address})`;
      button.style.backgroundSize = `${items.length * 100}% 100%`;
      const share = items.length > 1 ? position / (items.length - 1) : 0;
      button.style.backgroundPosition = `${share * 100}% 0`;
      button.addEventListener("click", () => choose(item.index));
      button.addEventListener("keydown", (event) => move(event, position));
      return button;
    });
    list.replaceChildren(...buttons);
    const start = model.get("start"), total = model.get("total");
    place.textContent = total ? `${start + 1}–${start + items.length} of ${total}` : "no images";
    back.disabled = start === 0;
    forward.disabled = start + items.length >= total;
    drawSelected();
    if (held && buttons.length) {
      const at = edge === null ? buttons.findIndex((b) => b.tabIndex === 0) : edge < 0 ? buttons.length - 1 : 0;
      buttons[at].focus({ preventScroll: true });
      edge = null;
    }
  }

  function drawSelected() {
    const selected = model.get("selected");
    let reachable = false;
    for (const button of list.children) {
      const chosen = Number(button.dataset.index) === selected;
      button.setAttribute("aria-selected", chosen);
      button.tabIndex = chosen ? 0 : -1;
      reachable ||= chosen;
    }
    if (!reachable && list.children.length) list.children[0].tabIndex = 0;
  }

  function choose(index) {
    model.send({ kind: "choose", index });
  }

  function move(event, position) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const page = { PageUp: -1, PageDown: 1 }[event.key];
    if (!step && !page) return;
    event.preventDefault();
    event.stopPropagation();
    const next = step && list.children[position + step];
    const turn = step || page;
    if (next) {
      next.focus();
    } else if (!(turn < 0 ? back : forward).disabled) {
      edge = turn;
      model.send({ kind: "turn", step: turn });
    }
  }

  // As many as the width has room for.
  const observer = new ResizeObserver(() => {
    const capacity = Math.max(1, Math.floor((list.clientWidth + GAP) / (SIDE + GAP)));
    if (list.clientWidth && capacity !== model.get("capacity")) {
      model.set("capacity", capacity);
      model.save_changes();
    }
  });
  observer.observe(list);
  const listeners = { "change:sheet": drawSheet, "change:items": drawItems, "change:selected": drawSelected };
  for (const [name, listener] of Object.entries(listeners)) model.on(name, listener);
  drawSheet();
  return () => {
    observer.disconnect();
    for (const [name, listener] of Object.entries(listeners)) model.off(name, listener);
    if (address) URL.revokeObjectURL(address);
  };
}

export default { render };
