// What is at the pointer. One message carries all of it.

function render({ model, el }) {
  el.classList.add("gx-readout");
  el.setAttribute("role", "region");
  el.setAttribute("aria-label", "the image at the pointer");
  el.innerHTML = `
    <div class="gx-where" aria-live="polite"></div>
    <div class="gx-pictures">
      <figure><img class="gx-image" alt=""><figcaption></figcaption></figure>
      <figure><img class="gx-difference" alt=""><figcaption></figcaption></figure>
    </div>
    <table class="gx-scores" aria-label="class scores"><tbody></tbody></table>
    <div class="gx-facts"></div>`;
  const [where, pictures, scores, facts] = el.children;
  const [image, difference] = pictures.querySelectorAll("img");
  const [imageCaption, differenceCaption] = pictures.querySelectorAll("figcaption");
  const body = scores.tBodies[0];

  function draw() {
    const reading = model.get("reading");
    el.classList.toggle("gx-empty", !reading.image);
    if (!reading.image) return;
    where.textContent = reading.where;
    el.classList.toggle("gx-pinned", reading.pinned);
    image.src = reading.image;
    image.alt = reading.image_caption;
    imageCaption.textContent = reading.image_caption;
    difference.src = reading.difference;
    difference.alt = reading.difference_caption;
    differenceCaption.textContent = reading.difference_caption;
    while (body.rows.length > reading.scores.length) body.deleteRow(-1);
    reading.scores.forEach((score, position) => {
      const row = body.rows[position] ?? newRow(body);
      row.classList.toggle("gx-highest", score.highest);
      row.cells[0].textContent = score.name;
      row.cells[0].title = score.name;
      const bar = row.cells[1].firstChild;
      bar.style.width = `${score.share * 100}%`;
      bar.style.background = score.colour;
      row.cells[2].textContent = score.text;
    });
  }

  function drawFacts() {
    facts.innerHTML = model.get("facts"); // made in the kernel, where names are escaped
  }

  model.on("change:reading", draw);
  model.on("change:facts", drawFacts);
  draw();
  drawFacts();
  return () => {
    model.off("change:reading", draw);
    model.off("change:facts", drawFacts);
  };
}

function newRow(body) {
  const row = body.insertRow();
  row.insertCell();
  row.insertCell().append(document.createElement("div"));
  row.insertCell();
  return row;
}

export default { initialize, render };
