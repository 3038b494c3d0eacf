/*
 * A BFD neighbour of our own, for what BIRD cannot be made to do:
 * node bfd-neighbour.ts LOCAL NEIGHBOUR INTERFACE
 * Prints a line for every state; says AdminDown on SIGTERM.
 */
import { BfdSpeaker } from "#shared/bfd/bfd-speaker.ts";
import { ip } from "#shared/net/ip.ts";

const [local = "", neighbour = "", device = ""] = process.argv.slice(2);
const speaker = new BfdSpeaker({
  nowMs: () => performance.now(),
  random: Math.random,
  onReports: (reports) => {
    for (const { state } of reports) console.log(state);
  },
});
speaker.want([{ local: ip(local), neighbour: ip(neighbour), interface: device, intervalMs: 100, multiplier: 3 }]);
const turning = setInterval(() => speaker.turn(), 5);
process.once("SIGTERM", () => {
  clearInterval(turning);
  speaker.close();
  process.exit();
});
