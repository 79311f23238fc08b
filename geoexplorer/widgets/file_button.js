// A button that asks for a file and sends its name and bytes.
function render({ model, el }) {
  el.classList.add("gx-file");
  const input = document.createElement("input");
  input.type = "file";
  input.accept = model.get("accept");
  input.hidden = true;
  const button = document.createElement("button");
  button.className = "jupyter-button widget-button lm-Widget";
  button.textContent = model.get("description");
  button.title = model.get("tooltip");
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", async () => {
    for (const file of input.files) {
      model.send({ name: file.name }, undefined, [await file.arrayBuffer()]);
    }
    input.value = ""; // so that the same file can be chosen again
  });
  el.append(button, input);
}

export default { initialize, render };
