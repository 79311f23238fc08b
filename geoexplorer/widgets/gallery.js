// Thumbnails cut out of one picture. Keys: arrows choose the next one, Page Up and Down turn; while an
// image is to be picked for something else they only move, and Enter or Space pick.
const SIDE = 44, GAP = 6;
const PAUSE = 100; // least milliseconds between two choices that are sent while a key is held
const PATIENCE = 2000; // how long the kernel may take to confirm a choice

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
  let edge = 0, left = 0; // once this page has been left, the focus goes to the next one's start (1) or end (-1)
  let cursor = null; // the image that has the focus, or had it last
  let wanted = null; // chosen here and not yet confirmed; older choices may still be confirmed first
  let sent = 0, waiting = null, forgetting = null;

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
    const held = list.contains(document.activeElement);
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
      button.addEventListener("click", () => { wanted = null; choose(item.index); });
      button.addEventListener("keydown", (event) => move(event, position));
      button.addEventListener("focus", () => { cursor = item.index; });
      return button;
    });
    list.replaceChildren(...buttons);
    const start = model.get("start"), total = model.get("total");
    place.textContent = total > 0 ? `${start + 1}–${start + items.length} of ${total}` : total === 0 ? "no images" : "";
    back.disabled = start === 0;
    forward.disabled = start + items.length >= total;
    drawSelected();
    if (!buttons.length) return;
    if (edge && held && start !== left) {
      const button = buttons[edge < 0 ? buttons.length - 1 : 0];
      edge = 0;
      go(button);
    } else if (held) {
      const button = buttons.find((b) => Number(b.dataset.index) === cursor) ?? buttons.find((b) => b.tabIndex === 0);
      button.focus({ preventScroll: true });
    }
  }

  function drawSelected() {
    if (wanted === model.get("selected")) wanted = null;
    const selected = wanted ?? model.get("selected");
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
    clearTimeout(waiting);
    sent = Date.now();
    model.send({ kind: "choose", index });
  }

  // The focus moves to a thumbnail, and the choice with it. A key that is held goes through many.
  function go(button) {
    button.focus({ preventScroll: true });
    if (model.get("picking")) return;
    const index = Number(button.dataset.index);
    wanted = index;
    drawSelected();
    clearTimeout(waiting);
    waiting = setTimeout(() => choose(index), Math.max(0, sent + PAUSE - Date.now()));
    clearTimeout(forgetting);
    forgetting = setTimeout(() => { wanted = null; drawSelected(); }, PATIENCE);
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
      edge = 0;
      go(next);
    } else if (!edge && !(turn < 0 ? back : forward).disabled) {
      clearTimeout(waiting); // a choice on this page would turn back to it
      edge = turn;
      left = model.get("start");
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
  const listeners = { "change:sheet": drawSheet, "change:items": drawItems, "change:total": drawItems, "change:selected": drawSelected };
  for (const [name, listener] of Object.entries(listeners)) model.on(name, listener);
  drawSheet();
  return () => {
    observer.disconnect();
    for (const timer of [waiting, forgetting]) clearTimeout(timer);
    for (const [name, listener] of Object.entries(listeners)) model.off(name, listener);
    if (address) URL.revokeObjectURL(address);
  };
}

export default { initialize, render };
