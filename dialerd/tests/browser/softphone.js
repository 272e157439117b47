// A softphone that does what the test asks for and tells what it hears. Its microphone is a tone.
import JsSIP from "jssip";

const query = new URLSearchParams(location.search);
const TONE_HZ = 1000;

function tell(fact) {
  return fetch("/tell", { method: "POST", body: JSON.stringify(fact) });
}

addEventListener("error", (event) => tell({ fact: "error", text: String(event.message) }));
addEventListener("unhandledrejection", (event) => tell({ fact: "error", text: String(event.reason) }));

const audio = new AudioContext();

function microphone() {
  const oscillator = audio.createOscillator();
  const gain = audio.createGain();
  const sink = audio.createMediaStreamDestination();
  oscillator.frequency.value = TONE_HZ;
  gain.gain.value = 0.3;
  oscillator.connect(gain).connect(sink);
  oscillator.start();
  return sink.stream;
}

// The loudest frequency of what comes, and how far it stands out of the mean; twice a second.
function listen(stream) {
  // Chromium plays a remote stream into the graph only when an element plays it too.
  const element = new Audio();
  element.srcObject = stream;
  element.muted = true;
  element.play();
  const analyser = audio.createAnalyser();
  analyser.fftSize = 4096;
  audio.createMediaStreamSource(stream).connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  return setInterval(() => {
    analyser.getFloatFrequencyData(bins);
    let best = 0;
    bins.forEach((level, bin) => {
      if (level > bins[best]) best = bin;
    });
    const mean = bins.reduce((sum, level) => sum + Math.max(level, -150), 0) / bins.length;
    const hertz = (best * audio.sampleRate) / analyser.fftSize;
    tell({ fact: "hears", hertz, above: bins[best] - mean, level: bins[best] });
  }, 500);
}

let session;
/// What is offered and nothing else, if anything.
let only;

function reduce(sdp) {
  const wanted = new RegExp(`^a=rtpmap:(\\d+) (${only}/|telephone-event/8000)`, "gm");
  const types = [...sdp.matchAll(wanted)].map((match) => match[1]);
  return sdp.replace(/^(m=audio \d+ \S+) .*$/m, `$1 ${types.join(" ")}`);
}

function follow(one) {
  session = one;
  let timer;
  const connected = (connection) => {
    connection.addEventListener("track", (event) => {
      clearInterval(timer);
      timer = listen(event.streams[0] ?? new MediaStream([event.track]));
    });
    connection.addEventListener("connectionstatechange", () => tell({ fact: "connection", state: connection.connectionState }));
  };
  if (one.connection) connected(one.connection);
  one.on("peerconnection", ({ peerconnection }) => connected(peerconnection));
  one.on("sdp", (event) => {
    if (only && event.originator === "local") event.sdp = reduce(event.sdp);
  });
  // One address is enough: the other side has but one as well.
  one.on("icecandidate", (event) => event.ready());
  one.on("confirmed", () => tell({ fact: "confirmed" }));
  one.on("failed", (event) => tell({ fact: "failed", cause: event.cause }));
  one.on("ended", (event) => {
    clearInterval(timer);
    tell({ fact: "ended", by: event.originator, cause: event.cause });
  });
}

const media = () => ({ mediaStream: microphone(), mediaConstraints: { audio: true, video: false }, pcConfig: { iceServers: [] } });

const agent = new JsSIP.UA({
  sockets: [new JsSIP.WebSocketInterface(query.get("server"))],
  uri: query.get("uri"),
  password: query.get("password"),
  session_timers: false,
});
agent.on("registered", () => tell({ fact: "registered" }));
agent.on("registrationFailed", (event) => tell({ fact: "not registered", cause: event.cause }));
agent.on("newRTCSession", ({ originator, session: one }) => {
  follow(one);
  if (originator === "remote") {
    tell({ fact: "called" });
    one.answer(media());
  }
});
agent.start();

const orders = {
  call: (number) => agent.call(number, media()),
  only: (codec) => (only = codec),
  digit: (digit) => session.sendDTMF(digit, { transportType: "RFC2833" }),
  hangup: () => session.terminate(),
  restart: () => session.renegotiate({ rtcOfferConstraints: { iceRestart: true } }, () => tell({ fact: "renegotiated" })),
};

(async () => {
  await audio.resume();
  for (;;) {
    const order = await (await fetch("/order")).json();
    if (order.name) orders[order.name](order.value);
    else await new Promise((resolve) => setTimeout(resolve, 100));
  }
})();
