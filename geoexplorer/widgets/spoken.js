// The one live region: an element that is always there, since screen readers miss new ones.
const REST = 500; // milliseconds; what is replaced sooner is not read out

function render({ model, el }) {
  el.classList.add("gx-spoken");
  const region = document.createElement("div");
  region.setAttribute("role", "status");
  el.append(region);
  let timer = null;

  function speak() {
    clearTimeout(timer);
    // A new node, since the same words may be said twice.
    timer = setTimeout(() => region.replaceChildren(document.createTextNode(model.get("text"))), REST);
  }

  model.on("change:text", speak);
  speak();
  return () => {
    clearTimeout(timer);
    model.off("change:text", speak);
  };
}

export default { initialize, render };
