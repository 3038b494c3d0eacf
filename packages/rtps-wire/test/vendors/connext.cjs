/*
 * A Connext participant of connext.xml: node connext.cjs FOLDER pub|sub|tagged SECONDS
 * FOLDER is where the npm package rticonnextdds-connector was installed. It leaves in order when its time is over.
 */
const { createRequire } = require("node:module");
const { join } = require("node:path");

const [, , folder, role, seconds] = process.argv;
const rti = createRequire(join(folder, "package.json"))("rticonnextdds-connector");
const connector = new rti.Connector(`Participants::${role}`, join(__dirname, "connext.xml"));
const output = role === "pub" ? connector.getOutput("Publisher::Writer") : undefined;
const writing = setInterval(() => {
  if (output === undefined) return;
  output.instance.setFromJson({ id: 1, octets: [1, 2, 3] });
  output.write();
}, 200);
setTimeout(() => {
  clearInterval(writing);
  connector.close();
}, Number(seconds) * 1000);
