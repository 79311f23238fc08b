// Stands before every module. Anywidget gives a module two seconds to load; the model of one that
// took longer, on a page that is busy, hears nothing from the kernel ever after: what the kernel
// sends waits for a promise that was rejected. Such a model is let hear again here, and asks for its
// state, since it has missed changes; `restored` is called as soon as that is here. A kernel that
// is gone does not answer: then the state that is here has to do.
const LONGEST_ANSWER_MILLISECONDS = 10000;
async function hear(model, restored = () => {}) {
  const own = model.set({}); // the model itself, which anywidget keeps to itself
  if (!own?.comm) return; // there is no kernel
  try {
    await own._handle_comm_msg({ content: { data: { method: "" } } });
  } catch {
    let plain = own; // up to the class below anywidget's
    while (plain._handle_comm_msg === own._handle_comm_msg) plain = Object.getPrototypeOf(plain);
    await new Promise((resolve) => {
      setTimeout(resolve, LONGEST_ANSWER_MILLISECONDS);
      own.comm.on_msg(async (message) => {
        await plain._handle_comm_msg.call(own, message);
        if (message.content.data.state?._esm) resolve(restored());
      });
      own.comm.send({ method: "request_state" }, {});
    });
  }
}

function initialize({ model }) {
  hear(model); // not waited for: anywidget lets a model hear when this has returned
}

