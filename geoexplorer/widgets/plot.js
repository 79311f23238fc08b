// Ears for the figure in the same box: where the pointer is, clicks, keys, size.
//
// Plotly reports the points of its traces that the pointer meets; a map needs every place, at the
// pace of the kernel. So the pointer is read here, in data coordinates, and a new place is sent
// only when the last one has been answered.
const CLICK_PIXELS = 4, ANSWER_MILLISECONDS = 3000, GESTURE_MILLISECONDS = 300,
  DOUBLE_MILLISECONDS = 250;

function render({ model, el }) {
  el.style.display = "none";
  let box = null, frame = 0, pressed = null, waiting = false, next = null, timer = null, cursor = null, clicked = null;
  let lastWheel = -Infinity, wheelBelongs = false;
  const listening = new AbortController();
  const options = { capture: true, signal: listening.signal };

  // Of several figures in the box one is shown at a time.
  function shown() {
    const plots = [...(box?.querySelectorAll(".js-plotly-plot") ?? [])];
    return plots.find((plot) => plot.offsetParent !== null) ?? plots[0];
  }

  function axes() {
    const layout = shown()?._fullLayout;
    return layout?.xaxis?._length ? [layout.xaxis, layout.yaxis] : null;
  }

  function place(event) {
    const ground = shown()?.querySelector(".nsewdrag");
    const [x, y] = axes() ?? [];
    if (!x || !ground) return null;
    const area = ground.getBoundingClientRect();
    const across = (event.clientX - area.left) / area.width, down = (event.clientY - area.top) / area.height;
    if (across < 0 || down < 0 || across > 1 || down > 1) return null;
    return { x: x.p2d(across * x._length), y: y.p2d(down * y._length) };
  }

  // At most one question in flight; of the others only the last is kept.
  function ask(content) {
    next = content;
    if (!waiting) send();
  }
  function send() {
    clearTimeout(timer);
    waiting = next !== null;
    if (!waiting) return;
    model.send(next);
    next = null;
    timer = setTimeout(send, ANSWER_MILLISECONDS);
  }

  function pointed(event) {
    if (event.buttons) return;
    const at = place(event);
    cursor = at;
    ask(at ? { kind: "point", ...at } : { kind: "leave" });
  }
  // Plotly's cover makes leave events while the pointer stays where it is.
  function left(event) {
    if (event.buttons || place(event)) return;
    cursor = null;
    ask({ kind: "leave" });
  }
  function down(event) {
    box.focus({ preventScroll: true }); // plotly keeps the browser from doing it
    pressed = event.button === 0 ? { x: event.clientX, y: event.clientY, at: place(event) } : null;
  }
  function up(event) {
    if (!pressed?.at) return;
    const far = Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y);
    const at = pressed.at;
    pressed = null;
    if (far > CLICK_PIXELS) return;
    if (clicked) { // a double click resets the window and pins nothing
      clearTimeout(clicked);
      clicked = null;
      model.send({ kind: "reset" });
    } else {
      clicked = setTimeout(() => {
        clicked = null;
        model.send({ kind: "click", ...at, reach: reach() });
      }, DOUBLE_MILLISECONDS);
    }
  }
  function reach() {
    const [x] = axes();
    return (12 / x._length) * Math.abs(x.range[1] - x.range[0]);
  }

  // A wheel that was turning before it came over the map goes on scrolling the page.
  function wheel(event) {
    if (event.timeStamp - lastWheel > GESTURE_MILLISECONDS) wheelBelongs = Boolean(box?.contains(event.target));
    lastWheel = event.timeStamp;
    if (!wheelBelongs && box?.contains(event.target)) event.stopPropagation();
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (model.get("stops")) {
      go(event);
      return;
    }
    const [x, y] = axes() ?? [];
    if (!x) return;
    const width = x.range[1] - x.range[0], height = y.range[1] - y.range[0];
    const step = event.shiftKey ? 0.1 : 0.02;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    cursor ??= { x: x.range[0] + width / 2, y: y.range[0] + height / 2 };
    if (event.key in moves) {
      const [dx, dy] = moves[event.key];
      cursor = { x: cursor.x + dx * step * width, y: cursor.y + dy * step * width };
      ask({ kind: "point", ...cursor, by_keys: true });
    } else if (event.key === "Enter" || event.key === " ") {
      model.send({ kind: "click", ...cursor, reach: reach() });
    } else if (event.key === "Escape") {
      model.send({ kind: "escape" });
    } else if (event.key === "+" || event.key === "=" || event.key === "-") {
      const factor = event.key === "-" ? 1.5 : 1 / 1.5;
      model.send({ kind: "zoom", x: cursor.x, y: cursor.y, factor });
    } else if (event.key === "0" || event.key === "Home") {
      model.send({ kind: "reset" });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // From one stop on a curve to the next, or to either end.
  function go(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key], end = { Home: -1, End: 1 }[event.key];
    if (by) model.send({ kind: "step", by: event.shiftKey ? 10 * by : by });
    else if (end) model.send({ kind: "step", by: null, end });
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function measure() {
    if (!box?.clientWidth) return;
    const height = Math.round(Math.max(380, Math.min(0.8 * box.clientWidth, window.innerHeight - 250, 1000)));
    const size = [box.clientWidth, height];
    const before = model.get("size");
    if (Math.abs(size[0] - before[0]) + Math.abs(size[1] - before[1]) > 4) {
      model.set("size", size);
      model.save_changes();
    }
  }
  const observer = new ResizeObserver(measure);

  function attach() {
    box = el.closest(".gx-plot");
    if (!box) {
      frame = requestAnimationFrame(attach);
      return;
    }
    box.tabIndex = 0;
    box.setAttribute("role", "application");
    box.setAttribute("aria-label", model.get("label"));
    box.addEventListener("pointermove", pointed, options);
    box.addEventListener("pointerleave", left, options);
    box.addEventListener("pointerdown", down, options);
    box.addEventListener("keydown", key, { signal: listening.signal });
    observer.observe(box);
    measure();
    drawn();
  }
  // What the kernel changes in a figure before the page has made it is lost: so say when it has.
  // Plotly makes it first and puts it into the page later.
  function made(event, tries = 0) {
    const plot = event.detail.element;
    if (listening.signal.aborted) return;
    if (!plot.isConnected && tries < 600) setTimeout(() => made(event, tries + 1), 50);
    else if (box?.contains(plot)) drawn();
  }
  function drawn() {
    const plots = [...box.querySelectorAll(".js-plotly-plot")].filter((plot) => plot._fullLayout);
    if (plots.length) model.send({ kind: "drawn", plots: plots.length });
  }
  // Plotly covers the page while a button is down, so that the release happens elsewhere.
  window.addEventListener("pointerup", up, options);
  window.addEventListener("wheel", wheel, { ...options, passive: true });
  window.addEventListener("resize", measure, { signal: listening.signal });
  document.addEventListener("plotlywidget-after-render", made, { signal: listening.signal });
  attach();

  const answered = (content) => { if (content.kind === "answer") send(); };
  model.on("msg:custom", answered);
  return () => {
    listening.abort();
    cancelAnimationFrame(frame);
    clearTimeout(clicked);
    observer.disconnect();
    clearTimeout(timer);
    model.off("msg:custom", answered);
  };
}

export default { initialize, render };
