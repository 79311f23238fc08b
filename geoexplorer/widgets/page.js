// What only the page can do: tell its theme, copy text, hand over files.
function render({ model, el }) {
  el.classList.add("gx-page");

  function tellTheme() {
    const ground = getComputedStyle(document.body).getPropertyValue("--jp-layout-color1").trim()
      || getComputedStyle(document.body).backgroundColor;
    const probe = document.createElement("span");
    probe.style.color = ground;
    el.append(probe);
    const colour = getComputedStyle(probe).color.match(/[\d.]+/g);
    probe.remove();
    if (!colour) return; // an output that is out of view is not in the page
    const [r, g, b, a] = colour.map(Number);
    const dark = a !== 0 && 0.299 * r + 0.587 * g + 0.114 * b < 128;
    if (dark !== model.get("dark")) {
      model.set("dark", dark);
      model.save_changes();
    }
  }
  const observer = new MutationObserver(tellTheme);
  observer.observe(document.body, { attributes: true });

  async function copy(text) {
    el.replaceChildren();
    try {
      await navigator.clipboard.writeText(text);
      model.send({ kind: "copied" });
    } catch {
      // No permission, or a page without a secure connection: leave it to the person.
      const area = document.createElement("textarea");
      area.className = "gx-code";
      area.readOnly = true;
      area.value = text;
      area.setAttribute("aria-label", "the code, selected: press Ctrl+C");
      area.addEventListener("keydown", (event) => {
        event.stopPropagation();
        if (event.key === "Escape") el.replaceChildren();
      });
      el.replaceChildren(area);
      area.focus();
      area.select();
      model.send({ kind: "selected" });
    }
  }

  function download(name, type, data) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([data], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  const received = (content, buffers) => {
    if (content.kind === "copy") copy(content.text);
    if (content.kind === "download") download(content.name, content.type, buffers[0]);
  };
  model.on("msg:custom", received);
  // The stylesheet that carries the theme's colours may arrive after the attribute.
  const timers = [0, 500, 2000].map((delay) => setTimeout(tellTheme, delay));
  return () => {
    observer.disconnect();
    timers.forEach(clearTimeout);
    model.off("msg:custom", received);
  };
}

export default { initialize, render };
