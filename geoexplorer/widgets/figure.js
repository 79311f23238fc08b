// A plotly figure, by a module that is small.
//
// Plotly's is megabytes, and takes longer than the two seconds that anywidget gives it where the
// machine is slow. So it is loaded from here, once for all figures of a page, and when the page has
// nothing else to do: it keeps the page busy, and other modules may be on their way. What the kernel
// changes meanwhile is kept, and told to plotly's model of the figure when there is one.
const loaded = (globalThis[Symbol.for("geoexplorer.plotly")] ??= new Map());
const LONGEST_WAIT_MILLISECONDS = 1000, MOST_MISSED = 50;
const CHANGES = [
  "addTraces", "deleteTraces", "moveTraces", "restyle", "relayout", "update", "animate",
  "removeLayoutProps", "removeTraceProps",
].map((name) => `_py2js_${name}`);

async function evaluate(library) {
  if (window.requestIdleCallback) {
    await new Promise((go) => requestIdleCallback(go, { timeout: LONGEST_WAIT_MILLISECONDS }));
  }
  const url = URL.createObjectURL(new Blob([library.get("source")], { type: "text/javascript" }));
  try {
    return (await import(url)).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function plotly(model) {
  const id = model.get("_library").slice("IPY_MODEL_".length);
  const library = await model.widget_manager.get_model(id);
  const version = library.get("version");
  if (!loaded.has(version)) {
    const widget = evaluate(library);
    widget.catch(() => loaded.delete(version)); // the next figure tries again
    loaded.set(version, widget);
  }
  return loaded.get(version);
}

export default () => {
  let model, heard, missed = [], making = null; // one figure for all views
  async function make() {
    await heard;
    const made = await (await plotly(model))();
    const listeners = new Map();
    let told = {}; // in place of what the model holds
    made.initialize({
      model: {
        ...model,
        get: (name) => (name in told ? told[name] : model.get(name)),
        on(event, listener) {
          listeners.set(event, listener);
          model.on(event, listener);
        },
      },
    });
    for (const [name, change] of missed) {
      told = { [name]: change };
      listeners.get(`change:${name}`)?.();
    }
    told = {};
    missed = null;
    listeners.clear();
    return made;
  }
  function figure() {
    making ??= make().catch((error) => {
      making = null; // the next view tries again
      throw error;
    });
    return making;
  }
  function miss(name) {
    const change = model.get(name);
    if (missed === null || change === null) return;
    missed.push([name, change]);
    if (missed.length > MOST_MISSED) figure().catch(console.warn); // nobody may ever look at it
  }
  return {
    initialize(of) {
      model = of.model;
      for (const name of CHANGES) model.on(`change:${name}`, () => miss(name));
      heard = hear(model, () => { missed &&= []; });
    },
    async render(view) {
      const made = await figure();
      return view.signal?.aborted ? undefined : made.render(view);
    },
  };
};
