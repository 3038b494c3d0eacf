/*
 * A Connext participant of connext.xml: node connext.cjs FOLDER pub|sub|tagged SECONDS
 * FOLDER is where the npm package rticonnextdds-connector was installed. It leaves in order when its time is over. A
 * subscriber prints a line when it sees another number of publishers, matched NUMBER, sample when the first one comes, and
 * sample of ID when the first one of a publisher comes. Samples are of instance ID, or 1.
 */
const { createRequire } = require("node:module");
const { join } = require("node:path");

const [, , folder, wanted, seconds] = process.argv;
const role = wanted === "sub" && process.env.PLAIN ? "plain" : wanted;
const rti = createRequire(join(folder, "package.json"))("rticonnextdds-connector");
const connector = new rti.Connector(`Participants::${role}`, join(__dirname, "connext.xml"));
const output = role === "pub" ? connector.getOutput("Publisher::Writer") : undefined;
const writing = setInterval(() => {
  if (output === undefined) return;
  output.instance.setFromJson({ id: Number(process.env.ID ?? 1), octets: [1, 2, 3] });
  output.write();
}, 200);
const input = role === "sub" || role === "plain" ? connector.getInput("Subscriber::Reader") : undefined;
let matched = 0;
let received = false;
const receivedOf = new Set();
/** It fails for a publisher that goes just now. */
function matchedNow() {
  try {
    return input.matchedPublications.length;
  } catch {
    return matched;
  }
}
const reading = setInterval(() => {
  if (input === undefined) return;
  const now = matchedNow();
  if (now !== matched) console.log(`matched ${now}`);
  matched = now;
  input.take();
  if (!received && input.samples.length > 0) console.log("sample");
  received ||= input.samples.length > 0;
  for (const sample of input.samples.validDataIter) {
    const id = sample.getNumber("id");
    if (!receivedOf.has(id)) console.log(`sample of ${id}`);
    receivedOf.add(id);
  }
}, 20);
console.log("ready");
setTimeout(() => {
  clearInterval(writing);
  clearInterval(reading);
  connector.close();
}, Number(seconds) * 1000);
